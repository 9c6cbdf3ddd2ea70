//! Which kernel modules have to be loaded, in what order, and their decompressed content.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;

use aa_policy::resolve_inside;

use super::error::ImageError;

/// A module as it goes into the initramfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its name, with `_` for `-`.
    pub name: String,
    /// The decompressed ELF file.
    pub content: Vec<u8>,
}

/// Reads the wanted modules and all their dependencies from `lib/modules/RELEASE`, in load order. Modules that are
/// built into the kernel are left out.
pub fn collect(dir: &Path, wanted: &[String]) -> Result<Vec<Module>, ImageError> {
    let index = Index::read(dir)?;
    let order = index.load_order(wanted).map_err(|name| {
        ImageError::malformed(
            &dir.join("modules.dep"),
            format!("no module `{name}`; change the recipe"),
        )
    })?;
    order
        .into_iter()
        .map(|path| {
            Ok(Module {
                name: name_of(path),
                content: plain_content(dir, path)?,
            })
        })
        .collect()
}

/// What `modules.dep` and `modules.builtin` say.
struct Index {
    /// Each module's path, and the paths of its dependencies, by name.
    modules: BTreeMap<String, (String, Vec<String>)>,
    builtin: BTreeSet<String>,
}

impl Index {
    fn read(dir: &Path) -> Result<Self, ImageError> {
        let text = |name: &str| {
            let path = dir.join(name);
            fs::read_to_string(&path).map_err(ImageError::file("read", &path))
        };
        Ok(Self::parse(&text("modules.dep")?, &text("modules.builtin")?))
    }

    fn parse(dep: &str, builtin: &str) -> Self {
        let modules = dep
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(path, needs)| {
                let needs = needs.split_ascii_whitespace().map(str::to_owned).collect();
                (name_of(path), (path.to_owned(), needs))
            })
            .collect();
        Self {
            modules,
            builtin: builtin.lines().map(name_of).collect(),
        }
    }

    /// The paths in load order, or the name of the first unknown module.
    fn load_order<'a>(&'a self, wanted: &'a [String]) -> Result<Vec<&'a str>, &'a str> {
        let mut order: Vec<&str> = Vec::new();
        for name in wanted {
            let key = name.replace('-', "_");
            if self.builtin.contains(&key) {
                continue;
            }
            let (path, needs) = self.modules.get(&key).ok_or(name.as_str())?;
            // Each line names all of the transitive dependencies, the deepest last.
            for path in needs.iter().rev().chain([path]) {
                if !order.contains(&path.as_str()) {
                    order.push(path);
                }
            }
        }
        Ok(order)
    }
}

/// `kernel/fs/ext4/ext4.ko.xz` is `ext4`. The kernel does not distinguish `-` and `_`.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split_once(".ko")
        .map_or(file, |(stem, _)| stem)
        .replace('-', "_")
}

fn plain_content(dir: &Path, path: &str) -> Result<Vec<u8>, ImageError> {
    let path = &dir.join(path);
    let inside = path.strip_prefix(dir).unwrap_or(path);
    // A path in the list must be a file in this folder.
    let real = resolve_inside(dir, inside).map_err(ImageError::file("read", path))?;
    let path = &dir.join(real);
    if !fs::symlink_metadata(path).is_ok_and(|found| found.is_file()) {
        return Err(ImageError::malformed(path, "not a file"));
    }
    let raw = fs::read(path).map_err(ImageError::file("read", path))?;
    let mut plain = Vec::new();
    let unpacked = match path.extension().and_then(|e| e.to_str()) {
        Some("ko") => return Ok(raw),
        Some("xz") => liblzma::read::XzDecoder::new(raw.as_slice()).read_to_end(&mut plain),
        Some("zst") => ruzstd::decoding::StreamingDecoder::new(raw.as_slice())
            .map_err(|e| ImageError::malformed(path, e))?
            .read_to_end(&mut plain),
        _ => {
            return Err(ImageError::malformed(
                path,
                "a module in a form that is not known here",
            ));
        }
    };
    unpacked.map_err(|e| ImageError::malformed(path, e))?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "\
kernel/a/top.ko.xz: kernel/b/middle-one.ko.xz kernel/c/bottom.ko
kernel/b/middle-one.ko.xz: kernel/c/bottom.ko
kernel/c/bottom.ko:
kernel/d/alone.ko:
";

    fn order(wanted: &[&str]) -> Result<Vec<String>, String> {
        let index = Index::parse(DEP, "kernel/e/inside.ko\n");
        let wanted: Vec<String> = wanted.iter().map(|s| (*s).to_owned()).collect();
        let order = index.load_order(&wanted);
        order
            .map(|paths| paths.into_iter().map(name_of).collect())
            .map_err(str::to_owned)
    }

    #[test]
    fn dependencies_come_first_and_once() {
        assert_eq!(
            order(&["alone", "top", "middle_one"]).unwrap(),
            ["alone", "bottom", "middle_one", "top"]
        );
    }

    #[test]
    fn dash_and_underscore_are_the_same() {
        assert_eq!(order(&["middle-one"]), order(&["middle_one"]));
    }

    #[test]
    fn built_in_is_left_out_and_unknown_is_an_error() {
        assert_eq!(order(&["inside"]).unwrap(), Vec::<String>::new());
        assert_eq!(order(&["outside"]), Err("outside".to_owned()));
    }

    #[test]
    fn a_compressed_module_is_unpacked() {
        use std::io::Write;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.ko.xz");
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
        encoder.write_all(b"content").unwrap();
        fs::write(&path, encoder.finish().unwrap()).unwrap();
        assert_eq!(plain_content(dir.path(), "x.ko.xz").unwrap(), b"content");
        fs::write(&path, b"not xz").unwrap();
        assert!(matches!(
            plain_content(dir.path(), "x.ko.xz"),
            Err(ImageError::Malformed { .. })
        ));
    }
}
