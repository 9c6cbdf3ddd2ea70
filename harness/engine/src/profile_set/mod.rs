//! Profile sets: which profiles are under test, what each is for, and sets that are wrong on purpose.
pub mod alike;
pub mod assemble;
pub mod checkout;
pub mod compiled;
pub mod git;
mod names;
pub mod open;
pub mod packaged;
pub mod programs;
pub mod source;
pub mod spec;
pub mod template;

#[cfg(test)]
pub(crate) mod tests;
