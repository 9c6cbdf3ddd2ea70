//! Reports of a run.
pub mod human;
pub mod json;
pub mod run_info;
pub mod timings;
