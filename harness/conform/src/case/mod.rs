//! Cases: the format, reading it, and filling in its templates.
pub mod expand;
pub mod load;
pub mod model;
pub mod names;
pub mod plan;
pub mod problem;
pub mod rules;
pub mod template;
#[cfg(test)]
mod tests;
pub mod world;
