//! Guards, in the words of mutation testing.
//!
//! A guard names a permission that a case needs, and the denial that the kernel logs without it. `prove` makes a *mutant*
//! of the profile set by taking that permission away, and runs the case with it. The mutant is *killed* if the case turns
//! red because of exactly this denial. If the case stays green, the mutant *survived*: the case does not notice that the
//! permission is missing.
//!
//! For a step that must be denied, a guard names a rule instead. `prove` adds this rule, and the mutant is killed if the
//! step is then no longer denied.

mod kill;
mod proof;

pub use kill::{Findings, findings_of, killer};
pub use proof::{Outcome, Proof};
