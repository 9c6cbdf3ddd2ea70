//! Writes templates to files. A changed file is overwritten only with `force`.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::text::{File, Files};

/// Why files were not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Other files are already there.
    #[error("nothing was written: {} there already, and other than what would be written: {}; write into \
        another folder to compare, or overwrite with --force", if .0.len() == 1 { "a file is" } else { "files are" },
        names(.0))]
    Differ(
        /// Their paths; never empty.
        Vec<PathBuf>,
    ),
    /// A file cannot be read or written.
    #[error("cannot {what} {}: {source}", .path.display())]
    Access {
        /// `read` or `write`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is new or was changed.
    Written,
    /// It was already there with this content.
    Unchanged,
}

/// Write files below a folder, which is created if it is missing. Writes nothing if a file would be overwritten without
/// `force`. Returns what happened to each file, by its path.
pub fn write(dir: &Path, files: &Files, force: bool) -> Result<Vec<(PathBuf, Outcome)>, WriteError> {
    let mut pending = Vec::new();
    let mut differ = Vec::new();
    for (path, file) in files {
        let path = dir.join(path);
        let there = read(&path)?;
        let outcome = match there {
            Some(bytes) if bytes == file.text.as_bytes() => Outcome::Unchanged,
            Some(_) => {
                differ.push(path.clone());
                Outcome::Written
            }
            None => Outcome::Written,
        };
        pending.push((path, outcome, file));
    }
    if !differ.is_empty() && !force {
        return Err(WriteError::Differ(differ));
    }
    let mut told = Vec::new();
    for (path, outcome, file) in pending {
        put(&path, outcome, file).map_err(|source| WriteError::Access {
            what: "write",
            path: path.clone(),
            source,
        })?;
        told.push((path, outcome));
    }
    Ok(told)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, WriteError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(WriteError::Access {
            what: "read",
            path: path.to_owned(),
            source,
        }),
    }
}

fn put(path: &Path, outcome: Outcome, file: &File) -> io::Result<()> {
    if outcome == Outcome::Written {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, &file.text)?;
    }
    if file.executable {
        // Whoever may read it may run it, as the umask allows.
        let mode = fs::metadata(path)?.permissions().mode();
        let runnable = mode | ((mode & 0o444) >> 2);
        if runnable != mode {
            fs::set_permissions(path, fs::Permissions::from_mode(runnable))?;
        }
    }
    Ok(())
}

fn names(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::text::{plain, program};
    use super::*;

    fn files() -> Files {
        Files::from([
            ("a/read", plain("one\n".into())),
            ("run", program("#!/bin/sh\n".into())),
        ])
    }

    fn outcomes(told: &[(PathBuf, Outcome)]) -> Vec<Outcome> {
        told.iter().map(|(_, outcome)| *outcome).collect()
    }

    #[test]
    fn files_are_made_and_a_second_time_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("new");
        let told = write(&target, &files(), false).unwrap();
        assert_eq!(outcomes(&told), [Outcome::Written; 2]);
        assert_eq!(fs::read_to_string(target.join("a/read")).unwrap(), "one\n");
        let mode = |name: &str| fs::metadata(target.join(name)).unwrap().permissions().mode();
        assert_eq!((mode("run") & 0o100, mode("a/read") & 0o111), (0o100, 0));
        let told = write(&target, &files(), false).unwrap();
        assert_eq!(outcomes(&told), [Outcome::Unchanged; 2]);
    }

    #[test]
    fn a_changed_file_stands_and_nothing_else_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        fs::write(&run, "mine\n").unwrap();
        let error = write(dir.path(), &files(), false).unwrap_err().to_string();
        assert!(
            error.contains("run;") && error.contains("--force") && !error.contains("a/read"),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&run).unwrap(), "mine\n");
        assert!(!dir.path().join("a").exists());
        let told = write(dir.path(), &files(), true).unwrap();
        assert_eq!(outcomes(&told), [Outcome::Written; 2]);
        assert_eq!(fs::read_to_string(&run).unwrap(), "#!/bin/sh\n");
    }

    #[test]
    fn what_is_no_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("run")).unwrap();
        let error = write(dir.path(), &files(), true).unwrap_err().to_string();
        assert!(
            error.starts_with("cannot read ") && error.contains("/run: "),
            "{error}"
        );
    }
}
