//! A run on a host that is killed at any moment: `doctor --repair` leaves the host as it was.

use std::time::Duration;

use super::host::{Host, with_host};

/// How often, and within which time of a run, in milliseconds: it starts, makes all that it makes, and does a few cases.
const TIMES: u32 = 20;
const SPAN_MS: u32 = 16_000;
/// Cases that load modules, set a loop device up, make network interfaces, start a daemon and load policy.
const CASES: &str = "parthelper-lists alsa-devices packet-raw-frame helper-profile-life daemon-attaches";
/// One run with its repair, under emulation.
const LIMIT: Duration = Duration::from_secs(180);

/// All that a run might leave changed. Counters that every kernel moves by itself are left out.
const STATE: &str = r#"
    volatile='/(random/|fs/dentry-state|fs/inode-|fs/file-nr|fs/aio-nr|fs/quota/|kernel/ns_last_pid|kernel/pty/nr|kernel/perf_)'
    at=/sys/kernel/security/apparmor
    sort "$at/profiles"
    (cd "$at/policy" && find . -path ./raw_data -prune -o -type d -print | grep -v raw_data | sort)
    ls "$at/policy/namespaces"
    for file in /sys/module/apparmor/parameters/*; do echo "$file $(cat "$file" 2>/dev/null)"; done
    auditctl -s | grep -Ev '^(lost|backlog) '
    auditctl -l
    grep -rsH '' /proc/sys | grep -Ev "$volatile" | sort
    cut -d ' ' -f 1 /proc/modules | sort
    cat /proc/self/mountinfo
    losetup -a
    ip -o link | cut -d : -f 2
    find /sys/fs/cgroup -type d | sort
    ls -l /dev/snd /dev/loop* 2>/dev/null | cut -c 1-30,46-
    find /etc/apparmor.d /var/lib/libvirt /home /root -xdev | sort
"#;

/// The harness and its agent are killed at once; what is left is repaired.
pub fn killed_runs_are_repaired() -> Result<(), String> {
    with_host(|host| {
        // What a first run loads for good, as an overlay's module, is there before the first look.
        host.done("$PROGRAM run --backend host packet-raw; modprobe loop; modprobe -r snd-dummy")?;
        let before = state(host)?;
        let mut left_something = 0;
        for moment in moments()? {
            let (exit, text) = host.run(&kill_after(moment), LIMIT)?;
            let after = state(host)?;
            if exit != 0 || after != before {
                return Err(format!(
                    "killed after {moment} ms, status {exit}: {text}\n{}",
                    difference(&before, &after)
                ));
            }
            left_something += u32::from(text.contains("taken away"));
        }
        // The control: had no kill left anything, nothing would have been shown.
        if left_something < TIMES / 2 {
            return Err(format!(
                "only {left_something} of {TIMES} kills left anything to repair"
            ));
        }
        println!("{left_something} of {TIMES} kills left something behind, and each was repaired");
        Ok(())
    })
}

fn state(host: &mut Host) -> Result<String, String> {
    host.done(STATE)
}

/// Unforeseeable, spread over the whole span.
fn moments() -> Result<Vec<u32>, String> {
    let part = SPAN_MS / TIMES;
    (0..TIMES)
        .map(|index| {
            let mut bytes = [0; 4];
            getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
            Ok(index * part + u32::from_le_bytes(bytes) % part)
        })
        .collect()
}

/// Start a run, kill program and agent with SIGKILL after so long, and repair.
fn kill_after(moment: u32) -> String {
    format!(
        "$PROGRAM run --backend host {CASES} >/run/killed.log 2>&1 &
        run=$!
        sleep {}.{:03}
        agents=$(cat /proc/$run/task/*/children 2>/dev/null || true)
        kill -KILL $run $agents || true
        wait $run || true
        $PROGRAM doctor --repair",
        moment / 1000,
        moment % 1000
    )
}

fn difference(before: &str, after: &str) -> String {
    let only = |these: &str, those: &str, mark: &str| -> String {
        let lines = these
            .lines()
            .filter(|line| !those.lines().any(|other| other == *line));
        lines.take(40).map(|line| format!("{mark} {line}\n")).collect()
    };
    only(before, after, "-") + &only(after, before, "+")
}
