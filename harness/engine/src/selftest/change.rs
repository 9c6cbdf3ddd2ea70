//! What a sabotage changes in the loaded policy and in the machine.

use std::time::Duration;

use aa_policy::CompileError;
use nix::sys::signal::Signal;
use virt_aa_probe::protocol::Policy;

use super::table::{Load, Qemu, Sabotage};
use crate::prepare::Prepared;
use crate::runner::Runner;

/// Time limit of a script.
const SCRIPT: Duration = Duration::from_secs(60);
/// How long a stopped machine may be silent.
const SILENCE: Duration = Duration::from_secs(3);

/// Why there is no changed policy.
pub enum NoPolicy {
    /// The image's parser refuses it, as the sabotage allows.
    Refused(String),
    /// Anything else.
    Broken(String),
}

impl From<String> for NoPolicy {
    fn from(text: String) -> NoPolicy {
        NoPolicy::Broken(text)
    }
}

/// The base set's policies, with one of them changed.
pub fn policies(prepared: &Prepared, load: &Load) -> Result<Vec<Policy>, NoPolicy> {
    let set = &prepared.base.set;
    let name = &load.profile;
    let file = &set
        .file_of(name)
        .ok_or_else(|| format!("no file has the profile {name}"))?
        .file;
    let mut policies = prepared.base.compiled.policies();
    if load.missing {
        policies.retain(|policy| policy.name != *file);
        return Ok(policies);
    }
    let mut tree = set.tree.clone();
    if !load.replace.is_empty() {
        let text = tree.get(file).ok_or_else(|| format!("no text of {file}"))?;
        if !text.contains(&load.replace) {
            return Err(format!("{file} does not hold `{}`", load.replace).into());
        }
        let changed = text.replacen(&load.replace, &load.by, 1);
        tree.insert(file, changed).map_err(|error| error.to_string())?;
    }
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    tree.write_to(dir.path()).map_err(|error| error.to_string())?;
    let flags: Vec<&str> = load.flag.iter().map(String::as_str).collect();
    let compiled = prepared
        .parser
        .compile(dir.path(), file, &flags)
        .map_err(|error| match error {
            CompileError::Policy { .. } if load.may_be_refused => NoPolicy::Refused(error.to_string()),
            other => NoPolicy::Broken(other.to_string()),
        })?;
    let policy = policies
        .iter_mut()
        .find(|policy| policy.name == *file)
        .ok_or_else(|| format!("no policy of {file}"))?;
    if policy.binary == compiled.binary {
        return Err("the changed policy is the same as the honest one"
            .to_string()
            .into());
    }
    policy.binary = compiled.binary;
    Ok(policies)
}

/// Changes the machine before the case.
pub fn machine(runner: &mut Runner<'_>, sabotage: &Sabotage) -> Result<(), String> {
    let session = runner.session().map_err(|error| error.to_string())?;
    if let Some(script) = &sabotage.before {
        let ran = session
            .run(&["/bin/sh", "-ec", script], SCRIPT)
            .map_err(|error| error.to_string())?;
        if ran.exit != Some(0) {
            let words = String::from_utf8_lossy(&ran.stderr);
            return Err(format!("its script failed: {}", words.trim()));
        }
    }
    if let Some(how) = sabotage.agent {
        session.sabotage(how).map_err(|error| error.to_string())?;
    }
    if let Some(how) = sabotage.qemu {
        session.limits.grace = SILENCE;
        session.limits.short = SILENCE;
        let signal = match how {
            Qemu::Killed => Signal::SIGKILL,
            Qemu::Stopped => Signal::SIGSTOP,
        };
        session
            .signal_machine(signal)
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}
