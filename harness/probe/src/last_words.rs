//! Keeps the last lines of a program's standard error, for the report on why it did not come up.

use std::io::Read;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How many bytes are kept.
const KEPT: usize = 4096;
/// How many lines of that are reported.
const LINES: usize = 5;

/// Reads a stream to its end, so that the program never waits for a reader, and keeps its last bytes.
pub struct LastWords {
    kept: Arc<Mutex<Vec<u8>>>,
    end: Receiver<()>,
}

impl LastWords {
    /// Begin to read. The reading thread ends with the stream.
    pub fn of(mut stream: impl Read + Send + 'static) -> LastWords {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (ended, end) = mpsc::channel();
        let into = Arc::clone(&kept);
        thread::spawn(move || {
            let mut buffer = [0; KEPT];
            while let Ok(got @ 1..) = stream.read(&mut buffer) {
                let mut kept = into.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&buffer[..got]);
                let over = kept.len().saturating_sub(KEPT);
                kept.drain(..over);
            }
            drop(ended);
        });
        LastWords { kept, end }
    }

    /// The last lines, as the end of a sentence; empty if there is no output. Waits up to `timeout` for the end of the
    /// stream.
    pub fn take(self, timeout: Duration) -> String {
        // At the deadline, the output so far is used.
        let _ = self.end.recv_timeout(timeout);
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&kept);
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let last = &lines[lines.len().saturating_sub(LINES)..];
        if last.is_empty() {
            String::new()
        } else {
            format!("; its last words: {}", last.join(" | "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        LastWords::of(std::io::Cursor::new(text.to_string())).take(Duration::from_secs(20))
    }

    #[test]
    fn the_last_lines_are_told_and_no_more_is_kept() {
        assert_eq!(said(""), "");
        assert_eq!(said("one\n\ntwo"), "; its last words: one | two");
        let long = said(&"line\n".repeat(100_000));
        assert_eq!(long, format!("; its last words: {}", ["line"; LINES].join(" | ")));
        assert!(said(&"x".repeat(1 << 20)).len() < KEPT + 100);
    }

    #[test]
    fn a_stream_without_an_end_is_not_waited_for() {
        let (reader, _writer) = std::io::pipe().unwrap();
        assert_eq!(LastWords::of(reader).take(Duration::from_millis(10)), "");
    }
}
