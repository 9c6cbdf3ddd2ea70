//! Which profile set, as the command line names it: `packaged`, `libvirt-source:DIR`, `libvirt-source:DIR@REVISION`,
//! `dir:DIR`.

use std::fmt;
use std::path::{Path, PathBuf};

/// A set by its manifest's name, and the files given for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetSpec {
    /// The manifest.
    pub name: String,
    /// Behind the first colon.
    pub given: Option<Given>,
}

/// Files for a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Their folder, or the repository with them.
    pub dir: PathBuf,
    /// The revision to read from the repository.
    pub revision: Option<String>,
}

impl SetSpec {
    /// Read what the command line says.
    pub fn parse(text: &str) -> SetSpec {
        SetSpec::parse_with(text, &|path| path.is_dir())
    }

    /// The same; `is_dir` settles which `@` begins the revision, since both it and a folder's name may have one.
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
