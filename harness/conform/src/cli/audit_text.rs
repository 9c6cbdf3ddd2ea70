//! Reads audit text of any length in pieces. Only one piece is in memory at a time.

use std::io::{self, Read};

use aa_audit::{Posted, PostedReader};

/// How many bytes are read at once.
const PIECE: usize = 1 << 20;
/// A longer line does not come from the kernel, whose records have less than 9 KiB.
const LONGEST_LINE: usize = 1 << 20;

/// What is found in a text.
pub enum LogItem {
    /// A record, or text that is meant as one.
    Posted(Posted),
    /// The number, from 1, of a line that is too long for a record and mentions one.
    TooLong(u64),
    /// The input has no more text for now.
    Pause,
}

/// Why reading ended early.
pub enum Stopped {
    /// The text could not be read.
    Reading(io::Error),
    /// An item could not be handed on.
    HandingOn(io::Error),
}

/// Hands every item to `on`. `waits` says whether the next read would block.
pub fn each(
    input: &mut impl Read,
    waits: impl Fn() -> bool,
    on: &mut impl FnMut(LogItem) -> io::Result<()>,
) -> Result<(), Stopped> {
    let mut reader = PostedReader::new();
    let mut buffer: Vec<u8> = Vec::new();
    let mut number = 0_u64;
    // Whether the rest of a too long line is skipped.
    let mut skipping = false;
    loop {
        if waits() {
            on(LogItem::Pause).map_err(Stopped::HandingOn)?;
        }
        let start = buffer.len();
        buffer.resize(start + PIECE, 0);
        let count = match input.read(&mut buffer[start..]) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                buffer.truncate(start);
                continue;
            }
            Err(error) => return Err(Stopped::Reading(error)),
        };
        buffer.truncate(start + count);
        let at_end = count == 0;
        let mut from = 0;
        // The part before this has no newline.
        let mut looked = start;
        while let Some(length) = memchr::memchr(b'\n', &buffer[looked..]) {
            let newline = looked + length;
            number += 1;
            if !std::mem::take(&mut skipping) {
                line(&mut reader, &buffer[from..newline], on).map_err(Stopped::HandingOn)?;
            }
            from = newline + 1;
            looked = from;
        }
        if at_end {
            if from < buffer.len() && !skipping {
                line(&mut reader, &buffer[from..], on).map_err(Stopped::HandingOn)?;
            }
            return hand_on(on, |tell| reader.end(tell)).map_err(Stopped::HandingOn);
        }
        buffer.drain(..from);
        if buffer.len() > LONGEST_LINE {
            if !skipping && memchr::memmem::find(&buffer, b"apparmor=").is_some() {
                on(LogItem::TooLong(number + 1)).map_err(Stopped::HandingOn)?;
            }
            if !skipping {
                // The line still counts, and ends a record before it.
                line(&mut reader, b"", on).map_err(Stopped::HandingOn)?;
            }
            buffer.clear();
            skipping = true;
        }
    }
}

fn line(
    reader: &mut PostedReader,
    text: &[u8],
    on: &mut impl FnMut(LogItem) -> io::Result<()>,
) -> io::Result<()> {
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    hand_on(on, |tell| reader.line(text, tell))
}

/// Hands on what `read` reports, up to the first error.
fn hand_on(
    on: &mut impl FnMut(LogItem) -> io::Result<()>,
    read: impl FnOnce(&mut dyn FnMut(Posted)),
) -> io::Result<()> {
    let mut done = Ok(());
    read(&mut |posted| {
        if done.is_ok() {
            done = on(LogItem::Posted(posted));
        }
    });
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENIAL: &str = r#"audit(1.002:3): apparmor="DENIED" operation="capable" profile="libvirtd" pid=1 comm="x" capability=14 capname="ipc_lock""#;

    /// Returns a few bytes at a time, as a pipe may.
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
        let result = each(&mut Dribble(text, step), || false, &mut |met| {
            match met {
                LogItem::Posted(Posted::Record(record)) => found.push(record.text.len()),
                LogItem::Posted(Posted::Unread { line, problem }) => wrong.push((line, problem.to_string())),
                LogItem::TooLong(line) => wrong.push((line, "too long".into())),
                LogItem::Pause => {}
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
        let broken = DENIAL.split_once("ipc_").unwrap().0;
        let text = format!("noise\n{DENIAL}\n\n{broken}\n{DENIAL}");
        let (found, wrong) = met(text.as_bytes(), step);
        assert_eq!(found, [DENIAL.len(), DENIAL.len()]);
        assert_eq!(wrong.len(), 1);
        assert_eq!(wrong[0].0, 4);
        assert!(wrong[0].1.contains("cut short within"), "{}", wrong[0].1);
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
    fn what_there_is_is_told_before_a_wait() {
        let mut order = Vec::new();
        let text = format!("{DENIAL}\n{DENIAL}\n");
        let mut input = Dribble(text.as_bytes(), DENIAL.len() + 1);
        let result = each(&mut input, || true, &mut |met| {
            order.push(if matches!(met, LogItem::Pause) {
                "pause"
            } else {
                "record"
            });
            Ok(())
        });
        assert!(result.is_ok());
        assert_eq!(order[..4], ["pause", "record", "pause", "record"]);
    }

    #[test]
    fn who_takes_no_more_gets_no_more() {
        let text = format!("{DENIAL}\n").repeat(3);
        let mut count = 0;
        let result = each(&mut text.as_bytes(), || false, &mut |met| match met {
            LogItem::Posted(_) => {
                count += 1;
                Err(io::ErrorKind::BrokenPipe.into())
            }
            _ => Ok(()),
        });
        assert!(matches!(result, Err(Stopped::HandingOn(_))));
        assert_eq!(count, 1);
    }
}
