//! How long the parts of a run took: the lines of `run --timings`. Pure.

use std::time::Duration;

use virt_aa_engine::prepare::Timings;
use virt_aa_model::case_run::CaseRun;

/// Times from the start of the command, and the machine's size.
#[derive(Debug, Clone, Copy)]
pub struct RunTimes {
    /// Times of boot and compilation.
    pub prepared: Timings,
    /// When the first verdict was known.
    pub first_verdict: Duration,
    /// When everything was done.
    pub whole: Duration,
    /// The guest's memory.
    pub memory_mib: Option<u32>,
}

/// Three lines. The last one covers the cases that reached the machine.
pub fn text(marks: &RunTimes, cases: &[CaseRun]) -> String {
    let mut text = format!(
        "boot {:.2} s, compile {:.2} s (beside it), guest memory {}\nfirst verdict {:.2} s, whole {:.2} s\n",
        marks.prepared.boot.as_secs_f64(),
        marks.prepared.compile.as_secs_f64(),
        marks
            .memory_mib
            .map_or("the host's".into(), |mib| format!("{mib} MiB")),
        marks.first_verdict.as_secs_f64(),
        marks.whole.as_secs_f64(),
    );
    let ran = || cases.iter().filter_map(|case| case.ran.as_ref());
    let durations = cases
        .iter()
        .filter(|case| case.ran.is_some())
        .map(|case| case.duration.as_secs_f64());
    let own = ran().map(|ran| (ran.evidence.guest_ms - ran.evidence.steps_ms) / 1000.0);
    if let (Some(whole), Some(own)) = (Spread::of(durations), Spread::of(own)) {
        text += &format!("a case {whole}; of that the harness's own work in the guest {own}\n");
    }
    text
}

/// Median and maximum, in seconds.
struct Spread {
    median: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        Some(Spread {
            median: *values.get(values.len() / 2)?,
            most: *values.last()?,
        })
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3} s (median; at most {:.3} s)", self.median, self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_of_sorted_values() {
        let spread = Spread::of([3.0, 1.0, 2.0].into_iter()).unwrap();
        assert_eq!(spread.to_string(), "2.000 s (median; at most 3.000 s)");
        assert!(Spread::of(std::iter::empty()).is_none());
    }
}
