//! Where the reports of a run go: one to standard output while the run goes on, and any number into files. Each file
//! appears whole or not at all.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum;

use super::failure::Failure;
use super::output;
use crate::report::format::{Format, ReportInput};
use crate::report::{github, markdown};

/// GitHub's file for a step's summary.
const STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// `FORMAT` or `FORMAT:FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The format.
    pub format: Format,
    /// The file; `None` is standard output.
    pub file: Option<PathBuf>,
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Spec, String> {
        let (format, file) = match text.split_once(':') {
            Some((format, file)) => (format, Some(file)),
            None => (text, None),
        };
        if file == Some("") {
            return Err("no file after the colon".into());
        }
        let format = Format::from_str(format, false).map_err(|_| {
            let all = Format::value_variants().iter();
            let names: Vec<String> = all
                .filter_map(|format| Some(format.to_possible_value()?.get_name().to_string()))
                .collect();
            format!("the formats are {}", names.join(", "))
        })?;
        let file = file.filter(|file| *file != "-").map(PathBuf::from);
        Ok(Spec { format, file })
    }
}

/// The destinations of reports, checked before anything is run.
pub struct Reports {
    stdout: Format,
    files: Vec<(Format, PathBuf)>,
    summary: Option<PathBuf>,
    token: String,
}

impl Reports {
    /// Check every file. A file of an earlier run is removed, so that nobody takes it for this run's.
    pub fn open(specs: &[Spec]) -> Result<Reports, Failure> {
        let on_stdout: Vec<Format> = specs
            .iter()
            .filter(|spec| spec.file.is_none())
            .map(|spec| spec.format)
            .collect();
        if on_stdout.len() > 1 {
            return Err(Failure::usage(
                "two reports on standard output; give all but one a file, as in --report junit:FILE",
            ));
        }
        let mut files: Vec<(Format, PathBuf)> = Vec::new();
        for spec in specs {
            let Some(file) = &spec.file else { continue };
            let target = target(file).map_err(|error| unwritable(file, &error))?;
            if files.iter().any(|(_, other)| *other == target) {
                return Err(Failure::usage(format!("two reports into {}", file.display())));
            }
            files.push((spec.format, target));
        }
        for (_, file) in &files {
            writable(file).map_err(|error| unwritable(file, &error))?;
        }
        let asked = specs.iter().any(|spec| spec.format == Format::Github);
        let summary = std::env::var_os(STEP_SUMMARY).filter(|path| asked && !path.is_empty());
        let summary = summary.map(PathBuf::from);
        if let Some(path) = &summary {
            append(path, "").map_err(|error| unwritable(path, &error))?;
        }
        // Remove files only after all have been checked.
        for (_, file) in &files {
            match fs::remove_file(file) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(unwritable(file, &error)),
                _ => {}
            }
        }
        Ok(Reports {
            stdout: on_stdout.first().copied().unwrap_or(Format::Human),
            files,
            summary,
            token: token()?,
        })
    }

    /// Whether standard output shows lines for people during the run.
    pub fn is_live(&self) -> bool {
        matches!(self.stdout, Format::Human | Format::Github)
    }

    /// Whether these lines may be coloured.
    pub fn may_paint(&self) -> bool {
        self.stdout == Format::Human
    }

    /// Print the first line for people.
    pub fn begin(&self, heading: &str) -> Result<(), Failure> {
        if self.stdout == Format::Github {
            output::print(&github::stop(&self.token))?;
        }
        self.line(&format!("{heading}\n"))
    }

    /// Print lines for people.
    pub fn line(&self, text: &str) -> Result<(), Failure> {
        if self.is_live() {
            output::print(text)
        } else {
            Ok(())
        }
    }

    /// An unguessable token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Write every file, then the rest of standard output. If one fails, the others are still written.
    pub fn end(&self, telling: &ReportInput<'_>, closing: &str) -> Result<(), Failure> {
        let mut failed = None;
        for (format, file) in &self.files {
            let text = telling.text(*format).map_err(Failure::broken);
            let written = text.and_then(|text| {
                whole(file, &text)
                    .map_err(|error| Failure::broken(format!("cannot write {}: {error}", file.display())))
            });
            failed = failed.or(written.err());
        }
        if let Some(path) = &self.summary {
            let written = append(path, &markdown::text(&telling.outline));
            failed = failed.or(written
                .map_err(|error| Failure::broken(format!("cannot write {}: {error}", path.display())))
                .err());
        }
        match self.stdout {
            Format::Human => output::print(&format!("{closing}\n"))?,
            Format::Github => {
                let (resume, annotations) =
                    (github::resume(&self.token), github::annotations(&telling.outline));
                output::print(&format!("{closing}\n{resume}{annotations}"))?;
            }
            other => output::print(&telling.text(other).map_err(Failure::broken)?)?,
        }
        failed.map_or(Ok(()), Err)
    }
}

fn unwritable(file: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("cannot write a report to {}: {error}", file.display()))
}

/// The file itself. Links are followed, since a rename would replace them.
fn target(file: &Path) -> io::Result<PathBuf> {
    match file.canonicalize() {
        Ok(path) if path.is_file() => Ok(path),
        Ok(_) => Err(io::Error::other("it is there and no regular file")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if file.is_symlink() {
                return Err(io::Error::other("it is a link to nothing"));
            }
            let name = file
                .file_name()
                .ok_or_else(|| io::Error::other("it has no file name"))?;
            Ok(folder(file).canonicalize()?.join(name))
        }
        Err(error) => Err(error),
    }
}

fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn temporary(file: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new()
        .prefix(".virt-aa-conform-")
        // Reduced by the umask: others may read it like any other file.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder(file))
}

/// Check that a file can be made there. It is removed at once, so that an aborted run leaves nothing.
fn writable(file: &Path) -> io::Result<()> {
    temporary(file)?.close()
}

/// Write a file so that it appears whole or not at all.
fn whole(file: &Path, text: &str) -> io::Result<()> {
    let mut temporary = temporary(file)?;
    temporary.write_all(text.as_bytes())?;
    temporary.persist(file).map_err(|error| error.error)?;
    Ok(())
}

fn append(file: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(file)?;
    file.write_all(text.as_bytes())
}

fn token() -> Result<String, Failure> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| Failure::broken(format!("no random numbers: {error}")))?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn spec(text: &str) -> Spec {
        text.parse().unwrap()
    }

    #[rstest]
    #[case("junit", Format::Junit, None)]
    #[case("human:-", Format::Human, None)]
    #[case("tap:a:b", Format::Tap, Some("a:b"))]
    fn a_report_is_a_format_and_a_file(
        #[case] text: &str,
        #[case] format: Format,
        #[case] file: Option<&str>,
    ) {
        let file = file.map(PathBuf::from);
        assert_eq!(spec(text), Spec { format, file });
    }

    #[rstest]
    #[case("xml:f", "the formats are human, json, junit, tap, github, sarif, markdown")]
    #[case("tap:", "no file after the colon")]
    fn a_wrong_one_says_what_there_is(#[case] text: &str, #[case] message: &str) {
        assert_eq!(text.parse::<Spec>().unwrap_err(), message);
    }

    fn refused(specs: &[Spec]) -> String {
        Reports::open(specs).err().expect("refused").message
    }

    #[test]
    fn two_on_standard_output_or_into_one_file_are_refused() {
        assert!(refused(&[spec("json"), spec("tap:-")]).starts_with("two reports on standard output"));
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| format!("json:{}/{name}", dir.path().display());
        assert!(refused(&[spec(&path("a")), spec(&path("./a"))]).starts_with("two reports into"));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_refused_and_no_other_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let old = dir.path().join("old");
        fs::write(&old, "of yesterday").unwrap();
        let (good, at) = (format!("tap:{}", old.display()), dir.path().display());
        std::os::unix::fs::symlink("nowhere", dir.path().join("link")).unwrap();
        for wrong in [
            format!("json:{at}"),
            format!("json:{at}/none/f"),
            format!("json:{at}/link"),
            "json:/dev/null".into(),
        ] {
            assert!(refused(&[spec(&good), spec(&wrong)]).starts_with("cannot write a report to"));
            assert_eq!(fs::read_to_string(&old).unwrap(), "of yesterday");
        }
    }

    #[test]
    fn an_old_report_is_gone_before_the_run_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let old = dir.path().join("old");
        fs::write(&old, "of yesterday").unwrap();
        Reports::open(&[spec(&format!("tap:{}", old.display()))])
            .ok()
            .unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_is_written_through_a_link_for_others_to_read() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("f"), dir.path().join("l"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink("f", &link).unwrap();
        whole(&target(&link).unwrap(), "new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        let plain = dir.path().join("plain");
        fs::write(&plain, "").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&file), mode(&plain));
    }
}
