//! Reads every policy file of a tree and says what it holds: `survey BASE [FILE]`.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let base = arguments.next().ok_or("usage: survey BASE [FILE]")?;
    let tree = aa_policy::Tree::read(Path::new(&base))?;
    let files: Vec<String> = match arguments.next() {
        Some(file) => vec![file],
        None => tree
            .paths()
            .filter(|path| !path.contains('/'))
            .map(str::to_owned)
            .collect(),
    };
    for file in files {
        match aa_policy::parse(&tree, &file) {
            Ok(policy) => {
                let rules: usize = policy.profiles.iter().map(|profile| profile.rules.len()).sum();
                println!("{file}: {rules} rules, {}", policy.declared_names().join(" "));
            }
            Err(error) => println!("{file}: {error}"),
        }
    }
    Ok(())
}
