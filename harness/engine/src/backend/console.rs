//! The guest's console as text: its last lines, and the lines that announce its end.

use std::collections::VecDeque;

use virt_aa_probe::init::CONSOLE_PREFIX;

/// How many lines are kept for a report.
const KEPT_LINES: usize = 60;
/// A longer line is cut: a guest that prints without a newline must not fill the memory.
const LONGEST_LINE: usize = 1024;

/// A console line after which the machine does nothing more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fatal {
    /// The kernel panicked.
    KernelPanic(String),
    /// Xen panicked, or its dom0 crashed.
    Hypervisor(String),
    /// The agent gave up, before or after it reported.
    Agent(String),
}

/// Splits bytes into lines and keeps the last ones.
#[derive(Debug, Default)]
pub struct Tail {
    lines: VecDeque<String>,
    partial: Vec<u8>,
}

impl Tail {
    /// Adds output, and returns its fatal line if there is one.
    pub fn push(&mut self, bytes: &[u8]) -> Option<Fatal> {
        let mut found = None;
        for byte in bytes {
            match byte {
                b'\n' => {
                    let fatal = self.end_line();
                    found = found.or(fatal);
                }
                b'\r' => {}
                _ if self.partial.len() < LONGEST_LINE => self.partial.push(*byte),
                _ => {}
            }
        }
        found
    }

    /// The last lines, including the unfinished one.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.lines.iter().cloned().collect();
        if !self.partial.is_empty() {
            lines.push(printable(&self.partial));
        }
        lines
    }

    fn end_line(&mut self) -> Option<Fatal> {
        let line = printable(&std::mem::take(&mut self.partial));
        let fatal = fatal(&line);
        if self.lines.len() == KEPT_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
        fatal
    }
}

/// Strips the terminal sequences that firmware and kernels send, for reports.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().filter(|c| !c.is_control() || *c == '\t').collect()
}

fn fatal(line: &str) -> Option<Fatal> {
    if let Some(at) = line.find(CONSOLE_PREFIX) {
        return Some(Fatal::Agent(line[at + CONSOLE_PREFIX.len()..].to_owned()));
    }
    if let Some(at) = line.find("Kernel panic - not syncing") {
        return Some(Fatal::KernelPanic(line[at..].to_owned()));
    }
    // The following lines say what failed.
    let of_xen = line.strip_prefix("(XEN) ")?;
    (of_xen.starts_with("Panic on CPU")
        || of_xen.contains("Dom0 crashed")
        || of_xen.contains("Domain 0 crashed"))
    .then(|| Fatal::Hypervisor(of_xen.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("[    2.1] Kernel panic - not syncing: VFS: no root", Some(Fatal::KernelPanic("Kernel panic - not syncing: VFS: no root".into())))]
    #[case("virt-aa-conform: init: no root disk", Some(Fatal::Agent("no root disk".into())))]
    #[case("[    2.1] audit: type=1400 kernel panic", None)]
    #[case("(XEN) Panic on CPU 0:", Some(Fatal::Hypervisor("Panic on CPU 0:".into())))]
    #[case("(XEN) Hardware Dom0 crashed: rebooting machine in 5 seconds.", Some(Fatal::Hypervisor("Hardware Dom0 crashed: rebooting machine in 5 seconds.".into())))]
    #[case("guest: (XEN) Panic on CPU 0:", None)]
    #[case("", None)]
    fn the_end_is_recognized(#[case] line: &str, #[case] expected: Option<Fatal>) {
        assert_eq!(fatal(line), expected);
    }

    #[test]
    fn a_line_in_two_pieces_is_one_line() {
        let mut tail = Tail::default();
        assert_eq!(tail.push(b"Kernel panic - not "), None);
        assert_eq!(tail.lines(), ["Kernel panic - not "]);
        assert!(matches!(
            tail.push(b"syncing: x\r\n"),
            Some(Fatal::KernelPanic(_))
        ));
        assert_eq!(tail.lines(), ["Kernel panic - not syncing: x"]);
    }

    #[test]
    fn only_the_last_lines_are_kept_and_long_ones_are_cut() {
        let mut tail = Tail::default();
        for number in 0..=KEPT_LINES {
            tail.push(format!("{number}\n").as_bytes());
        }
        tail.push(&vec![b'x'; 2 * LONGEST_LINE]);
        let lines = tail.lines();
        assert_eq!((lines.len(), lines[0].as_str()), (KEPT_LINES + 1, "1"));
        assert_eq!(lines.last().unwrap().len(), LONGEST_LINE);
    }
}
