//! The program: the harness, and its agent in a machine under test.

use std::process::ExitCode;

fn main() -> ExitCode {
    virt_aa_probe::entry::dispatch().unwrap_or_else(virt_aa_conform::cli::main::main)
}
