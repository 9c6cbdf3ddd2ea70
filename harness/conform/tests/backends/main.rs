//! The host and container backends, tried in a machine of ours that is a host with AppArmor: the program runs inside it as
//! it would on anybody's host. Minutes long, so that they are run only when asked for: `ci/backends`, or
//! `cargo test --test backends -- --include-ignored`.

mod agree;
mod chosen;
mod host;
mod killed;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use virt_aa_engine::children;

type Test = fn() -> Result<(), String>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They share one machine.
    arguments.test_threads = Some(1);
    if let Err(error) = children::install_signal_handler() {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    let tests: [(&str, Test); 4] = [
        ("known_bad_set_is_red_on_each", agree::known_bad_is_red),
        ("each_case_by_each_backend", agree::each_case_by_each_backend),
        ("killed_runs_are_repaired", killed::killed_runs_are_repaired),
        ("cargo_test_chooses_the_host", chosen::cargo_test_chooses_the_host),
    ];
    let trials = tests
        .into_iter()
        .map(|(name, test)| Trial::test(name, move || test().map_err(Into::into)).with_ignored_flag(true))
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
