//! Evidence in, verdict out. Pure: no machine is touched here.
//!
//! The nine points of evidence, each with the place that checks it:
//! 1. [`complete::policy_is_the_one_under_test`]
//! 2. [`complete::subjects::subjects_were_confined`]
//! 3. the subject acts itself: `virt_aa_probe::worker` opens everything after it entered its label, and
//!    [`complete::subjects::subjects_were_confined`] looks at the barrier between the two
//! 4. [`steps::effect`]
//! 5. [`complete::log_path_was_whole`]
//! 6. [`records::attribute`] and [`complete::records_belong_to_somebody`]
//! 7. [`records::Class::Quieted`]
//! 8. `virt_aa_probe::canary` provokes the denial of a capability before each step
//! 9. [`mediation::mediated`]

pub mod complete;
pub mod expected;
pub mod features;
pub mod identity;
pub mod judge;
pub mod mediation;
pub mod once;
pub mod policy;
pub mod records;
pub mod steps;
pub mod summary;
#[cfg(test)]
mod tests;
