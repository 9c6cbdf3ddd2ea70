//! Made-up evidence, runs and reports, for tests here and in the crates above.

#![allow(missing_docs, clippy::unwrap_used)] // Only tests use this module.

pub mod evidence;
pub mod reports;
