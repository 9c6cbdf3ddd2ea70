//! A case: read, or refused with its place.
use std::path::Path;

use virt_aa_conform::case::model::Case;
use virt_aa_conform::case::rules;
use virt_aa_conform::case::world::World;
use virt_aa_conform::yaml::document::Document;
use virt_aa_conform::yaml::source::Source;

/// Reads and checks cases. Panics where that does not end as it should.
pub fn case_text(text: &[u8]) {
    let Ok(source) = Source::from_bytes(Path::new("case.yaml"), text.to_vec()) else {
        return;
    };
    let Ok(documents) = Document::parse(&source) else {
        return;
    };
    let world = World::default();
    for document in documents {
        match document.read::<Case>() {
            Ok(case) => {
                for error in rules::check(&case, &document, &world) {
                    assert!(error.to_string().starts_with("case.yaml:"), "{error}");
                }
            }
            Err(error) => assert!(error.to_string().starts_with("case.yaml"), "{error}"),
        }
    }
}
