//! `list`: prints the cases; needs no machine.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde::Serialize;

use super::args::{Format, ListArgs};
use super::failure::Failure;
use super::output;
use super::select::{all_roles, select};
use crate::exit;
use crate::report::human::count;
use virt_aa_engine::root::Root;
use virt_aa_engine::setup;
use virt_aa_model::case::expand::Variant;
use virt_aa_model::case::guard::label;
use virt_aa_model::case::loaded::Loaded;

/// A case as it is listed.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Entry {
    name: String,
    folder: String,
    summary: String,
    file: String,
    line: usize,
    /// `id` of each entry of `with`.
    variants: Vec<String>,
    /// Roles of its subjects.
    roles: Vec<String>,
    /// Fixtures.
    needs: Vec<String>,
    /// What each guard removes or adds.
    guards: Vec<String>,
    /// Everything that `run` would run of it if every profile of the sets existed.
    runs: Vec<String>,
}

/// Print the cases that the patterns choose.
pub fn list(root: &Root, args: &ListArgs) -> Result<u8, Failure> {
    let data = setup::data(root)?;
    let selection = select(&data, &all_roles(&data), &args.cases)?;
    let skipped: BTreeSet<&str> = selection
        .skipped
        .iter()
        .map(|(variant, _)| variant.loaded.case.name.as_str())
        .collect();
    let entries: Vec<Entry> = data
        .cases
        .iter()
        .filter_map(|loaded| {
            let chosen: Vec<&Variant> = selection
                .variants
                .iter()
                .filter(|variant| variant.loaded.case.name == loaded.case.name)
                .collect();
            (!chosen.is_empty() || skipped.contains(loaded.case.name.as_str()))
                .then(|| entry(loaded, &chosen))
        })
        .collect();
    let text = match args.format {
        Format::Human => human(&entries),
        Format::Json => serde_json::to_string_pretty(&entries).map_err(Failure::broken)? + "\n",
    };
    output::print(&text)?;
    Ok(exit::OK)
}

fn entry(loaded: &Loaded, chosen: &[&Variant]) -> Entry {
    let case = &loaded.case;
    let mut variants = Vec::new();
    for id in chosen.iter().filter_map(|variant| variant.variant.as_ref()) {
        if !variants.contains(id) {
            variants.push(id.clone());
        }
    }
    let roles: BTreeSet<&String> = case
        .subjects
        .values()
        .filter_map(|subject| subject.role.as_ref())
        .collect();
    Entry {
        name: case.name.clone(),
        folder: loaded.group.clone(),
        summary: case.summary.clone(),
        file: loaded.file.display().to_string(),
        line: loaded.line,
        variants,
        roles: roles.into_iter().cloned().collect(),
        needs: case.needs.clone(),
        guards: case.guards.iter().map(label).collect(),
        runs: chosen.iter().map(|variant| variant.id.clone()).collect(),
    }
}

fn human(entries: &[Entry]) -> String {
    let mut text = String::new();
    let mut runs = 0;
    for entry in entries {
        let folder = match entry.folder.as_str() {
            "" => String::new(),
            folder => format!("{folder}/"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{folder}{}\n    {}", entry.name, entry.summary);
        for (what, names) in [
            ("variants", &entry.variants),
            ("roles", &entry.roles),
            ("needs", &entry.needs),
            ("guards", &entry.guards),
        ] {
            if !names.is_empty() {
                let _ = writeln!(text, "    {what}: {}", names.join(", "));
            }
        }
        runs += entry.runs.len();
    }
    let _ = writeln!(
        text,
        "{}, {} where every profile is there",
        count(entries.len(), "case"),
        count(runs, "run")
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_shows_what_it_has_and_nothing_else() {
        let entry = Entry {
            name: "open-door".into(),
            folder: "guest".into(),
            summary: "A door is opened".into(),
            file: "cases/guest/door.yaml".into(),
            line: 1,
            variants: vec!["front".into(), "back".into()],
            roles: vec!["guest".into()],
            needs: vec![],
            guards: vec!["without file /dev/door rw".into()],
            runs: vec!["open-door:front@g".into(), "open-door:back@g".into()],
        };
        assert_eq!(
            human(&[entry]),
            "guest/open-door\n    A door is opened\n    variants: front, back\n    roles: guest\n    \
             guards: without file /dev/door rw\n1 case, 2 runs where every profile is there\n"
        );
    }
}
