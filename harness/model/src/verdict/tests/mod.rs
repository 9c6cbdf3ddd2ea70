//! The verdict on made-up evidence: complete and clean evidence passes, and any change to it prevents that.

mod attribution;
mod findings;
mod gaps;
mod host;
mod known;
mod summary;
