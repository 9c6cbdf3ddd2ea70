//! A run in one file that anybody can check: the evidence, the policy, and the verdicts.
//!
//! It is a tar archive, compressed with gzip. `manifest.json` has the SHA-256 of every other file. `report.json` is the
//! JSON report of the run. `policy.json` and the folder `set` are the policy that the verdicts were judged by. Each
//! file in `cases` belongs to one run of a case: it has the case with all its placeholders filled in, the subjects and
//! steps that the agent was given, and the agent's evidence with the kernel's records.

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
