//! Shows the progress of a build: a bar on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How often a terminal's bar moves while nothing is reported.
const TICK: Duration = Duration::from_millis(150);

/// Receives the progress of a build.
pub trait Progress {
    /// Part `number` (from 1) of `of` begins.
    fn step(&mut self, number: u32, of: u32, what: &str);
    /// Something worth a line happened within the part.
    fn note(&mut self, line: &str);
    /// The work is done, or has failed.
    fn finish(&mut self);
}

/// A bar for a terminal. It appears with the first report, so nothing is shown if nothing is to be done.
#[derive(Debug)]
pub struct TerminalProgress {
    title: String,
    bar: Option<ProgressBar>,
}

impl TerminalProgress {
    /// A bar on standard error, with a title in front.
    pub fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            bar: None,
        }
    }

    fn bar(&mut self) -> &ProgressBar {
        self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::new(0);
            // The template is a constant, so the fallback is never used.
            let style = ProgressStyle::with_template("{prefix} [{bar:20}] {pos}/{len} {wide_msg} {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.set_style(style);
            bar.set_prefix(self.title.clone());
            bar.enable_steady_tick(TICK);
            bar
        })
    }
}

impl Progress for TerminalProgress {
    fn step(&mut self, number: u32, of: u32, what: &str) {
        let bar = self.bar();
        bar.set_length(of.into());
        bar.set_position(number.saturating_sub(1).into());
        bar.set_message(what.to_owned());
    }

    fn note(&mut self, line: &str) {
        self.bar().set_message(line.to_owned());
    }

    fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// One line for each part, for a log.
#[derive(Debug)]
pub struct PlainProgress<W> {
    title: String,
    out: W,
}

impl<W: Write> PlainProgress<W> {
    /// Lines on `out`, each with the title in front.
    pub fn new(title: &str, out: W) -> Self {
        Self {
            title: title.to_owned(),
            out,
        }
    }

    fn line(&mut self, text: &str) {
        // A progress line that cannot be written is no reason to fail.
        let _ = writeln!(self.out, "{}: {text}", self.title);
    }
}

impl<W: Write> Progress for PlainProgress<W> {
    fn step(&mut self, number: u32, of: u32, what: &str) {
        self.line(&format!("[{number}/{of}] {what}"));
    }

    fn note(&mut self, line: &str) {
        self.line(line);
    }

    fn finish(&mut self) {}
}

/// The kind of progress that suits standard error.
pub fn progress_for_stderr(title: &str) -> Box<dyn Progress> {
    let stderr = std::io::stderr();
    if stderr.is_terminal() {
        Box::new(TerminalProgress::new(title))
    } else {
        Box::new(PlainProgress::new(title, stderr))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_carry_title_and_count() {
        let mut out = Vec::new();
        let mut progress = PlainProgress::new("debian-13", &mut out);
        progress.step(1, 3, "installing");
        progress.note("downloading");
        progress.finish();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "debian-13: [1/3] installing\ndebian-13: downloading\n"
        );
    }
}
