//! Each way to break the evidence, and each way for a machine to end, on one machine: the same case that passes
//! untouched must not be green.

mod data_under_test;
mod ends;
mod machine;
mod processes;
mod sets;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use virt_aa_engine::children;

type Test = fn() -> Result<(), String>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if let Err(error) = children::install_signal_handler() {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    let tests: [(&str, Test); 15] = [
        ("complain_mode", data_under_test::complain_mode),
        ("not_loaded", data_under_test::not_loaded),
        ("looser_profile_of_the_same_name", data_under_test::looser_profile),
        ("one_profile_more", data_under_test::one_profile_more),
        ("audit_socket_closed_early", data_under_test::audit_socket_closed),
        ("backlog_of_one_under_a_burst", data_under_test::burst),
        ("known_bad_set", data_under_test::known_bad),
        ("set_worse_than_its_base", sets::worse_than_its_base),
        ("file_that_no_parser_takes", sets::a_file_that_no_parser_takes),
        ("hanging_step", ends::hanging_step),
        ("qemu_killed", ends::qemu_killed),
        ("qemu_stopped", ends::qemu_stopped),
        ("guest_kernel_panic", ends::guest_panic),
        ("program_interrupted", ends::program_interrupted),
        ("program_killed", ends::program_killed),
    ];
    let trials = tests
        .into_iter()
        .map(|(name, test)| Trial::test(name, move || test().map_err(Into::into)))
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
