//! Why a command failed, and its exit status.

use std::fmt::Display;

use std::io::IsTerminal;

use virt_aa_engine::setup::SetupError;

use crate::exit;
use virt_aa_model::yaml::error::DataError;

/// A failure, reported in one message on standard error.
#[derive(Debug)]
pub struct Failure {
    /// Exit status.
    pub status: u8,
    /// The message, without a final newline.
    pub message: String,
}

impl Failure {
    /// The command line or a data file is wrong.
    pub fn usage(message: impl Display) -> Failure {
        Failure {
            status: exit::USAGE,
            message: message.to_string(),
        }
    }

    /// Something that should work does not.
    pub fn broken(message: impl Display) -> Failure {
        Failure {
            status: exit::BROKEN,
            message: message.to_string(),
        }
    }

    /// Prints the message on standard error.
    pub fn print(&self) {
        let message = &self.message;
        // Data errors have their own heading.
        let has_heading = message.starts_with("error") || message.contains("\u{1b}[");
        eprintln!("{}{message}", if has_heading { "" } else { "error: " });
    }

    /// Data files are wrong; each error has its place.
    pub fn data(errors: &[DataError], coloured: bool) -> Failure {
        let texts: Vec<String> = errors.iter().map(|error| error.render(coloured)).collect();
        Failure::usage(texts.join("\n\n"))
    }
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Failure {
        match error {
            SetupError::Usage(message) => Failure::usage(message),
            SetupError::Broken(message) => Failure::broken(message),
            SetupError::Data(errors) => Failure::data(&errors, coloured_errors()),
        }
    }
}

/// Whether messages on standard error are coloured.
pub fn coloured_errors() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
