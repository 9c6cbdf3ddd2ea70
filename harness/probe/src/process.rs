//! A process as seen from outside: its label, its program, its credentials.

use std::fs;
use std::io;

use crate::protocol::{Credentials, Identity, ProcessFacts};

/// Label and mode from `/proc/PID/attr/…/current`; the mode is empty for `unconfined`.
///
/// This is a plain read; ptrace, which AppArmor mediates, is not involved.
pub fn label(pid: i32) -> io::Result<(String, String)> {
    let own = format!("/proc/{pid}/attr/apparmor/current");
    let text =
        fs::read_to_string(own).or_else(|_| fs::read_to_string(format!("/proc/{pid}/attr/current")))?;
    Ok(split_label(&text))
}

/// Splits `NAME (MODE)`. A name may itself hold blanks and parentheses.
pub fn split_label(text: &str) -> (String, String) {
    let text = text.trim_end_matches(['\n', '\0']);
    match text.rsplit_once(" (") {
        Some((name, mode)) if mode.ends_with(')') => (name.into(), mode.trim_end_matches(')').into()),
        _ => (text.into(), String::new()),
    }
}

/// The program that a process runs; empty if it cannot be read.
pub fn exe(pid: i32) -> String {
    fs::read_link(format!("/proc/{pid}/exe"))
        .map(|path| path.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Whether a process exists and has not ended. A zombie has ended.
pub fn is_running(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let state = status.lines().find_map(|line| line.strip_prefix("State:"));
    state.is_some_and(|state| !matches!(state.trim().chars().next(), Some('Z' | 'X')))
}

/// A process as seen from outside; `None` if it has ended.
pub fn facts(pid: i32) -> Option<ProcessFacts> {
    let (label, mode) = label(pid).ok()?;
    Some(ProcessFacts {
        pid,
        label,
        mode,
        exe: exe(pid),
    })
}

/// The process's id in its innermost pid namespace.
pub fn innermost_pid(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    parse_innermost(&status)
}

fn parse_innermost(status: &str) -> Option<i32> {
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    numbers.split_whitespace().last()?.parse().ok()
}

/// The children of all threads of a process that are not reaped yet.
pub fn children(pid: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|number| number.parse().ok())
                .collect::<Vec<i32>>()
        })
        .collect()
}

/// The credentials of a process.
pub fn credentials(pid: i32) -> io::Result<Credentials> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
    Ok(parse_credentials(&status, &limits))
}

/// A process's name, state and wait channel: `libvirtd (S, poll_schedule_timeout)`; `None` if it is gone.
pub fn waits_in(pid: i32) -> Option<String> {
    let of = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}"));
    let status = of("status").ok()?;
    let field = |name: &str| {
        let mut lines = status.lines();
        lines.find_map(|line| line.strip_prefix(name)).map(str::trim)
    };
    let state = field("State:")?.split_whitespace().next()?;
    let channel = of("wchan").unwrap_or_default();
    Some(format!("{} ({state}, {})", field("Name:")?, channel.trim()))
}

/// The identity of this program, which a subject without a user must have too.
pub fn own_identity() -> io::Result<Identity> {
    Ok(credentials(std::process::id().cast_signed())?.identity())
}

fn parse_credentials(status: &str, limits: &str) -> Credentials {
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
            .unwrap_or_default()
    };
    // Uid and Gid list the real, effective, saved and file system id.
    let effective = |name| {
        field(name)
            .split_whitespace()
            .nth(1)
            .and_then(|id| id.parse().ok())
            .unwrap_or(u32::MAX)
    };
    let memlock = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max locked memory"))
        .unwrap_or_default();
    let mut memlock = memlock.split_whitespace().map(|limit| limit.parse().ok());
    Credentials {
        uid: effective("Uid"),
        gid: effective("Gid"),
        groups: field("Groups")
            .split_whitespace()
            .filter_map(|id| id.parse().ok())
            .collect(),
        cap_eff: field("CapEff").into(),
        no_new_privs: field("NoNewPrivs") == "1",
        seccomp: field("Seccomp").parse().unwrap_or(u32::MAX),
        memlock: (memlock.next().flatten(), memlock.next().flatten()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_split_from_their_modes() {
        assert_eq!(
            split_label("libvirtd (enforce)\n"),
            ("libvirtd".into(), "enforce".into())
        );
        assert_eq!(split_label("unconfined\n"), ("unconfined".into(), String::new()));
        assert_eq!(
            split_label("a (b) (complain)"),
            ("a (b)".into(), "complain".into())
        );
    }

    #[test]
    fn the_innermost_number_is_the_last() {
        assert_eq!(parse_innermost("Name:\tx\nNSpid:\t4711\t7\n"), Some(7));
        assert_eq!(parse_innermost("Name:\tx\nNSpid:\t4711\n"), Some(4711));
        assert_eq!(parse_innermost("Name:\tx\n"), None);
    }

    #[test]
    fn an_ended_child_is_one_until_it_is_reaped() {
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let pid = child.id().cast_signed();
        let own = std::process::id().cast_signed();
        // It has ended and is not reaped.
        nix::sys::wait::waitid(
            nix::sys::wait::Id::Pid(nix::unistd::Pid::from_raw(pid)),
            nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT,
        )
        .unwrap();
        assert!(children(own).contains(&pid));
        child.wait().unwrap();
        assert!(!children(own).contains(&pid));
    }

    #[test]
    fn what_a_process_waits_for_can_be_told() {
        let own = waits_in(std::process::id().cast_signed()).unwrap();
        assert!(own.contains(" (") && own.ends_with(')'), "{own}");
        assert_eq!(waits_in(i32::MAX), None);
    }

    #[test]
    fn credentials_are_the_effective_ones() {
        let status = "Name:\tx\nUid:\t0\t64055\t0\t0\nGid:\t0\t993\t0\t0\nGroups:\t24 993\nCapEff:\t0000000000000001\nNoNewPrivs:\t1\nSeccomp:\t2\n";
        let limits = "Limit                     Soft Limit           Hard Limit           Units\nMax locked memory         65536                unlimited            bytes\n";
        let got = parse_credentials(status, limits);
        assert_eq!(
            (got.uid, got.gid, got.groups.as_slice()),
            (64055, 993, &[24, 993][..])
        );
        assert_eq!(
            (got.cap_eff.as_str(), got.no_new_privs, got.seccomp),
            ("0000000000000001", true, 2)
        );
        assert_eq!(got.memlock, (Some(65536), None));
    }
}
