//! Text that somebody posted, and a single record: an answer each, and no rule from half a record.
use aa_audit::{Posted, PostedReader, parse_record, records};
use virt_aa_model::advice::{advise, rule};

/// Reads posted text and a single record. Panics where that does not end as it should.
pub fn audit_text(text: &[u8]) {
    match parse_record(text) {
        Ok(record) => {
            let _ = (record.subject(), record.kind());
            assert!(!record.sentence().contains(char::is_control));
            assert!(serde_json::to_string(&record).is_ok());
            assert!(record.lacks().is_empty() || rule(&record).is_none());
        }
        Err(error) => assert!(error.offset <= text.len()),
    }
    for error in records(text).filter_map(Result::err) {
        assert!(error.offset + error.value.offset <= text.len());
    }
    let mut reader = PostedReader::new();
    let mut told = |posted: Posted| match posted {
        Posted::Record(found) => {
            assert!(found.record.lacks().is_empty());
            assert!(!advise(&found.record, None).is_empty());
        }
        Posted::Unread { problem, .. } => assert!(!problem.to_string().is_empty()),
    };
    for line in text.split(|byte| *byte == b'\n') {
        reader.line(line, &mut told);
    }
    reader.end(&mut told);
}
