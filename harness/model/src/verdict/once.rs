//! Reports equal items once, with their count: a program may be denied the same thing 20,000 times.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::LazyLock;

use regex::Regex;

use super::identity;
use super::records::Attributed;

/// The first of each group of equal items, in order, and the size of the group.
pub fn once<T, K: Hash + Eq>(all: impl IntoIterator<Item = T>, key: impl Fn(&T) -> K) -> Vec<(T, u64)> {
    let mut told: Vec<(T, u64)> = Vec::new();
    let mut at: HashMap<K, usize> = HashMap::new();
    for one in all {
        match at.get(&key(&one)).and_then(|at| told.get_mut(*at)) {
            Some((_, count)) => *count += 1,
            None => {
                at.insert(key(&one), told.len());
                told.push((one, 1));
            }
        }
    }
    told
}

/// Like [`once`], for texts. Texts that differ only in the audit stamp or the process number are equal.
pub fn texts_once(texts: impl IntoIterator<Item = String>) -> Vec<String> {
    let told = once(texts, |text| match &*STAMP {
        Some(stamp) => stamp.replace_all(text, "").into_owned(),
        None => text.clone(),
    });
    told.into_iter()
        .map(|(text, count)| text + &times(count))
        .collect()
}

static STAMP: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"audit\([\d.:]+\)|\bpid=\d+").ok());

/// The key by which a report counts records of a case as equal.
pub fn key(
    record: &Attributed,
) -> (
    Option<usize>,
    Option<String>,
    Option<String>,
    Option<String>,
    String,
) {
    let of = &record.record;
    (
        record.step,
        record.owner.clone(),
        of.profile.clone(),
        of.comm.clone(),
        identity::of_record(of),
    )
}

/// ` (3 times)`; empty for a count of one.
pub fn times(count: u64) -> String {
    if count == 1 {
        String::new()
    } else {
        format!(" ({count} times)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ones_are_told_once_in_the_order_of_the_first() {
        let told = once(["b", "a", "b", "c", "b"], |text| *text);
        assert_eq!(told, [("b", 3), ("a", 1), ("c", 1)]);
    }

    #[test]
    fn a_stamp_and_a_process_make_no_difference_and_all_else_does() {
        let text = |serial: u32, pid: u32, name: &str| format!("audit(1.5:{serial}): pid={pid} name={name}");
        let all = [text(1, 7, "x"), text(2, 8, "x"), text(3, 8, "y")];
        assert_eq!(texts_once(all), [text(1, 7, "x") + " (2 times)", text(3, 8, "y")]);
    }
}
