//! Data files: YAML read into typed values, with one located error for whatever is wrong.
pub mod de;
pub mod document;
pub mod error;
pub mod node;
pub mod parse;
pub mod path;
pub mod source;
pub mod suggest;
