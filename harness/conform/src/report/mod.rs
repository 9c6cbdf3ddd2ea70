//! Report formats, all made from `virt_aa_model::report`.
pub mod comparison;
pub mod format;
pub mod github;
pub mod human;
pub mod junit;
pub mod markdown;
pub mod outline;
pub mod sarif;
pub mod tap;
#[cfg(test)]
mod tests;
pub mod timings;
