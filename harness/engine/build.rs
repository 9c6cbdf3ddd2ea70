//! The data files are built in: when one comes, goes or changes, the program is built anew.

fn main() {
    for folder in ["cases", "profiles", "vm-images"] {
        println!("cargo::rerun-if-changed=../../{folder}");
    }
}
