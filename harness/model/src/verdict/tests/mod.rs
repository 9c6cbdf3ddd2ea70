//! The verdict over made-up evidence: whole and clean it passes, and whatever is changed in it takes that away.

mod attribution;
mod findings;
mod gaps;
mod host;
mod known;
mod summary;
