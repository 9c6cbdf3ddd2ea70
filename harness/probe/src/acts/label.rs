//! Enters a label, and asks for the canary's denied capability.

use std::fs;
use std::io;
use std::path::Path;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, gethostname, sethostname};

use super::perform::{Called, Done};
use crate::protocol::Effect;

/// aa_change_profile(2): this thread has the new label from now on.
pub fn change_profile(label: &str) -> Done {
    let own = Path::new("/proc/self/attr/apparmor/current");
    let path = if own.exists() {
        own
    } else {
        Path::new("/proc/self/attr/current")
    };
    let mut file = fs::OpenOptions::new().write(true).open(path).called("open")?;
    // One write: the kernel reads a command in one piece.
    io::Write::write_all(&mut file, format!("changeprofile {label}").as_bytes()).called("change_profile")?;
    Ok(Effect::default())
}

/// Ask for CAP_SYS_ADMIN on each processor. The kernel remembers for each processor the profile that was last denied
/// one, and does not log the same denial again. After this each subject's first denial is logged.
pub fn ask_capability_everywhere() -> io::Result<()> {
    let this = Pid::from_raw(0);
    let all = sched_getaffinity(this)?;
    let name = gethostname()?;
    for cpu in (0..CpuSet::count()).filter(|cpu| all.is_set(*cpu).unwrap_or(false)) {
        let mut one = CpuSet::new();
        one.set(cpu)?;
        sched_setaffinity(this, &one)?;
        if sethostname(&name).is_ok() {
            return Err(io::Error::other(
                "the canary was given a capability that its profile does not grant",
            ));
        }
    }
    sched_setaffinity(this, &all)?;
    Ok(())
}
