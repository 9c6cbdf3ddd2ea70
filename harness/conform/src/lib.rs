//! The command line of virt-aa-conform: commands, report formats, tables, and templates for other projects' CI.

pub mod bundle;
pub mod ci_jobs;
pub mod cli;
pub mod emit;
pub mod exit;
#[cfg(test)]
mod findings;
pub mod report;
pub mod schema;
pub mod table;
