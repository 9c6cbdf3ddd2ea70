//! Audit text of any length, read in pieces: the memory it takes is that of a piece.

use std::io::{self, Read};

use aa_audit::{Record, looks_like, records};

/// How much is read at once.
const PIECE: usize = 1 << 20;
/// A line longer than this is none of the kernel's, whose records have less than 9 KiB.
const LONGEST_LINE: usize = 1 << 20;

/// What is met in a text.
pub enum Met<'a> {
    /// A record, and the line that it was read from.
    Record(Box<Record>, &'a [u8]),
    /// A line that is meant as a record and is none: its number from 1, and what is wrong.
    Malformed(u64, String),
    /// No more is there for now.
    Pause,
}

/// Why reading ended early.
pub enum Stopped {
    /// The text could not be read.
    Reading(io::Error),
    /// What was met could not be handed on.
    HandingOn(io::Error),
}

/// Hands everything that is met to `on`.
pub fn each(input: &mut impl Read, on: &mut impl FnMut(Met<'_>) -> io::Result<()>) -> Result<(), Stopped> {
    let mut buffer: Vec<u8> = Vec::new();
    let mut lines_before = 0;
    // The rest of a line that was too long.
    let mut skipping = false;
    loop {
        let start = buffer.len();
        buffer.resize(start + PIECE, 0);
        let count = match input.read(&mut buffer[start..]) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(Stopped::Reading(error)),
        };
        buffer.truncate(start + count);
        let at_end = count == 0;
        if skipping {
            match buffer.iter().position(|byte| *byte == b'\n') {
                Some(newline) => {
                    buffer.drain(..=newline);
                    lines_before += 1;
                    skipping = false;
                }
                None => buffer.clear(),
            }
        }
        let whole = match buffer.iter().rposition(|byte| *byte == b'\n') {
            _ if at_end => buffer.len(),
            Some(newline) => newline + 1,
            None => 0,
        };
        lines_before += lines(&buffer[..whole], lines_before, on).map_err(Stopped::HandingOn)?;
        buffer.drain(..whole);
        if buffer.len() > LONGEST_LINE {
            if looks_like(&buffer) {
                let message = format!("a line of more than {LONGEST_LINE} bytes is no record of the kernel");
                on(Met::Malformed(lines_before + 1, message)).map_err(Stopped::HandingOn)?;
            }
            buffer.clear();
            skipping = true;
        }
        on(Met::Pause).map_err(Stopped::HandingOn)?;
        if at_end {
            return Ok(());
        }
    }
}

/// Hands on what whole lines hold, and says how many lines they are.
fn lines(text: &[u8], before: u64, on: &mut impl FnMut(Met<'_>) -> io::Result<()>) -> io::Result<u64> {
    for met in records(text) {
        match met {
            Ok(located) => {
                let line = &text[located.offset..];
                let end = line.iter().position(|byte| *byte == b'\n').unwrap_or(line.len());
                on(Met::Record(Box::new(located.value), &line[..end]))?;
            }
            Err(located) => {
                on(Met::Malformed(
                    before + located.line as u64,
                    located.value.to_string(),
                ))?;
            }
        }
    }
    Ok(text.iter().filter(|byte| **byte == b'\n').count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENIAL: &str = r#"audit(1.002:3): apparmor="DENIED" operation="capable" profile="libvirtd" pid=1 comm="x" capability=14 capname="ipc_lock""#;

    /// Gives a few bytes at a time, as a pipe may.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    /// Records with the length of their lines, and errors with their line.
    fn met(text: &[u8], step: usize) -> (Vec<usize>, Vec<(u64, String)>) {
        let (mut found, mut wrong) = (Vec::new(), Vec::new());
        let result = each(&mut Dribble(text, step), &mut |met| {
            match met {
                Met::Record(_, line) => found.push(line.len()),
                Met::Malformed(line, message) => wrong.push((line, message)),
                Met::Pause => {}
            }
            Ok(())
        });
        assert!(result.is_ok());
        (found, wrong)
    }

    #[rstest::rstest]
    #[case(1)]
    #[case(7)]
    #[case(1 << 20)]
    fn the_size_of_the_pieces_makes_no_difference(#[case] step: usize) {
        let broken = DENIAL.replace("\"libvirtd\"", "\"libvirtd");
        let text = format!("noise\n{DENIAL}\n\n{broken}\n{DENIAL}");
        let (found, wrong) = met(text.as_bytes(), step);
        assert_eq!(found, [DENIAL.len(), DENIAL.len()]);
        assert_eq!(wrong.len(), 1);
        assert_eq!(wrong[0].0, 4);
        assert!(wrong[0].1.contains("at byte"), "{}", wrong[0].1);
    }

    #[test]
    fn a_line_without_end_is_passed_over() {
        let mut text = DENIAL.as_bytes().to_vec();
        text.resize(3 * LONGEST_LINE, b'x');
        text.push(b'\n');
        text.extend_from_slice(DENIAL.as_bytes());
        text.extend_from_slice(b"\naudit(1): apparmor=\"DENIED\" operation=\"x\"\n");
        let (found, wrong) = met(&text, PIECE);
        assert_eq!(found, [DENIAL.len()]);
        let lines: Vec<u64> = wrong.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 3]);
    }

    #[test]
    fn who_takes_no_more_gets_no_more() {
        let text = format!("{DENIAL}\n").repeat(3);
        let mut count = 0;
        let result = each(&mut text.as_bytes(), &mut |met| match met {
            Met::Record(..) => {
                count += 1;
                Err(io::ErrorKind::BrokenPipe.into())
            }
            _ => Ok(()),
        });
        assert!(matches!(result, Err(Stopped::HandingOn(_))));
        assert_eq!(count, 1);
    }
}
