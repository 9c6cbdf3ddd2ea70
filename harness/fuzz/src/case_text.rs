//! A case: read, or refused with its place.
use std::path::Path;

use virt_aa_model::case::beginning::Joined;
use virt_aa_model::case::known_names::KnownNames;
use virt_aa_model::case::model::Case;
use virt_aa_model::check;
use virt_aa_model::yaml::document::Document;
use virt_aa_model::yaml::source::Source;

/// Reads and checks cases. Panics where that does not end as it should.
pub fn case_text(text: &[u8]) {
    let Ok(source) = Source::from_bytes(Path::new("case.yaml"), text.to_vec()) else {
        return;
    };
    let Ok(documents) = Document::parse(&source) else {
        return;
    };
    let world = KnownNames::default();
    for document in documents {
        match document.read::<Case>() {
            Ok(case) => {
                for error in check::case(&Joined::alone(case), &document, &world) {
                    assert!(error.to_string().starts_with("case.yaml:"), "{error}");
                }
            }
            Err(error) => assert!(error.to_string().starts_with("case.yaml"), "{error}"),
        }
    }
}
