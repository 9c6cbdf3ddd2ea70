//! Evidence in, verdict out. Pure: no machine is touched here.
//!
//! The nine points of evidence, each with the code that checks it:
//! 1. The kernel enforces the set under test: [`complete::policy_is_the_one_under_test`].
//! 2. The subjects were confined: [`complete::subjects::subjects_were_confined`].
//! 3. The subject acted itself: `virt_aa_probe::worker` opens everything after it entered its label.
//! 4. Each step had its effect: [`steps::effect`].
//! 5. No record was lost: [`complete::log_path_was_whole`].
//! 6. Each record belongs to somebody: [`records::attribute`] and [`complete::records_belong_to_somebody`].
//! 7. `deny` rules hide nothing: [`records::Class::Quieted`].
//! 8. No capability denial is suppressed as a repetition: `virt_aa_probe::canary` is denied one before each step.
//! 9. Kernel and profile mediate what the case is about: [`mediation::mediated`].

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
