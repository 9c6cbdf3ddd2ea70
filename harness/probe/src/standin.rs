//! A program for paths that a profile names and the distribution does not provide. It prints how it was started.

use std::process::ExitCode;

use serde::Serialize;

/// First argument that starts the program as a stand-in.
pub const STAND_IN: &str = "stand-in";

#[derive(Serialize)]
struct Said {
    /// AT_SECURE of the auxiliary vector: the kernel told the loader to drop unsafe variables.
    secure: bool,
    /// `LD_PRELOAD`, which a secure start drops.
    ld_preload: Option<String>,
}

/// Print one line of JSON about how this process was started.
pub fn main() -> ExitCode {
    // SAFETY: reads a value that the kernel set at start.
    let secure = unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
    let said = Said {
        secure,
        ld_preload: std::env::var("LD_PRELOAD").ok(),
    };
    match serde_json::to_string(&said) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(_) => ExitCode::FAILURE,
    }
}
