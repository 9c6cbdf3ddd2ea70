//! Prints equal denials once, with their count.

use std::collections::HashMap;

use aa_audit::{Record, Stamp};

/// How many different records are kept. Then they are printed, and counting starts again.
const MOST: usize = 4096;

/// One or more equal records.
struct FoldedDenial {
    sentence: String,
    lines: Vec<String>,
    /// How many records with a stamp, each stamp counted once.
    stamped: u64,
    last: Option<Stamp>,
    /// How many records without a stamp. The journal has a record both as the kernel's line and as its own, which has
    /// no stamp.
    bare: u64,
}

/// Counts equal records.
#[derive(Default)]
pub struct Fold {
    order: Vec<FoldedDenial>,
    places: HashMap<(String, Vec<String>), usize>,
}

impl Fold {
    /// Adds a record with its advice; returns whether it is time to [`take`](Self::take).
    pub fn add(&mut self, record: &Record, lines: Vec<String>) -> bool {
        let key = (same(record).sentence(), lines.clone());
        let place = *self.places.entry(key).or_insert_with(|| {
            self.order.push(FoldedDenial {
                sentence: record.sentence(),
                lines,
                stamped: 0,
                last: None,
                bare: 0,
            });
            self.order.len() - 1
        });
        let told = &mut self.order[place];
        match record.stamp {
            Some(stamp) if told.last == Some(stamp) => {}
            Some(stamp) => {
                told.stamped += 1;
                told.last = Some(stamp);
            }
            None => told.bare += 1,
        }
        self.order.len() >= MOST
    }

    /// The text of all records, in the order of their first occurrence.
    pub fn take(&mut self) -> String {
        self.places.clear();
        let mut text = String::new();
        for told in self.order.drain(..) {
            let count = told.stamped.max(told.bare);
            let times = if count > 1 {
                format!(" ({count} times)")
            } else {
                String::new()
            };
            text.push_str(&format!("{}{times}\n", told.sentence));
            for line in told.lines {
                text.push_str(&format!("    {line}\n"));
            }
        }
        text
    }
}

/// The record without the fields that differ each time.
fn same(record: &Record) -> Record {
    let mut same = record.clone();
    same.stamp = None;
    same.pid = None;
    same.opid = None;
    same.peer_pid = None;
    same
}
