//! Compiles policy text to what the kernel loads, with the parser of the image it is for.
//!
//! Only an image's own parser knows its kernel. It runs from the image's tree with the tree's own loader and libraries,
//! which needs no chroot and no privilege. It follows its `parser.conf` and `abi` rules, loads nothing, and neither
//! reads nor writes a cache.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fs_err as fs;

use crate::run::{RunError, run};

/// How to run an `apparmor_parser`.
#[derive(Clone, Debug)]
pub struct Parser {
    /// The parser itself.
    pub program: PathBuf,
    /// The dynamic loader that starts it; `None` runs the program directly.
    pub loader: Option<PathBuf>,
    /// The folders with its shared libraries, given to the loader.
    pub library_path: Vec<PathBuf>,
    /// The root of the image's tree, in which absolute paths of `parser.conf` are looked up; `None` means this
    /// machine's own.
    pub root: Option<PathBuf>,
    /// The `parser.conf` to use; `None` runs with the parser's defaults.
    pub config_file: Option<PathBuf>,
    /// The kernel's features, as a flat file or a directory. `None` leaves them to the parser, which then uses those of
    /// this machine's kernel.
    pub features: Option<PathBuf>,
    /// The time limit after which the parser is killed.
    pub timeout: Duration,
}

/// The parser's result for one policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The compiled policy, to be written to the kernel in one write.
    pub binary: Vec<u8>,
    /// Every line the parser wrote to its standard error, in order.
    pub warnings: Vec<String>,
}

/// Why there is no compiled policy.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The image has no parser.
    #[error("no apparmor_parser in {0}: install the package apparmor into it")]
    NoParser(PathBuf),
    /// A file of the image that is needed cannot be found or read.
    #[error("running the parser of an image needs {path}: {source}")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The parser could not be started, or its output could not be read.
    #[error("starting {program}: {source}")]
    Start {
        /// The parser.
        program: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The parser did not end within its time limit and was killed.
    #[error("{file}: the parser did not end within {} s and was killed", .timeout.as_secs())]
    TimedOut {
        /// The policy file.
        file: String,
        /// The time limit.
        timeout: Duration,
    },
    /// The parser rejected the policy.
    #[error("{}{}: {message}", .file, .line.map(|line| format!(":{line}")).unwrap_or_default())]
    Policy {
        /// The parser's first error message, without the location.
        message: String,
        /// The file that the message names, relative to the base if it is below the base.
        file: String,
        /// The line, if the message names one; the parser reports no columns.
        line: Option<u32>,
        /// Everything that the parser wrote.
        text: String,
    },
    /// The parser succeeded but compiled nothing, as for a file in `disable/`.
    #[error("{file}: the parser ended without an error and compiled nothing: {text}")]
    Nothing {
        /// The policy file.
        file: String,
        /// Everything that the parser wrote.
        text: String,
    },
}

/// The configuration keys whose value is a path of the image.
const PATHS: [&str; 6] = [
    "policy-features",
    // The name of that key before AppArmor 3.
    "compile-features",
    "override-policy-abi",
    "features-file",
    "kernel-features",
    "include",
];

/// The configuration keys that are left out because they do not affect what is compiled. Warnings stay on, caches and
/// loading are not used, and the base is passed separately.
const LEFT_OUT: [&str; 8] = [
    "quiet",
    "verbose",
    "write-cache",
    "show-cache",
    "skip-read-cache",
    "cache-loc",
    "subdomainfs",
    "base",
];

/// The policy directory in an image. A compilation uses the given tree in its place.
const SYSTEM_BASE: &str = "/etc/apparmor.d";

impl Parser {
    /// The parser of the image whose root file system is unpacked at `root`, run with that tree's own loader and
    /// libraries.
    pub fn from_tree(root: &Path) -> Result<Self, CompileError> {
        let root = fs::canonicalize(root).map_err(|source| CompileError::Missing {
            path: root.to_owned(),
            source,
        })?;
        let find = |candidates: &[&str]| {
            candidates
                .iter()
                .find_map(|path| resolve_inside(&root, Path::new(path)).ok())
        };
        let program = find(&[
            "/usr/sbin/apparmor_parser",
            "/sbin/apparmor_parser",
            "/usr/bin/apparmor_parser",
        ])
        .ok_or_else(|| CompileError::NoParser(root.clone()))?;
        let loader = [
            "/lib64/ld-linux-x86-64.so.2",
            "/lib/ld-linux-aarch64.so.1",
            "/lib/ld-linux-riscv64-lp64d.so.1",
            "/lib64/ld64.so.2",
            "/lib/ld64.so.1",
        ];
        let loader = find(&loader).ok_or_else(|| CompileError::Missing {
            path: root.join("lib64/ld-linux-x86-64.so.2"),
            source: io::ErrorKind::NotFound.into(),
        })?;
        Ok(Self {
            program,
            loader: Some(loader),
            library_path: libraries(&root),
            config_file: resolve_inside(&root, Path::new("/etc/apparmor/parser.conf")).ok(),
            root: Some(root),
            features: None,
            timeout: Duration::from_secs(120),
        })
    }

    /// The same parser with these kernel features: a flat file, or a directory like the kernel's own.
    #[must_use]
    pub fn with_features(mut self, features: impl Into<PathBuf>) -> Self {
        self.features = Some(features.into());
        self
    }

    /// Compiles `file`, a path relative to the policy tree in `dir`, with `extra` arguments for the parser.
    ///
    /// Warnings are not errors here; the caller must look at [`Compiled::warnings`].
    pub fn compile(&self, dir: &Path, file: &str, extra: &[&str]) -> Result<Compiled, CompileError> {
        let dir = fs::canonicalize(dir).map_err(|source| CompileError::Missing {
            path: dir.to_owned(),
            source,
        })?;
        // The file must exist until the run is over.
        let config = self.config(&dir)?;
        let mut command = self.command();
        command
            .args(["--stdout", "--skip-kernel-load", "--skip-cache", "--base"])
            .arg(&dir);
        command.arg("--config-file").arg(config.path());
        if let Some(features) = &self.features {
            command.arg("--kernel-features").arg(features);
        }
        command.args(extra).arg(dir.join(file)).current_dir(&dir);
        let (binary, warnings) = self.finish(&mut command, &dir, file)?;
        if binary.is_empty() {
            return Err(CompileError::Nothing {
                file: file.to_owned(),
                text: warnings.join("\n"),
            });
        }
        Ok(Compiled { binary, warnings })
    }

    /// The parser's version: the first line that it prints for `--version`.
    pub fn version(&self) -> Result<String, CompileError> {
        let ended = self.finish(self.command().arg("--version"), Path::new("/"), "--version")?;
        Ok(String::from_utf8_lossy(&ended.0)
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned())
    }

    fn command(&self) -> Command {
        let mut command = match &self.loader {
            Some(loader) => {
                let mut command = Command::new(loader);
                let folders: Vec<_> = self.library_path.iter().map(|path| path.as_os_str()).collect();
                command
                    .arg("--library-path")
                    .arg(folders.join(std::ffi::OsStr::new(":")))
                    .arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        // The caller's environment must not change the result, and messages must be in English.
        command
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    fn finish(
        &self,
        command: &mut Command,
        dir: &Path,
        file: &str,
    ) -> Result<(Vec<u8>, Vec<String>), CompileError> {
        let ended = run(command, self.timeout).map_err(|error| match error {
            RunError::Io(source) => CompileError::Start {
                program: self.program.clone(),
                source,
            },
            RunError::TimedOut => CompileError::TimedOut {
                file: file.to_owned(),
                timeout: self.timeout,
            },
        })?;
        let text = String::from_utf8_lossy(&ended.stderr).into_owned();
        if ended.status.success() {
            return Ok((ended.stdout, text.lines().map(str::to_owned).collect()));
        }
        let complaint = Complaint::read(&text, dir);
        Err(CompileError::Policy {
            message: complaint
                .message
                .unwrap_or_else(|| format!("the parser ended with {}", ended.status)),
            file: complaint.file.unwrap_or_else(|| file.to_owned()),
            line: complaint.line,
            text,
        })
    }

    /// Writes the image's `parser.conf` to a file that exists as long as the returned value. Its paths lead into the
    /// image's tree, or into `dir` if they are below the policy's base.
    fn config(&self, dir: &Path) -> Result<tempfile::NamedTempFile, CompileError> {
        let missing = |path: &Path, source| CompileError::Missing {
            path: path.to_owned(),
            source,
        };
        let text = match &self.config_file {
            Some(path) => fs::read_to_string(path).map_err(|source| missing(path, source))?,
            None => String::new(),
        };
        let mut out = String::with_capacity(text.len());
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            let at = line
                .find(|c: char| c == '=' || c.is_whitespace())
                .unwrap_or(line.len());
            let (key, value) = (&line[..at], line[at..].trim_start_matches(['=', ' ', '\t']));
            let is = |known: &&str| key.eq_ignore_ascii_case(known);
            if LEFT_OUT.iter().any(is) {
                continue;
            }
            let path = Path::new(value);
            match &self.root {
                Some(root) if PATHS.iter().any(is) && path.is_absolute() => {
                    let path = match path.strip_prefix(SYSTEM_BASE) {
                        Ok(below) => dir.join(below),
                        Err(_) => resolve_inside(root, path).map_err(|source| missing(path, source))?,
                    };
                    out.push_str(&format!("{key}={}\n", path.display()));
                }
                _ => out.push_str(&format!("{line}\n")),
            }
        }
        let file = tempfile::Builder::new()
            .prefix("parser.conf.")
            .tempfile()
            .map_err(|source| missing(&std::env::temp_dir(), source))?;
        fs::write(file.path(), out).map_err(|source| missing(file.path(), source))?;
        Ok(file)
    }
}

/// The parser's first error message, split into its parts.
#[derive(Default)]
struct Complaint {
    message: Option<String>,
    file: Option<String>,
    line: Option<u32>,
}

impl Complaint {
    /// Reads lines like `AppArmor parser error for TOP in profile FILE at line N: MESSAGE`, in which each part but the
    /// first may be missing. Other lines are free text.
    fn read(text: &str, dir: &Path) -> Self {
        let Some(line) = text.lines().find(|line| line.contains("parser error")) else {
            return Self {
                message: text
                    .lines()
                    .find(|line| !line.trim().is_empty())
                    .map(str::to_owned),
                ..Self::default()
            };
        };
        let rest = line.split_once("parser error").map_or(line, |(_, rest)| rest);
        let (place, message) = match rest.find(": ") {
            Some(colon) => (&rest[..colon], rest[colon + 2..].trim()),
            None => (rest, line),
        };
        let (place, number) = match place.rsplit_once(" at line ") {
            Some((place, number)) => (place, number.trim().parse().ok()),
            None => (place, None),
        };
        let file = match place.rsplit_once(" in profile ") {
            Some((_, file)) => Some(file),
            None => place.trim_start().strip_prefix("for "),
        };
        let prefix = format!("{}/", dir.display());
        Self {
            message: Some(message.to_owned()),
            file: file.map(|file| {
                file.trim()
                    .strip_prefix(&prefix)
                    .unwrap_or(file.trim())
                    .to_owned()
            }),
            line: number,
        }
    }
}

/// The existing folders of an image in which its loader looks for libraries.
fn libraries(root: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for base in ["/usr/lib", "/lib"] {
        if let Ok(base) = resolve_inside(root, Path::new(base))
            && let Ok(entries) = fs::read_dir(&base)
        {
            let mut triplets: Vec<_> = entries
                .flatten()
                .filter(|entry| entry.file_name().to_string_lossy().ends_with("-linux-gnu"))
                .map(|entry| entry.path())
                .collect();
            triplets.sort();
            folders.extend(triplets);
        }
    }
    folders.extend(
        ["/usr/lib64", "/lib64", "/usr/lib", "/lib"]
            .iter()
            .filter_map(|path| resolve_inside(root, Path::new(path)).ok()),
    );
    let mut seen = Vec::new();
    folders.retain(|folder| {
        let new = !seen.contains(folder);
        seen.push(folder.clone());
        new
    });
    folders
}

/// Converts an absolute path of the image to a path of this machine. Follows every link inside the image.
pub fn resolve_inside(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut left: Vec<PathBuf> = parts(path);
    left.reverse();
    let mut at = PathBuf::new();
    let mut links = 0;
    while let Some(part) = left.pop() {
        if part == Path::new("..") {
            at.pop();
            continue;
        }
        let next = at.join(&part);
        let real = root.join(&next);
        if fs::symlink_metadata(&real)?.is_symlink() {
            links += 1;
            // The kernel has the same limit.
            if links > 40 {
                return Err(io::Error::other(format!("{}: too many links", path.display())));
            }
            let target = fs::read_link(&real)?;
            if target.is_absolute() {
                at = PathBuf::new();
            }
            left.extend(parts(&target).into_iter().rev());
        } else {
            at = next;
        }
    }
    Ok(root.join(at))
}

fn parts(path: &Path) -> Vec<PathBuf> {
    path.components()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| PathBuf::from(part.as_os_str()))
        .collect()
}
