//! The report of a run as values: every report format is made of them.

pub mod build;
pub mod model;
pub mod run_info;
