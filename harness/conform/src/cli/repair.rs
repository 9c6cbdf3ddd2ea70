//! `doctor --repair`: undo what a killed run left on this host.

use super::failure::Failure;
use super::output;
use crate::exit;
use virt_aa_probe::local;

/// Undo it, and print what was undone.
pub fn repair() -> Result<u8, Failure> {
    let done = local::repair().map_err(Failure::broken)?;
    let text: String = done.iter().map(|line| format!("{line}\n")).collect();
    output::print(if text.is_empty() {
        "nothing was left behind\n"
    } else {
        &text
    })?;
    Ok(exit::OK)
}
