//! Cases: the format, reading it, and filling in its templates.
pub mod beginning;
pub mod earlier;
pub mod expand;
pub mod guard;
pub mod known_names;
pub mod loaded;
pub mod model;
pub mod names;
pub mod plan;
pub mod problem;
pub mod template;
#[cfg(test)]
mod tests;
