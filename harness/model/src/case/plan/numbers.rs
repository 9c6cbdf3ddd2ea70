//! Filling in templates turns every value into a text, but a record distinguishes the number 768 from the text. So a
//! value that is only a template of `with` gets the type of the value in `with`.

use std::collections::BTreeMap;

use crate::case::model::{Case, RecordMatch, Scalar, Step};

/// Restores the numbers of `values` in the records of `filled`, which was filled in from `raw`.
pub fn restore(raw: &Case, filled: &mut Case, values: &BTreeMap<String, Scalar>) {
    for (raw, filled) in raw.guards.iter().zip(&mut filled.guards) {
        if let (Some(raw), Some(filled)) = (&raw.denial, &mut filled.denial) {
            restore_record(raw, filled, values);
        }
    }
    let lists = [
        (&raw.setup, &mut filled.setup),
        (&raw.steps, &mut filled.steps),
        (&raw.cleanup, &mut filled.cleanup),
    ];
    for (raw, filled) in lists {
        raw.iter()
            .zip(filled)
            .for_each(|(raw, filled)| restore_step(raw, filled, values));
    }
}

fn restore_step(raw: &Step, filled: &mut Step, values: &BTreeMap<String, Scalar>) {
    if let (Some(raw), Some(filled)) = (&raw.denied, &mut filled.denied) {
        raw.records
            .iter()
            .zip(&mut filled.records)
            .for_each(|(raw, filled)| restore_record(raw, filled, values));
    }
}

fn restore_record(raw: &RecordMatch, filled: &mut RecordMatch, values: &BTreeMap<String, Scalar>) {
    for (key, value) in raw {
        let Scalar::Text(text) = value else { continue };
        let name = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        if let Some(number @ Scalar::Int(_)) = name.and_then(|name| values.get(name)) {
            filled.insert(key.clone(), number.clone());
        }
    }
}
