//! Reads the profile folder of a libvirt source tree from git's objects. No checkout is made, and nothing is written.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::checkout::{self, MAX_FILES, SourceError, Texts};
use super::source::{FOLDERS, is_wanted};
use crate::children::{self, Group};
use crate::tools::{self, GIT, MissingTools};

/// Time limit for reading objects.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The largest list of files that is read, in bytes.
const MAX_LIST: u64 = 1 << 20;

/// A repository of this machine, bare or not.
#[derive(Debug)]
pub struct Repository {
    git: PathBuf,
    dir: PathBuf,
}

/// A file in a commit.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    object: String,
    /// Size in bytes; `None` if it is not a regular file.
    size: Option<u64>,
}

impl Repository {
    /// The repository at `dir`, or the one that contains it.
    pub fn open(dir: &Path) -> Result<Repository, SourceError> {
        let git = tools::find(GIT).ok_or_else(|| SourceError::NoGit(MissingTools(vec![GIT])))?;
        let dir = dir.to_owned();
        Ok(Repository { git, dir })
    }

    /// The commit's full name. `revision` comes from outside and is never read as an option.
    pub fn commit(&self, revision: &str) -> Result<String, SourceError> {
        let no_revision = |said: String| SourceError::NoRevision {
            revision: revision.to_owned(),
            dir: self.dir.clone(),
            said,
        };
        if revision.is_empty() || revision.starts_with('-') {
            return Err(no_revision(
                "a revision's name is not empty, and begins with no `-`".into(),
            ));
        }
        let wanted = format!("{revision}^{{commit}}");
        let arguments = ["rev-parse", "--verify", "--end-of-options", &wanted];
        match self.git("rev-parse", &arguments) {
            Ok(name) => Ok(String::from_utf8_lossy(&name).trim().to_owned()),
            Err(SourceError::GitSaid { said, .. }) => Err(no_revision(said)),
            Err(other) => Err(other),
        }
    }

    /// The name of the profile folder of a commit (given by its full name), and its files.
    pub fn read(&self, commit: &str) -> Result<(&'static str, Texts), SourceError> {
        for folder in FOLDERS {
            let texts = self.read_folder(commit, folder)?;
            if checkout::has_profiles(&texts) {
                return Ok((folder, texts));
            }
        }
        let place = format!("{} at {commit}", self.dir.display());
        Err(SourceError::NoProfiles { place })
    }

    /// A folder of a commit, relative to the repository's own folder; empty if there is no folder.
    pub fn read_folder(&self, commit: &str, folder: &str) -> Result<Texts, SourceError> {
        let path = format!("{folder}/");
        let list = self.git("ls-tree", &["ls-tree", "-z", "--long", commit, "--", &path])?;
        let mut texts = Texts::new();
        for entry in entries(&String::from_utf8_lossy(&list)) {
            if !is_wanted(&entry.name) {
                continue;
            }
            let shown = format!("{folder}/{}", entry.name);
            let Some(size) = entry.size else {
                return Err(SourceError::NoFile { file: shown });
            };
            if texts.len() >= MAX_FILES {
                let folder = folder.to_owned();
                return Err(SourceError::TooMany { folder });
            }
            if size > checkout::MAX_FILE {
                return Err(SourceError::TooLarge {
                    file: shown,
                    bytes: size,
                });
            }
            let bytes = self.git("cat-file", &["cat-file", "blob", &entry.object])?;
            texts.insert(entry.name, checkout::text(&shown, bytes, size)?);
        }
        Ok(texts)
    }

    fn git(&self, what: &'static str, arguments: &[&str]) -> Result<Vec<u8>, SourceError> {
        let mut out = tempfile::tempfile().map_err(SourceError::Git)?;
        let mut said = tempfile::tempfile().map_err(SourceError::Git)?;
        let copy = |file: &File| file.try_clone().map_err(SourceError::Git);
        let words = ["-C".as_ref(), self.dir.as_os_str()]
            .into_iter()
            .chain(arguments.iter().map(AsRef::as_ref));
        let expression = duct::cmd(&self.git, words)
            .env("LC_ALL", "C")
            // Only local objects are read: nothing is fetched, and nobody is prompted.
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .stdin_null()
            .stdout_file(copy(&out)?)
            .stderr_file(copy(&said)?)
            .unchecked();
        let child = children::spawn(expression, Group::Own, Vec::new()).map_err(SourceError::Git)?;
        let dir = || self.dir.clone();
        let Some(status) = child.wait(TIMEOUT).map_err(SourceError::Git)? else {
            return Err(SourceError::GitHangs {
                what,
                dir: dir(),
                seconds: TIMEOUT.as_secs(),
            });
        };
        if !status.success() {
            let said = String::from_utf8_lossy(&contents(&mut said)?).trim().to_owned();
            let dir = dir();
            return Err(SourceError::GitSaid { what, dir, said });
        }
        contents(&mut out)
    }
}

fn contents(file: &mut File) -> Result<Vec<u8>, SourceError> {
    let mut bytes = Vec::new();
    file.rewind().map_err(SourceError::Git)?;
    file.take(MAX_LIST + 1)
        .read_to_end(&mut bytes)
        .map_err(SourceError::Git)?;
    if bytes.len() as u64 > MAX_LIST {
        let file = "what git printed".to_owned();
        return Err(SourceError::TooLarge {
            file,
            bytes: bytes.len() as u64,
        });
    }
    Ok(bytes)
}

/// `MODE TYPE OBJECT SIZE<TAB>PATH`, each ended by NUL.
fn entries(list: &str) -> Vec<Entry> {
    let entry = |line: &str| {
        let (facts, path) = line.split_once('\t')?;
        let mut facts = facts.split_whitespace();
        let (mode, kind, object, size) = (facts.next()?, facts.next()?, facts.next()?, facts.next()?);
        let plain = kind == "blob" && matches!(mode, "100644" | "100755");
        Some(Entry {
            name: path.rsplit('/').next().unwrap_or(path).to_owned(),
            object: object.to_owned(),
            size: if plain { size.parse().ok() } else { None },
        })
    };
    list.split('\0').filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rstest::rstest;

    use super::*;

    /// A repository with one commit, tagged `v1`.
    fn repository(change: impl FnOnce(&Path)) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join(FOLDERS[0]);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("usr.sbin.d.in"), "first\n").unwrap();
        change(&folder);
        git(dir.path(), "init -q .");
        git(dir.path(), "add .");
        git(dir.path(), "-c user.name=n -c user.email=e commit -q -m m");
        git(dir.path(), "tag v1");
        dir
    }

    fn git(dir: &Path, arguments: &str) {
        let out = duct::cmd(
            "git",
            ["-C".as_ref(), dir.as_os_str()]
                .into_iter()
                .chain(arguments.split(' ').map(AsRef::as_ref)),
        );
        out.stdout_null().stderr_null().run().unwrap();
    }

    fn read(dir: &Path, revision: &str) -> Result<(&'static str, Texts), SourceError> {
        let repository = Repository::open(dir)?;
        let commit = repository.commit(revision)?;
        assert_eq!(commit.len(), 40);
        repository.read(&commit)
    }

    #[test]
    fn a_revision_is_read_whatever_is_checked_out() {
        let dir = repository(|_| ());
        let file = dir.path().join(FOLDERS[0]).join("usr.sbin.d.in");
        fs::write(&file, "second\n").unwrap();
        git(dir.path(), "-c user.name=n -c user.email=e commit -q -a -m m");
        fs::write(&file, "not committed\n").unwrap();
        assert_eq!(read(dir.path(), "v1").unwrap().1["usr.sbin.d.in"], "first\n");
        assert_eq!(read(dir.path(), "HEAD").unwrap().1["usr.sbin.d.in"], "second\n");
        assert_eq!(
            read(&dir.path().join(".git"), "v1").unwrap().1["usr.sbin.d.in"],
            "first\n"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), "not committed\n");
    }

    #[rstest]
    #[case::an_option("--git-dir=/tmp")]
    #[case::another("-h")]
    #[case::empty("")]
    #[case::unknown("no-such-tag")]
    #[case::no_commit("v1:src")]
    fn what_is_no_revision_is_said_to_be_none(#[case] revision: &str) {
        let dir = repository(|_| ());
        let error = read(dir.path(), revision).unwrap_err();
        assert!(matches!(error, SourceError::NoRevision { .. }), "{error}");
    }

    #[test]
    fn no_repository_and_no_folder() {
        let dir = tempfile::tempdir().unwrap();
        let error = read(dir.path(), "HEAD").unwrap_err().to_string();
        assert!(error.contains("not a git repository"), "{error}");
        let error = read(&dir.path().join("none"), "HEAD").unwrap_err().to_string();
        assert!(error.contains("No such file or directory"), "{error}");
    }

    #[test]
    fn links_and_large_files_are_refused() {
        let linked = repository(|folder| symlink("/etc/shadow", folder.join("libvirt-qemu")).unwrap());
        let error = read(linked.path(), "v1").unwrap_err().to_string();
        assert!(error.contains("libvirt-qemu is not a regular file"), "{error}");
        let size = usize::try_from(checkout::MAX_FILE).unwrap() + 1;
        let large = repository(|folder| fs::write(folder.join("libvirt-qemu"), vec![b'x'; size]).unwrap());
        let error = read(large.path(), "v1").unwrap_err().to_string();
        assert!(error.contains("has 1048577 bytes"), "{error}");
    }

    #[test]
    fn a_listing_is_taken_apart() {
        let list =
            "100644 blob aaaa     12\tsrc/a\u{0}120000 blob bbbb 3\tsrc/b\u{0}040000 tree cccc -\tsrc/c\u{0}";
        let sizes: Vec<_> = entries(list)
            .into_iter()
            .map(|entry| (entry.name, entry.size))
            .collect();
        let want = [("a", Some(12)), ("b", None), ("c", None)];
        assert_eq!(sizes, want.map(|(name, size)| (name.to_owned(), size)));
    }
}
