//! JSON Schemas of the data files and of the JSON report, from the types that read them.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use virt_aa_model::case::model::Case;
use virt_aa_model::fixture::Fixture;
use virt_aa_model::known::Known;
use virt_aa_model::profile_set::manifest::{KnownBad, Manifest};
use virt_aa_model::report::model::Report;

/// Kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A document of `cases/FOLDER/*.yaml`.
    Case,
    /// `cases/fixtures/*.yaml`.
    Fixture,
    /// `profiles/*.yaml`.
    Manifest,
    /// `profiles/known-bad/*.yaml`.
    KnownBad,
    /// `profiles/known-failures.yaml`.
    KnownFailures,
    /// What `run --report json` writes.
    Report,
}

impl Kind {
    /// Every kind with the word for it.
    pub const ALL: [(&str, Kind); 6] = [
        ("case", Kind::Case),
        ("fixture", Kind::Fixture),
        ("manifest", Kind::Manifest),
        ("known-bad", Kind::KnownBad),
        ("known-failures", Kind::KnownFailures),
        ("report", Kind::Report),
    ];
}

/// The schema of a kind, draft 2020-12.
pub fn of(kind: Kind) -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let schema = match kind {
        Kind::Case => generator.into_root_schema_for::<Case>(),
        Kind::Fixture => generator.into_root_schema_for::<Fixture>(),
        Kind::Manifest => generator.into_root_schema_for::<Manifest>(),
        Kind::KnownBad => generator.into_root_schema_for::<KnownBad>(),
        Kind::KnownFailures => generator.into_root_schema_for::<Known>(),
        Kind::Report => generator.into_root_schema_for::<Report>(),
    };
    schema.into()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(Kind::Case, "/properties/subjects")]
    #[case(Kind::Case, "/$defs/Expect/properties/checked-by-next")]
    #[case(Kind::Fixture, "/properties/up/description")]
    #[case(Kind::Manifest, "/$defs/Profile/properties/roles")]
    #[case(Kind::KnownBad, "/$defs/Edit/properties/without")]
    #[case(Kind::KnownFailures, "/$defs/KnownFailure/properties/step")]
    fn a_schema_has_the_names_of_the_files(#[case] kind: Kind, #[case] pointer: &str) {
        let schema = of(kind);
        assert!(schema.pointer(pointer).is_some(), "{pointer} in {schema:#}");
    }

    #[test]
    fn a_schema_refuses_unknown_keys() {
        assert_eq!(
            of(Kind::Case).pointer("/additionalProperties"),
            Some(&Value::Bool(false))
        );
    }
}
