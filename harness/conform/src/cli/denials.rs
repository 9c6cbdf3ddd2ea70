//! `denials`: turns audit text into records, sentences or cases.

mod fold;

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

use aa_audit::{Found, Posted, Problem, Record};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};
use virt_aa_probe::wait::until_ready;

use super::args::{DenialsArgs, DenialsFormat};
use super::audit_text::{self, LogItem, Stopped};
use super::failure::Failure;
use super::output::{self, printable};
use super::skeleton::Skeletons;
use super::target::DEFAULT_IMAGE;
use crate::exit;
use fold::Fold;
use virt_aa_engine::image;
use virt_aa_engine::root::Root;
use virt_aa_engine::setup;
use virt_aa_model::advice::{Known, advise};

/// The name of standard input in messages.
const STDIN: &str = "standard input";
/// This machine's own profiles.
const INSTALLED: &str = "/etc/apparmor.d";
/// A file by which a set is recognized as libvirt's.
const OF_LIBVIRT: &str = "abstractions/libvirt-qemu";
/// After so many milliseconds without input, the records so far are printed.
const PAUSE: Duration = Duration::from_millis(200);

/// Read every input to its end, even if something in it is wrong.
pub fn denials(root: Result<Root, Failure>, args: &DenialsArgs) -> Result<u8, Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut work = Work {
        out: &mut out,
        err: &mut io::stderr(),
        format: args.format,
        known: known(root, args.image.as_deref())?,
        written: 0,
        skeletons: Skeletons::default(),
        fold: Fold::default(),
        wrong: false,
    };
    let done = work.all(&args.files);
    output::written(done)?;
    Ok(if work.wrong { exit::USAGE } else { exit::OK })
}

/// The profiles in which rules are looked up: those of the given image, or of the default image if it is built, or of
/// this machine. A text can be read without any.
fn known(root: Result<Root, Failure>, image: Option<&str>) -> Result<Option<Known>, Failure> {
    let of_image = |root: &Root, name: &str| -> Result<Option<Known>, Failure> {
        let found = image::find(&setup::store(root)?, name).map_err(setup::of_image)?;
        let Some(found) = found else { return Ok(None) };
        let dir = found.tree.join("etc/apparmor.d");
        let known = Known::read(&dir, &format!("in image {name}"));
        known
            .map(Some)
            .map_err(|error| Failure::broken(error.to_string()))
    };
    if let Some(name) = image {
        return match of_image(&root?, name)? {
            Some(known) => Ok(Some(known)),
            None => Err(Failure::broken(format!(
                "image {name} is not built; build it with: virt-aa-conform image build {name}"
            ))),
        };
    }
    if let Ok(root) = root
        && let Ok(Some(known)) = of_image(&root, DEFAULT_IMAGE)
    {
        return Ok(Some(known));
    }
    let installed = Path::new(INSTALLED);
    let is_there = installed.join(OF_LIBVIRT).exists();
    Ok(is_there
        .then(|| Known::read(installed, "on this machine").ok())
        .flatten())
}

struct Work<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    format: DenialsFormat,
    known: Option<Known>,
    written: u64,
    skeletons: Skeletons,
    fold: Fold,
    /// Whether something could not be read.
    wrong: bool,
}

impl Work<'_> {
    /// Reads every file. The error is a write error.
    fn all(&mut self, files: &[impl AsRef<Path>]) -> io::Result<()> {
        if files.is_empty() {
            self.input(&mut io::stdin().lock(), STDIN)?;
        }
        for file in files {
            let path = file.as_ref();
            let name = printable(&path.display().to_string());
            match File::open(path) {
                Ok(mut open) => self.input(&mut open, &name)?,
                Err(error) => self.complain(&format!("{name}: {error}"))?,
            }
        }
        self.end()
    }

    fn input<I: Read + AsFd>(&mut self, input: &mut I, name: &str) -> io::Result<()> {
        let fd = input.as_fd().try_clone_to_owned()?;
        let waits = || {
            let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
            matches!(until_ready(&mut fds, Some(Instant::now() + PAUSE)), Ok(false))
        };
        self.read(input, waits, name)
    }

    fn read(&mut self, input: &mut impl Read, waits: impl Fn() -> bool, name: &str) -> io::Result<()> {
        let read = audit_text::each(input, waits, &mut |met| match met {
            LogItem::Posted(Posted::Record(found)) => self.found(&found, name),
            LogItem::Posted(Posted::Unread { line, problem }) => self.unread(name, line, &problem),
            LogItem::TooLong(line) => self.complain(&format!(
                "{name}:{line}: the line is too long for a record of the kernel"
            )),
            // Someone who follows a log sees the records so far.
            LogItem::Pause => self.tell(),
        });
        match read {
            Err(Stopped::HandingOn(error)) => return Err(error),
            Err(Stopped::Reading(error)) => self.complain(&format!("{name}: {error}"))?,
            Ok(()) => {}
        }
        Ok(())
    }

    /// Prints an error after the text so far.
    fn complain(&mut self, message: &str) -> io::Result<()> {
        self.wrong = true;
        self.tell()?;
        writeln!(self.err, "error: {message}")
    }

    fn unread(&mut self, name: &str, line: u64, problem: &Problem) -> io::Result<()> {
        if let (Problem::Cut { record, .. }, DenialsFormat::Human) = (problem, self.format)
            && record.operation.is_some()
        {
            self.human(
                record,
                vec!["the record is cut short, so no rule can be told".to_owned()],
            )?;
        }
        self.complain(&format!("{name}:{line}: {problem}"))
    }

    fn found(&mut self, found: &Found, name: &str) -> io::Result<()> {
        if let Some(key) = &found.joined_within {
            self.tell()?;
            writeln!(
                self.err,
                "warning: {name}:{}: a line ends within {key}; whether a space stood there is a guess",
                found.line
            )?;
        }
        let record = &found.record;
        let text = match self.format {
            DenialsFormat::Human if record.verdict.is_clean() => return self.human(record, Vec::new()),
            DenialsFormat::Human => {
                let lines = advise(record, self.known.as_ref());
                return self.human(record, lines.iter().map(|line| printable(line)).collect());
            }
            DenialsFormat::Json => {
                let separator = if self.written == 0 { "[\n" } else { ",\n" };
                format!("{separator}{}", serde_json::to_string(record)?)
            }
            DenialsFormat::Case if record.verdict.is_clean() => return Ok(()),
            DenialsFormat::Case => match self.skeletons.case(record, &found.text) {
                Some(case) => case,
                None => return Ok(()),
            },
        };
        self.written += 1;
        self.out.write_all(text.as_bytes())
    }

    fn human(&mut self, record: &Record, lines: Vec<String>) -> io::Result<()> {
        self.written += 1;
        if self.fold.add(record, lines) {
            self.tell()?;
        }
        Ok(())
    }

    fn tell(&mut self) -> io::Result<()> {
        let text = self.fold.take();
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    fn end(&mut self) -> io::Result<()> {
        self.tell()?;
        match (self.format, self.written) {
            (DenialsFormat::Json, 0) => self.out.write_all(b"[]\n")?,
            (DenialsFormat::Json, _) => self.out.write_all(b"\n]\n")?,
            (DenialsFormat::Human, 0) if !self.wrong => {
                writeln!(self.err, "there is no AppArmor record in the input")?;
            }
            (DenialsFormat::Case, 0) => {
                writeln!(self.err, "there is no denial in the input, so there is no case")?;
            }
            _ => {}
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests;
