//! Cases: the format, reading it, and filling in its templates.
pub mod model;
