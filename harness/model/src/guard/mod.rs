//! Guards, in the words of mutation testing.
//!
//! A guard names a permission that a case needs. `prove` makes a *mutant* of the profile set by taking that
//! permission away, and runs the case with it. The mutant is *killed* if the case turns red by the denial that the guard
//! names. If the case stays green, the mutant *survived*, and the case does not notice that the permission is missing.

mod kill;
mod proof;

pub use kill::{Findings, findings_of, killer};
pub use proof::{Outcome, Proof};
