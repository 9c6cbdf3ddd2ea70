//! Records a second of processor time of `parse_record` on the record given as the argument: one round, after a warm-up. The counterpart
//! of `libapparmor.c`; run by `compare.sh`.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

use aa_audit::{Verdict, parse_record};
use nix::time::ClockId;

const COUNT: u32 = 200_000;

/// Whether every one of `count` readings gave the denial.
fn round_of(text: &str, count: u32) -> bool {
    let mut read = true;
    for _ in 0..count {
        let record = parse_record(black_box(text.as_bytes()));
        read &= record
            .as_ref()
            .is_ok_and(|record| record.verdict == Verdict::Denied && record.denied_mask.is_some());
    }
    read
}

fn main() -> ExitCode {
    // `cargo bench` adds an option of its own and, without a record, there is nothing to do.
    let Some(text) = std::env::args()
        .skip(1)
        .find(|argument| argument.contains("apparmor="))
    else {
        return ExitCode::SUCCESS;
    };
    let clock = ClockId::CLOCK_PROCESS_CPUTIME_ID;
    let warm = round_of(&text, COUNT / 10);
    let start = clock.now();
    if !warm || !round_of(&text, COUNT) {
        eprintln!("aa-audit did not read the record");
        return ExitCode::FAILURE;
    }
    let (Ok(start), Ok(end)) = (start, clock.now()) else {
        eprintln!("no processor clock");
        return ExitCode::FAILURE;
    };
    println!(
        "{:.0}",
        f64::from(COUNT) / Duration::from(end - start).as_secs_f64()
    );
    ExitCode::SUCCESS
}
