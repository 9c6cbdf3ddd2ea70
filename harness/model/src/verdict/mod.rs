//! Evidence in, verdict out. Pure: no machine is touched here.
//!
//! The nine points of evidence, each with the code that checks it:
//! 1. The kernel enforces the set under test: [`complete::policy_is_the_one_under_test`].
//! 2. The subjects were confined: [`complete::subjects::subjects_were_confined`].
//! 3. The subject, not a helper, performed the steps: `virt_aa_probe::worker` opens all files and sockets only after it
//!    has entered its label.
//! 4. Each step had its effect: [`steps::effect`].
//! 5. No record was lost: [`complete::log_path_was_whole`].
//! 6. Each record is attributed to a subject or to the agent: [`records::attribute`] and [`complete::records_belong_to_somebody`].
//! 7. `deny` rules hide nothing: [`records::Class::Quieted`].
//! 8. The kernel logs each capability denial. It does not log one that repeats the last one on the same processor, so
//!    before each step `virt_aa_probe::canary` has another capability denied on every processor.
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
