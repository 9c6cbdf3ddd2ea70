//! A profile set as the command line names it: `packaged`, `libvirt-source:DIR`, `libvirt-source:DIR@REVISION`,
//! `dir:DIR`.

use std::fmt;
use std::path::{Path, PathBuf};

use aa_policy::Tree;

use super::checkout;
use super::git::Repository;

/// A set by its manifest's name, and the files given for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetSpec {
    /// The manifest's name.
    pub name: String,
    /// What follows the first colon.
    pub given: Option<Given>,
}

/// Files for a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Their folder, or the repository that contains them.
    pub dir: PathBuf,
    /// The revision to read from the repository.
    pub revision: Option<String>,
}

impl SetSpec {
    /// Parses the command line's form.
    pub fn parse(text: &str) -> SetSpec {
        SetSpec::parse_with(text, &|path| path.is_dir())
    }

    /// Like `parse`. `is_dir` decides which `@` begins the revision, because a folder's name may contain one too.
    fn parse_with(text: &str, is_dir: &dyn Fn(&Path) -> bool) -> SetSpec {
        let Some((name, rest)) = text.split_once(':') else {
            return SetSpec {
                name: text.to_owned(),
                given: None,
            };
        };
        let whole = || Given {
            dir: rest.into(),
            revision: None,
        };
        let cut = |at: usize| Given {
            dir: rest[..at].into(),
            revision: Some(rest[at + 1..].to_owned()),
        };
        let mut cuts = rest.match_indices('@').map(|(at, _)| at);
        let given = if is_dir(Path::new(rest)) {
            whole()
        } else {
            let first = cuts.clone().next();
            let real = cuts.find(|at| is_dir(Path::new(&rest[..*at])));
            real.or(first).map_or_else(whole, cut)
        };
        SetSpec {
            name: name.to_owned(),
            given: Some(given),
        }
    }
}

impl Given {
    /// A text that changes whenever the files change. If they cannot be read, it is the reason.
    pub fn state(&self) -> String {
        if let Some(revision) = &self.revision {
            let repository = Repository::open(&self.dir);
            let commit = repository.and_then(|repository| repository.commit(revision));
            return commit.unwrap_or_else(|error| error.to_string());
        }
        match checkout::read(&self.dir) {
            Ok((folder, texts)) => format!("{folder} {texts:?}"),
            // Not a source tree, so a folder like /etc/apparmor.d.
            Err(_) => state_of(&self.dir),
        }
    }
}

/// Like [`Given::state`], for a folder that is laid out like `/etc/apparmor.d`.
pub fn state_of(dir: &Path) -> String {
    Tree::read(dir).map_or_else(|error| error.to_string(), |tree| tree.hash())
}

impl fmt::Display for SetSpec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.name)?;
        if let Some(given) = &self.given {
            write!(out, ":{}", given.dir.display())?;
            if let Some(revision) = &given.revision {
                write!(out, "@{revision}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn the_state_of_files_changes_with_any_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let given = Given {
            dir: dir.path().into(),
            revision: None,
        };
        let mut states = vec![given.state()];
        for (file, text) in [
            ("usr.sbin.libvirtd", "one"),
            ("usr.sbin.libvirtd", "two"),
            ("local/usr.sbin.libvirtd", "three"),
            ("src/security/apparmor/usr.sbin.libvirtd.in", "four"),
            ("src/security/apparmor/usr.sbin.libvirtd.in", "five"),
        ] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
            assert_eq!(given.state(), given.state());
            states.push(given.state());
        }
        let different: std::collections::BTreeSet<&String> = states.iter().collect();
        assert_eq!(different.len(), states.len());
    }

    #[rstest]
    #[case("packaged", "packaged", None)]
    #[case("dir:/a", "dir", Some(("/a", None)))]
    #[case("source:/a@HEAD", "source", Some(("/a", Some("HEAD"))))]
    #[case("source:/a@HEAD@{1}", "source", Some(("/a", Some("HEAD@{1}"))))]
    #[case("source:/b@c", "source", Some(("/b@c", None)))]
    #[case("source:/b@c@v1:x", "source", Some(("/b@c", Some("v1:x"))))]
    #[case("source:/none@v1@2", "source", Some(("/none", Some("v1@2"))))]
    #[case("source:", "source", Some(("", None)))]
    #[case("source:@-x", "source", Some(("", Some("-x"))))]
    fn names_folders_and_revisions(
        #[case] text: &str,
        #[case] name: &str,
        #[case] given: Option<(&str, Option<&str>)>,
    ) {
        let folders = ["/a", "/b@c"].map(Path::new);
        let spec = SetSpec::parse_with(text, &|path| folders.contains(&path));
        assert_eq!(spec.name, name);
        let got = spec.given.as_ref().map(|given| {
            let dir = given.dir.to_str().unwrap_or_default();
            (dir, given.revision.as_deref())
        });
        assert_eq!(got, given);
        assert_eq!(spec.to_string(), text);
    }
}
