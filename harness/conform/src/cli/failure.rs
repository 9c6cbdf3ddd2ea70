//! Why a command cannot do its work, and the exit status for that.

use std::fmt::Display;

use super::exit;
use crate::yaml::error::DataError;

/// Told in one message on standard error.
#[derive(Debug)]
pub struct Failure {
    /// Exit status.
    pub status: u8,
    /// The message, without a newline at its end.
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

    /// Data files, each error with its place.
    pub fn data(errors: &[DataError], coloured: bool) -> Failure {
        let texts: Vec<String> = errors.iter().map(|error| error.render(coloured)).collect();
        Failure::usage(texts.join("\n\n"))
    }
}
