//! Reports of a run: [`model`] is what every format is made of.
pub mod build;
pub mod comparison;
pub mod format;
pub mod github;
pub mod human;
pub mod junit;
pub mod markdown;
pub mod model;
pub mod outline;
pub mod run_info;
pub mod sarif;
pub mod tap;
#[cfg(test)]
pub(crate) mod tests;
pub mod timings;
