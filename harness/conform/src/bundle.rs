//! A run in one file that a stranger can check: what was seen, what it was judged by, and the verdicts.
//!
//! It is a tar archive, compressed with gzip. `manifest.json` has the SHA-256 of every other file; `report.json` is the
//! JSON report of the run; `policy.json` and the folder `set` are the policy that the verdicts were judged by;
//! each file in `cases` has one case, filled in, with the agent's plan and all that the agent saw, the kernel's records
//! among it.

mod file;
mod make;
mod model;
mod verify;

pub use file::{BundleError, read, writable, write};
pub use make::make;
pub use model::{Bundle, CaseFile, Manifest, PolicyFacts};
pub use verify::{Checked, Difference, verify};

#[cfg(test)]
mod tests;
