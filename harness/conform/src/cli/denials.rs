//! `denials`: audit text to records, sentences or cases.

use std::fs::File;
use std::io::{self, BufWriter, Read, StdoutLock, Write};
use std::path::Path;

use aa_audit::Record;
use aa_policy::rule_for;

use super::args::{DenialsArgs, DenialsFormat};
use super::audit_text::{self, Met, Stopped};
use super::exit;
use super::failure::Failure;
use super::output::{self, printable};
use super::skeleton::Skeletons;
use crate::denial::request_of;

/// What standard input is called in messages.
const STDIN: &str = "standard input";

/// Read every input to its end, whatever is wrong in it.
pub fn denials(args: &DenialsArgs) -> Result<u8, Failure> {
    let mut work = Work {
        out: BufWriter::new(io::stdout().lock()),
        format: args.format,
        written: 0,
        skeletons: Skeletons::default(),
        wrong: false,
    };
    let done = work.all(&args.files);
    output::written(done)?;
    Ok(if work.wrong { exit::USAGE } else { exit::OK })
}

struct Work<'a> {
    out: BufWriter<StdoutLock<'a>>,
    format: DenialsFormat,
    written: u64,
    skeletons: Skeletons,
    /// Whether something could not be read.
    wrong: bool,
}

impl Work<'_> {
    /// An error is one of writing.
    fn all(&mut self, files: &[impl AsRef<Path>]) -> io::Result<()> {
        if files.is_empty() {
            self.input(&mut io::stdin().lock(), STDIN)?;
        }
        for file in files {
            let path = file.as_ref();
            let name = printable(&path.display().to_string());
            match File::open(path) {
                Ok(mut open) => self.input(&mut open, &name)?,
                Err(error) => self.complain(&format!("{name}: {error}")),
            }
        }
        self.end()
    }

    fn input(&mut self, input: &mut impl Read, name: &str) -> io::Result<()> {
        let read = audit_text::each(input, &mut |met| match met {
            Met::Record(record, line) => self.record(&record, line),
            Met::Malformed(line, message) => {
                self.complain(&format!("{name}:{line}: {message}"));
                Ok(())
            }
            // Who follows a log sees what there is.
            Met::Pause => self.out.flush(),
        });
        match read {
            Err(Stopped::HandingOn(error)) => return Err(error),
            Err(Stopped::Reading(error)) => self.complain(&format!("{name}: {error}")),
            Ok(()) => {}
        }
        Ok(())
    }

    fn complain(&mut self, message: &str) {
        self.wrong = true;
        eprintln!("error: {message}");
    }

    fn record(&mut self, record: &Record, line: &[u8]) -> io::Result<()> {
        let text = match self.format {
            DenialsFormat::Human => human(record),
            DenialsFormat::Json => {
                let separator = if self.written == 0 { "[\n" } else { ",\n" };
                format!("{separator}{}", serde_json::to_string(record)?)
            }
            DenialsFormat::Case if record.verdict.is_clean() => return Ok(()),
            DenialsFormat::Case => match self.skeletons.case(record, line) {
                Some(case) => case,
                None => return Ok(()),
            },
        };
        self.written += 1;
        self.out.write_all(text.as_bytes())
    }

    fn end(&mut self) -> io::Result<()> {
        match (self.format, self.written) {
            (DenialsFormat::Json, 0) => self.out.write_all(b"[]\n")?,
            (DenialsFormat::Json, _) => self.out.write_all(b"\n]\n")?,
            (DenialsFormat::Human, 0) => eprintln!("there is no AppArmor record in the input"),
            (DenialsFormat::Case, 0) => eprintln!("there is no denial in the input, so there is no case"),
            _ => {}
        }
        self.out.flush()
    }
}

/// What happened; for what is not clean, the rule that would allow it.
fn human(record: &Record) -> String {
    let sentence = record.sentence();
    if record.verdict.is_clean() {
        return format!("{sentence}\n");
    }
    let hint = match request_of(record).and_then(|request| rule_for(&request)) {
        Some(rule) => {
            let place = record
                .profile
                .as_deref()
                .map(|profile| format!(" in profile {profile}"));
            format!("the rule `{rule}`{} would allow it", place.unwrap_or_default())
        }
        None => "no rule is known here that would allow it; see apparmor.d(5)".to_owned(),
    };
    format!("{sentence}\n    {}\n", printable(&hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::denied(
        r#"audit(1.002:3): apparmor="DENIED" operation="capable" profile="libvirtd" pid=12 comm="x" capability=14 capname="ipc_lock""#,
        "x (pid 12, profile \"libvirtd\") was denied the capability ipc_lock\n    the rule `capability ipc_lock,` in profile libvirtd would allow it\n"
    )]
    #[case::nothing_to_allow(
        r#"audit(1.002:3): apparmor="STATUS" operation="profile_load" profile="unconfined" name="a" pid=12 comm="x""#,
        "x (pid 12, profile \"unconfined\") loaded the profile \"a\"\n"
    )]
    #[case::escape_sequence(
        // The name is ESC ] 0 BEL in hexadecimal.
        r#"audit(1.002:3): apparmor="DENIED" operation="open" profile="p" name=2F1B5D3007 pid=1 comm="x" requested_mask="r" denied_mask="r""#,
        "x (pid 1, profile \"p\") was denied read access to \"/\\u{1b}]0\\u{7}\" (open)\n    the rule `/\\u{1b}\\]0\\u{7} r,` in profile p would allow it\n"
    )]
    fn a_record_is_told(#[case] text: &str, #[case] wanted: &str) {
        let record = aa_audit::parse_record(text.as_bytes()).unwrap();
        assert_eq!(human(&record), wanted);
    }
}
