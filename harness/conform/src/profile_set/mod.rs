//! Profile sets: which profiles are under test, what each is for, and sets that are wrong on purpose.
pub mod alike;
pub mod assemble;
pub mod compiled;
pub mod load;
pub mod manifest;
pub mod template;
