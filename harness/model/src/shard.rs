//! Splits a run into parts for several machines. Pure: the same names and times give the same parts on every machine.

use std::collections::BTreeMap;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Milliseconds of earlier runs, by id.
pub type Durations = BTreeMap<String, f64>;

/// One part of several, as `K/N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// The number of this part, from 1.
    pub index: usize,
    /// How many parts there are.
    pub of: usize,
}

/// How a run was split, and which part this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Split {
    /// The number of this part, from 1.
    pub index: usize,
    /// How many parts there are.
    pub of: usize,
    /// All entries of the whole run, in its order.
    pub runs: Vec<Assigned>,
}

/// Which part an id belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Assigned {
    /// The id.
    pub id: String,
    /// The part, from 1.
    pub shard: usize,
}

/// Why a run cannot be split.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// Some part would be empty.
    #[error("{of} shards of {runs} runs: some would be empty; take at most {runs}")]
    Empty {
        /// The requested number of parts.
        of: usize,
        /// The number of runs.
        runs: usize,
    },
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let number = |part: &str| part.parse::<usize>().ok().filter(|number| *number > 0);
        let parts = text
            .split_once('/')
            .map(|(index, of)| (number(index), number(of)));
        match parts {
            Some((Some(index), Some(of))) if index <= of => Ok(Shard { index, of }),
            _ => Err("give K/N with K from 1 to N, as in 2/3".into()),
        }
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// Splits the ids evenly by time: the longest first, each to the part with the least time so far. An id without a known
/// time counts as the median of the others. No part is empty.
pub fn split(shard: Shard, ids: &[&str], durations: &Durations) -> Result<Split, ShardError> {
    if shard.of > ids.len() {
        return Err(ShardError::Empty {
            of: shard.of,
            runs: ids.len(),
        });
    }
    let times = times(ids, durations);
    let mut order: Vec<usize> = (0..ids.len()).collect();
    order.sort_by(|a, b| times[*b].cmp(&times[*a]).then_with(|| ids[*a].cmp(ids[*b])));
    let mut loads = vec![(0u64, 0usize); shard.of];
    let mut shards = vec![0; ids.len()];
    for at in order {
        // Compares time, then number, so that ids that take no time are spread too.
        let least = (0..loads.len()).min_by_key(|part| loads[*part]).unwrap_or(0);
        loads[least].0 = loads[least].0.saturating_add(times[at]);
        loads[least].1 += 1;
        shards[at] = least + 1;
    }
    let runs = ids.iter().zip(shards);
    Ok(Split {
        index: shard.index,
        of: shard.of,
        runs: runs
            .map(|(id, shard)| Assigned {
                id: (*id).to_string(),
                shard,
            })
            .collect(),
    })
}

impl Split {
    /// Whether an id is in this part.
    pub fn has(&self, id: &str) -> bool {
        self.own().any(|own| own == id)
    }

    /// The ids of this part, in the run's order.
    pub fn own(&self) -> impl Iterator<Item = &str> {
        let own = self.runs.iter().filter(|run| run.shard == self.index);
        own.map(|run| run.id.as_str())
    }
}

/// The times in whole microseconds, so that sums do not depend on the order.
fn times(ids: &[&str], durations: &Durations) -> Vec<u64> {
    let known = |id: &&str| {
        let ms = *durations.get(*id)?;
        // A conversion of a value out of range takes the nearest number.
        (ms.is_finite() && ms >= 0.0).then(|| (ms * 1000.0).round() as u64)
    };
    let mut all: Vec<u64> = ids.iter().filter_map(known).collect();
    all.sort_unstable();
    let median = all.get(all.len() / 2).copied().unwrap_or(1);
    ids.iter().map(|id| known(id).unwrap_or(median)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1/1", Some((1, 1)))]
    #[case("3/3", Some((3, 3)))]
    #[case("0/3", None)]
    #[case("4/3", None)]
    #[case("1/0", None)]
    #[case("1", None)]
    #[case("-1/2", None)]
    #[case("1/2/3", None)]
    fn a_shard_is_k_of_n(#[case] text: &str, #[case] want: Option<(usize, usize)>) {
        let got = text.parse::<Shard>().ok().map(|shard| (shard.index, shard.of));
        assert_eq!(got, want);
    }

    fn parts(of: usize, ids: &[&str], durations: &Durations) -> Vec<Vec<String>> {
        (1..=of)
            .map(|index| {
                let split = split(Shard { index, of }, ids, durations).unwrap();
                split.own().map(str::to_string).collect()
            })
            .collect()
    }

    #[test]
    fn the_longest_stands_alone_and_the_unknown_counts_as_the_median() {
        let durations = Durations::from([("long".into(), 900.0), ("a".into(), 300.0), ("b".into(), 300.0)]);
        let parts = parts(2, &["a", "b", "long", "new"], &durations);
        assert_eq!(parts, [vec!["long"], vec!["a", "b", "new"]]);
    }

    #[test]
    fn no_part_is_empty() {
        let durations = Durations::from([("a".into(), 0.0), ("b".into(), 0.0), ("c".into(), 1e300)]);
        assert!(
            parts(3, &["a", "b", "c"], &durations)
                .iter()
                .all(|part| part.len() == 1)
        );
        let shard = Shard { index: 1, of: 4 };
        assert_eq!(
            split(shard, &["a", "b", "c"], &durations),
            Err(ShardError::Empty { of: 4, runs: 3 })
        );
    }

    proptest! {
        #[test]
        fn each_id_is_in_exactly_one_part(
            ids in proptest::collection::btree_set("[a-e]{1,4}", 1..40),
            times in proptest::collection::vec(prop_oneof![Just(f64::NAN), -1.0..1e6f64], 40),
            of in 1usize..12,
        ) {
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            prop_assume!(of <= ids.len());
            // Every third duration is unknown.
            let durations: Durations = ids.iter().zip(&times).enumerate()
                .filter(|(at, _)| at % 3 != 0)
                .map(|(_, (id, ms))| ((*id).to_string(), *ms))
                .collect();
            let parts = parts(of, &ids, &durations);
            prop_assert!(parts.iter().all(|part| !part.is_empty()));
            let mut all: Vec<String> = parts.concat();
            all.sort();
            let mut want: Vec<String> = ids.iter().map(|id| (*id).to_string()).collect();
            want.sort();
            prop_assert_eq!(all, want);
            // The order of the names does not affect the assignment.
            let backwards: Vec<&str> = ids.iter().rev().copied().collect();
            for (one, other) in parts.iter().zip(self::parts(of, &backwards, &durations)) {
                let other: Vec<String> = other.into_iter().rev().collect();
                prop_assert_eq!(one, &other);
            }
        }

        /// No part exceeds the fair share by more than one run.
        #[test]
        fn parts_are_even(times in proptest::collection::vec(1.0..1e4f64, 4..40), of in 1usize..4) {
            let names: Vec<String> = (0..times.len()).map(|at| format!("case-{at}")).collect();
            let ids: Vec<&str> = names.iter().map(String::as_str).collect();
            let durations: Durations = names.iter().cloned().zip(times.iter().copied()).collect();
            let fair = times.iter().sum::<f64>() / of as f64;
            let longest = times.iter().copied().fold(0.0, f64::max);
            for part in parts(of, &ids, &durations) {
                let load: f64 = part.iter().map(|id| durations[id]).sum();
                prop_assert!(load <= fair + longest + 1.0, "{load} of {fair}");
            }
        }
    }
}
