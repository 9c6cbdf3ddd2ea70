//! Profile sets as the files of `profiles/` describe them: which profiles are under test, what each is for, and which
//! sets are wrong on purpose.

mod facts;
pub mod manifest;

pub use facts::{POLICY_DIR, Provenance, Unusable};
