//! `schema`: the JSON Schema of a data file, for editors.

use super::args::SchemaKind;
use super::failure::Failure;
use super::output;
use crate::exit;
use crate::schema::{self, Kind};

/// Print a schema.
pub fn schema(kind: SchemaKind) -> Result<u8, Failure> {
    let kind = match kind {
        SchemaKind::Case => Kind::Case,
        SchemaKind::Fixture => Kind::Fixture,
        SchemaKind::ProfileSet => Kind::Manifest,
        SchemaKind::KnownBad => Kind::KnownBad,
        SchemaKind::KnownFailures => Kind::KnownFailures,
        SchemaKind::Report => Kind::Report,
    };
    let text = serde_json::to_string_pretty(&schema::of(kind)).map_err(Failure::broken)?;
    output::print(&(text + "\n"))?;
    Ok(exit::OK)
}
