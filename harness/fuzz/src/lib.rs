//! Hostile input for everything that reads what comes from outside: a function for each reader, which panics where its
//! answer is not as it should be.
//!
//! The tests give each of them a fixed number of damaged inputs. `ci/fuzz` gives them to libFuzzer, which looks at what
//! the program does with each and so gets further.

mod audit_text;
mod case_text;
mod compiled_policy;
mod frames;
mod profile_text;
mod recipe_text;

pub use audit_text::audit_text;
pub use case_text::case_text;
pub use compiled_policy::compiled_policy;
pub use frames::frames;
pub use profile_text::profile_text;
pub use recipe_text::recipe_text;

/// Gives an input to one reader. Panics where its answer is not as it should be.
pub type Target = fn(&[u8]);

/// The readers by name, as `ci/fuzz` calls them.
pub const TARGETS: [(&str, Target); 6] = [
    ("audit_text", audit_text),
    ("case_text", case_text),
    ("compiled_policy", compiled_policy),
    ("frames", frames),
    ("profile_text", profile_text),
    ("recipe_text", recipe_text),
];
