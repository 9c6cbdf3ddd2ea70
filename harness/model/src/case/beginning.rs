//! A case that begins where another one ends (`from`): joins the steps of both. Pure.

use std::collections::BTreeMap;

use super::model::{Case, Step};
use super::plan::AGENT;
use super::problem::{Located, Problem};
use crate::yaml::path::Path;

/// How many cases may come before a case.
const DEEPEST: usize = 8;

/// Fills in what a file may leave out: who performs a step of virsh, and a guest's UUID.
pub fn complete(case: &mut Case) {
    let lists = [&mut case.setup, &mut case.steps, &mut case.cleanup];
    for step in lists.into_iter().flatten() {
        if step.by.is_empty() && step.is_by_agent_alone() {
            step.by = AGENT.into();
        }
        for domain in [&mut step.create, &mut step.define].into_iter().flatten() {
            let of_label = || format!("{{{}.uuid}}", domain.guest);
            domain.uuid = domain.uuid.take().or_else(|| Some(of_label()));
        }
    }
}

/// A case with the fixtures and subjects of the cases before it, and how many steps of theirs come first.
#[derive(Debug, Clone, PartialEq)]
pub struct Joined {
    /// The case with everything that comes before it: the held steps are at the start of `setup`.
    pub whole: Case,
    /// The case with the fixtures and subjects of those before it, and its own steps only.
    pub own: Case,
    /// How many steps of other cases come first.
    pub held: usize,
}

impl Joined {
    /// A case that begins with no other.
    pub fn alone(mut case: Case) -> Joined {
        complete(&mut case);
        Joined {
            whole: case.clone(),
            own: case,
            held: 0,
        }
    }
}

/// Joins a case with those that it begins with; `cases` has every case by name.
pub fn join(case: &Case, cases: &BTreeMap<&str, &Case>) -> Result<Joined, Located> {
    let mut chain = vec![case];
    while let Some(name) = chain.last().and_then(|last| last.from.as_ref()) {
        let path = Path::root().key("from");
        let Some(before) = cases.get(name.as_str()) else {
            let known = cases.keys().map(|name| (*name).to_owned()).collect();
            let (what, name) = ("case", name.clone());
            return Err(Problem::Unknown { what, name, known }.at(path));
        };
        if !before.with.is_empty() {
            let (what, name) = ("case", name.clone());
            return Err(Problem::HasVariants { what, name }.at(path));
        }
        if chain.len() > DEEPEST || chain.iter().any(|one| one.name == before.name) {
            return Err(Problem::Circle(name.clone()).at(path));
        }
        chain.push(before);
    }
    let mut joined = Joined {
        whole: case.clone(),
        own: case.clone(),
        held: 0,
    };
    // The nearest case comes first, so each one's steps go before what is there already.
    for before in &chain[1..] {
        let steps = before.setup.iter().chain(&before.steps);
        let steps: Vec<Step> = steps.map(|step| with_timeout(step, before)).collect();
        joined.held += steps.len();
        joined.whole.setup.splice(..0, steps);
        let cleanup = before.cleanup.iter();
        let cleanup = cleanup.map(|step| with_timeout(step, before));
        joined.whole.cleanup.extend(cleanup);
        joined.whole.policy_loads.count += before.policy_loads.count;
        let profiles = before.policy_loads.profiles.iter().cloned();
        joined.whole.policy_loads.profiles.extend(profiles);
        for one in [&mut joined.whole, &mut joined.own] {
            inherit(one, before)?;
        }
    }
    Ok(joined)
}

/// A step with the time limit that it has in its own case.
fn with_timeout(step: &Step, of: &Case) -> Step {
    Step {
        timeout: step.timeout.or(of.timeout),
        ..step.clone()
    }
}

fn inherit(case: &mut Case, before: &Case) -> Result<(), Located> {
    let needs = before.needs.iter().filter(|need| !case.needs.contains(need));
    let needs: Vec<String> = needs.cloned().collect();
    case.needs.splice(..0, needs);
    for (name, subject) in &before.subjects {
        if case.subjects.insert(name.clone(), subject.clone()).is_some() {
            let path = Path::root().key("subjects").key(name);
            let (what, name) = ("subject", name.clone());
            return Err(Problem::Twice { what, name }.at(path));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn case(text: &str) -> Case {
        let mut case: Case = serde_yaml::from_str(&format!("{{summary: s, origin: [], {text}}}")).unwrap();
        complete(&mut case);
        case
    }

    fn all() -> Vec<Case> {
        vec![
            case(
                "name: daemon, needs: [disk], subjects: {d: {role: daemon}}, timeout: 7, \
                 setup: [{as: agent, run: [/a]}], steps: [{as: d, start: daemon, timeout: 9}], cleanup: [{as: agent, run: [/z]}]",
            ),
            case(
                "name: guest, from: daemon, subjects: {vm: {role: guest, run-by: d, label: libvirt-u}}, \
                 steps: [{create: {guest: vm}}], cleanup: [{as: agent, run: [/y]}], policy-loads: {count: 1, profiles: [p]}",
            ),
            case(
                "name: mine, from: guest, needs: [net, disk], setup: [{as: agent, run: [/b]}], steps: [{virsh: [list]}], \
                 cleanup: [{as: agent, run: [/x]}], guards: []",
            ),
        ]
    }

    fn joined(cases: &[Case], name: &str) -> Result<Joined, Located> {
        let by_name: BTreeMap<&str, &Case> = cases.iter().map(|case| (case.name.as_str(), case)).collect();
        join(by_name[name], &by_name)
    }

    #[test]
    fn the_steps_of_the_earlier_cases_come_first_and_their_cleanup_last() {
        let joined = joined(&all(), "mine").unwrap();
        let whole = &joined.whole;
        let programs = |steps: &[Step]| -> Vec<String> {
            let program = |step: &Step| step.run.as_ref().map_or("-".into(), |run| run[0].clone());
            steps.iter().map(program).collect()
        };
        assert_eq!(programs(&whole.setup), ["/a", "-", "-", "/b"]);
        assert_eq!(programs(&whole.steps), ["-"]);
        assert_eq!(programs(&whole.cleanup), ["/x", "/y", "/z"]);
        assert_eq!(joined.held, 3);
        assert_eq!(whole.needs, ["net", "disk"]);
        assert_eq!(whole.subjects.keys().collect::<Vec<_>>(), ["d", "vm"]);
        assert_eq!(whole.policy_loads.count, 1);
        let timeouts: Vec<_> = whole.setup.iter().map(|step| step.timeout).collect();
        assert_eq!(timeouts, [Some(7), Some(9), None, None]);
        assert_eq!(joined.own.setup.len(), 1);
        assert_eq!(joined.own.subjects, whole.subjects);
    }

    #[test]
    fn a_step_of_virsh_is_by_the_agent_and_a_guest_has_its_labels_uuid() {
        let cases = all();
        assert_eq!(cases[2].steps[0].by, AGENT);
        let domain = cases[1].steps[0].create.as_ref().unwrap();
        assert_eq!(domain.uuid.as_deref(), Some("{vm.uuid}"));
    }

    #[rstest]
    #[case::unknown("name: mine, from: gest, steps: []", "unknown case `gest`")]
    #[case::circle("name: guest, from: mine, steps: []", "begins with itself")]
    #[case::itself("name: mine, from: mine, steps: []", "begins with itself")]
    #[case::variants(
        "name: guest, with: [{id: x}], steps: []",
        "cannot begin where the case `guest` ends"
    )]
    #[case::same_subject(
        "name: mine, from: guest, subjects: {d: {role: daemon}}, steps: []",
        "the subject `d` is used twice"
    )]
    fn a_wrong_chain_is_one_clear_error(#[case] changed: &str, #[case] want: &str) {
        let changed = case(changed);
        let mut cases = all();
        cases.retain(|case| case.name != changed.name);
        cases.push(changed);
        let error = joined(&cases, "mine").unwrap_err();
        assert!(error.to_string().contains(want), "{error}");
    }
}
