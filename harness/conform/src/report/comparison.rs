//! The differences between two sets, in every format. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::human::{self, Paint, count};
use super::outline::{Entry, EntryStatus, Outline, of_file};
use virt_aa_model::compare::Kind;
use virt_aa_model::profile_set::Unusable;
use virt_aa_model::report::model::{CaseReport, PROGRAM_VERSION, SCHEMA_VERSION};
use virt_aa_model::report::run_info::{ProfileSetInfo, RunInfo};
use virt_aa_model::verdict::judge::Verdict;

/// Reports of cases, by their keys.
pub type CasesByKey = BTreeMap<String, CaseReport>;

/// Both runs, and what differs.
pub struct Comparison {
    /// The base set's run.
    pub base: RunInfo,
    /// The other set's run.
    pub other: RunInfo,
    /// Cases with the base set.
    pub base_cases: CasesByKey,
    /// Cases with the other set.
    pub cases: CasesByKey,
    /// The cases that differ, by their keys.
    pub kinds: BTreeMap<String, Kind>,
    /// Milliseconds since the command's start.
    pub duration_ms: f64,
}

/// A case that differs.
struct Pair<'r> {
    kind: Kind,
    base: Option<&'r CaseReport>,
    other: Option<&'r CaseReport>,
}

impl Pair<'_> {
    fn id(&self) -> &str {
        let case = self.other.or(self.base);
        case.map(|case| case.id.as_str()).unwrap_or_default()
    }
}

impl Comparison {
    /// Files that cannot be loaded, without those that fail in the base too.
    pub fn newly_unusable(&self) -> Vec<Unusable> {
        let known = &self.base.profile_set.unusable;
        let new = self.other.profile_set.unusable.iter();
        new.filter(|unusable| !known.iter().any(|known| known.file == unusable.file))
            .cloned()
            .collect()
    }

    /// Whether the set is worse than the base.
    pub fn is_worse(&self) -> bool {
        self.kinds.values().any(|kind| kind.is_worse()) || !self.newly_unusable().is_empty()
    }

    /// Whether any case was run.
    pub fn ran(&self) -> bool {
        let all = self.base_cases.values().chain(self.cases.values());
        all.into_iter().any(|case| case.verdict != Verdict::Skip)
    }

    fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for kind in self.kinds.values() {
            *counts.entry(kind.name()).or_default() += 1;
        }
        counts
    }

    /// Cases that were run and have not changed.
    fn as_before(&self) -> impl Iterator<Item = &CaseReport> {
        let cases = self.cases.iter();
        let as_before = cases
            .filter(|(key, case)| case.verdict != Verdict::Skip && !self.kinds.contains_key(key.as_str()));
        as_before.map(|(_, case)| case)
    }

    /// The cases that differ, the worst first.
    fn pairs(&self) -> Vec<Pair<'_>> {
        let pairs = self.kinds.iter().map(|(key, kind)| Pair {
            kind: *kind,
            base: self.base_cases.get(key),
            other: self.cases.get(key),
        });
        let mut pairs: Vec<Pair<'_>> = pairs.collect();
        pairs.sort_by_key(|pair| pair.kind);
        pairs
    }

    /// One line: where the cases ran, and with which sets.
    pub fn heading(&self, paint: Paint) -> String {
        let sets = [("base", &self.base), ("set", &self.other)];
        let mut text = paint.dim(&human::place(&self.other));
        for (name, info) in sets {
            let line = format!("{name:<5} {}", human::set(&info.profile_set));
            let _ = write!(text, "\n{}", paint.dim(&line));
        }
        text
    }

    /// Every difference, for people.
    pub fn differences(&self, paint: Paint) -> String {
        let mut text = human::unusable(&self.other.profile_set, paint);
        for pair in self.pairs() {
            let kind = pair.kind;
            let gap = " ".repeat(14usize.saturating_sub(kind.name().len()));
            let code = match kind {
                kind if kind.is_worse() => "31",
                Kind::Unknown => "35",
                Kind::Otherwise => "33",
                _ => "32",
            };
            let _ = writeln!(text, "{}{gap} {}", paint.with(code, kind.name()), pair.id());
            for line in lines(&pair) {
                let _ = writeln!(text, "    {line}");
            }
        }
        text
    }

    /// The last line.
    pub fn closing(&self) -> String {
        let mut counts: Vec<String> = self
            .counts()
            .iter()
            .map(|(name, number)| format!("{number} {name}"))
            .collect();
        let as_before = self.as_before().count();
        counts.push(format!("{as_before} as before"));
        let all = count(self.kinds.len() + as_before, "case");
        let is = if self.is_worse() { "worse" } else { "no worse" };
        format!(
            "{all} with both sets in {:.1} s: {}; the set is {is} than the base",
            self.duration_ms / 1000.0,
            counts.join(", ")
        )
    }

    /// The whole, for people.
    pub fn human(&self, paint: Paint) -> String {
        let (heading, closing) = (self.heading(paint), self.closing());
        format!("{heading}\n{}{closing}\n", self.differences(paint))
    }

    /// The entries: what makes the set worse is red. What has not changed is not red, whatever its verdict.
    pub fn outline(&self) -> Outline {
        let pairs = self.pairs();
        let differing = pairs.iter().map(|pair| {
            let standing = match pair.kind {
                kind if kind.is_worse() => EntryStatus::Red,
                Kind::Unknown => EntryStatus::Broken,
                Kind::Mended => EntryStatus::Good,
                Kind::New | Kind::Otherwise => EntryStatus::PassedOver,
                _ => EntryStatus::Red,
            };
            let case = pair.other.or(pair.base);
            let mut lines = lines(pair).into_iter();
            Entry {
                name: pair.id().to_owned(),
                folder: case.map(|case| case.source.folder.clone()).unwrap_or_default(),
                word: pair.kind.name(),
                standing,
                message: lines.next().filter(|_| standing != EntryStatus::Good),
                details: if standing.is_bad() {
                    lines.collect()
                } else {
                    Vec::new()
                },
                seconds: case.map(|case| case.duration_ms / 1000.0),
                place: None,
            }
        });
        let as_before = self.as_before().map(|case| {
            let good = case.verdict == Verdict::Pass;
            let reason = || case.reason.clone().unwrap_or_default();
            Entry {
                name: case.id.clone(),
                folder: case.source.folder.clone(),
                word: case.verdict.name(),
                standing: if good {
                    EntryStatus::Good
                } else {
                    EntryStatus::PassedOver
                },
                message: (!good).then(|| format!("as before: {}", reason())),
                details: Vec::new(),
                seconds: Some(case.duration_ms / 1000.0),
                place: None,
            }
        });
        let unusable = self.newly_unusable();
        let entries = differing.chain(as_before).chain(unusable.iter().map(of_file));
        Outline::new(&self.other, self.closing(), entries.collect(), "case")
    }

    /// The JSON document.
    pub fn json(&self) -> Report<'_> {
        let differences = self.pairs().into_iter().map(|pair| Difference {
            case: pair.id().to_owned(),
            kind: pair.kind,
            worse: pair.kind.is_worse(),
            base: pair.base,
            set: pair.other,
        });
        Report {
            schema_version: SCHEMA_VERSION,
            program_version: PROGRAM_VERSION,
            run: &self.other,
            base: &self.base.profile_set,
            worse: self.is_worse(),
            duration_ms: self.duration_ms,
            differences: differences.collect(),
            summary: self.counts(),
            as_before: self.as_before().count(),
        }
    }
}

/// How the case went with each set, at length if it matters.
fn lines(pair: &Pair<'_>) -> Vec<String> {
    let mut lines = vec![format!("base: {}", verdict(pair.base))];
    lines.push(format!("set:  {}", verdict(pair.other)));
    if let (Some(case), false) = (pair.other, matches!(pair.kind, Kind::Mended | Kind::New)) {
        lines.extend(human::details(case));
    }
    lines
}

fn verdict(case: Option<&CaseReport>) -> String {
    match case {
        None => "the set has no such profile".into(),
        Some(case) => match &case.reason {
            None => case.verdict.name().into(),
            Some(reason) => format!("{}: {reason}", case.verdict.name()),
        },
    }
}

/// The JSON document.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    schema_version: u32,
    program_version: &'static str,
    run: &'a RunInfo,
    base: &'a ProfileSetInfo,
    /// Whether the set is worse than the base.
    worse: bool,
    duration_ms: f64,
    differences: Vec<Difference<'a>>,
    summary: BTreeMap<&'static str, usize>,
    as_before: usize,
}

#[derive(Debug, Serialize)]
struct Difference<'a> {
    case: String,
    kind: Kind,
    worse: bool,
    /// Null if that set has no such profile.
    base: Option<&'a CaseReport>,
    set: Option<&'a CaseReport>,
}
