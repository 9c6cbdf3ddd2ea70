//! What `run`, `run --base` and `prove` have in common before the first case.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use virt_aa_engine::backend::Backend;
use virt_aa_engine::capacity;
use virt_aa_engine::profile_set::assemble::SetUnderTest;
use virt_aa_engine::root::Root;
use virt_aa_engine::setup;
use virt_aa_engine::target::Target;
use virt_aa_model::data::Data;
use virt_aa_model::report::run_info::RunInfo;

use super::args::TargetArgs;
use super::failure::Failure;
use super::reports::Reports;
use super::select::{Selection, all_roles, leave_to_others, select};
use crate::report::human::{self, Paint};

/// A command that has read the data and knows where cases run.
pub struct Prologue<'a> {
    /// When the command began.
    pub started: Instant,
    /// Every data file.
    pub data: Data,
    /// Where cases run, and with which profiles.
    pub target: Target,
    root: &'a Root,
    patterns: &'a [String],
    all: bool,
}

impl<'a> Prologue<'a> {
    /// Reads the data. A misspelt name in `patterns` is an error here, before anything is built or booted. Without a pattern,
    /// slow cases are chosen only if `all` says so.
    pub fn read(
        root: &'a Root,
        target: &TargetArgs,
        patterns: &'a [String],
        all: bool,
    ) -> Result<Prologue<'a>, Failure> {
        let started = Instant::now();
        let data = setup::data(root)?;
        select(&data, &all_roles(&data), patterns)?;
        Ok(Prologue {
            started,
            data,
            target: target.target(),
            root,
            patterns,
            all,
        })
    }

    /// The backend, and how many machines of it run side by side. If `jobs` does not say it, the host decides, and a line
    /// on standard error tells how many it bears.
    pub fn backend(&self, jobs: Option<u8>, timeout: Duration) -> Result<(Backend, u8), Failure> {
        let backend = setup::backend(self.root, &self.target, jobs.unwrap_or(1))?.within(timeout);
        let machines = jobs.unwrap_or_else(|| machines(&backend));
        Ok((backend, machines))
    }

    /// The variants that run with a set, and a line about each kind that does not: slow ones, those left to other images.
    pub fn choose(&self, set: &SetUnderTest) -> Result<(Selection, Vec<String>), Failure> {
        let mut selection = select(&self.data, set.roles(), self.patterns)?;
        let named = !self.patterns.is_empty();
        let left = leave_to_others(&mut selection, &self.data, self.root, &self.target, named)?;
        let slow = if named || self.all {
            None
        } else {
            selection.leave_slow()
        };
        Ok((selection, slow.into_iter().chain(left).collect()))
    }
}

/// As many machines as this host bears.
pub fn machines(backend: &Backend) -> u8 {
    let machines = backend.memory_mib().map_or(1, capacity::machines);
    if machines > 1 {
        eprintln!("up to {machines} machines side by side; --jobs changes that");
    }
    machines
}

/// Colours, if standard output is a terminal that shows them.
pub fn paint(reports: &Reports) -> Paint {
    Paint(reports.may_paint() && std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none())
}

/// Prints the first lines: where the cases run, with what, and which files of the set cannot be loaded.
pub fn announce(reports: &Reports, info: &RunInfo) -> Result<(), Failure> {
    let paint = paint(reports);
    reports.begin(&paint.dim(&human::heading(info)))?;
    reports.line(&human::unusable(&info.profile_set, paint))
}

/// A progress line on a terminal; nothing elsewhere.
pub fn progress(length: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length as u64);
    let style = ProgressStyle::with_template("{pos}/{len} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
