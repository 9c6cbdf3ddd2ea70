//! Any text has an answer: `cargo +nightly fuzz run any_text` in the folder above.
#![no_main]

use aa_audit::{parse_record, records};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    match parse_record(text) {
        Ok(record) => {
            let _ = (record.sentence(), record.subject(), record.kind());
            assert!(serde_json::to_string(&record).is_ok());
        }
        Err(error) => assert!(error.offset <= text.len()),
    }
    for error in records(text).filter_map(Result::err) {
        assert!(error.offset + error.value.offset <= text.len());
    }
});
