//! The program: the harness, and in a machine under test its own agent.

use std::process::ExitCode;

fn main() -> ExitCode {
    virt_aa_probe::entry::dispatch().unwrap_or_else(virt_aa_conform::cli::main::main)
}
