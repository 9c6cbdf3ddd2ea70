//! Memory, limits, accounting, signals: acts that need capabilities.

use std::num::NonZeroUsize;

use nix::sys::mman::{MapFlags, ProtFlags, mlock, mmap_anonymous, munmap};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, acct as accounting};

use super::perform::{Called, Done, unknown};
use crate::protocol::{Effect, LockMemory, SetLimit};

/// Lock memory, then unlock it.
pub fn lock(spec: &LockMemory) -> Done {
    let length = usize::try_from(spec.bytes)
        .ok()
        .and_then(NonZeroUsize::new)
        .ok_or_else(|| unknown("mmap"))?;
    let extra = match spec.how.as_str() {
        "mmap" => MapFlags::MAP_LOCKED,
        "mlock" => MapFlags::empty(),
        _ => return Err(unknown("mmap")),
    };
    let flags = MapFlags::MAP_PRIVATE | extra;
    // SAFETY: a fresh anonymous mapping, unmapped below and not used elsewhere.
    unsafe {
        let at = mmap_anonymous(None, length, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, flags)
            .called("mmap")?;
        let locked = if spec.how == "mlock" {
            mlock(at, length.get()).called("mlock")
        } else {
            Ok(())
        };
        let held = locked_bytes();
        munmap(at, length.get()).called("munmap")?;
        locked?;
        Ok(Effect {
            value: held,
            ..Effect::default()
        })
    }
}

/// Bytes that this process has locked, from `/proc/self/status`; -1 if its profile denies reading that.
fn locked_bytes() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|line| {
        line.strip_prefix("VmLck:")?
            .split_whitespace()
            .next()?
            .parse::<i64>()
            .ok()
    });
    kib.map_or(-1, |kib| kib * 1024)
}

/// Turn process accounting on or off.
pub fn acct(file: Option<&str>) -> Done {
    match file {
        Some(file) => accounting::enable(file),
        None => accounting::disable(),
    }
    .called("acct")?;
    Ok(Effect::default())
}

/// Set both limits of a resource, of this process or of another.
pub fn set_limit(spec: &SetLimit) -> Done {
    let resource = match spec.resource.as_str() {
        "memlock" => libc::RLIMIT_MEMLOCK,
        "nofile" => libc::RLIMIT_NOFILE,
        "nproc" => libc::RLIMIT_NPROC,
        "core" => libc::RLIMIT_CORE,
        _ => return Err(unknown("prlimit")),
    };
    let pid = spec.pid.unwrap_or(0);
    let new = libc::rlimit {
        rlim_cur: spec.to,
        rlim_max: spec.to,
    };
    let mut now = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both structures live through the calls.
    unsafe {
        nix::errno::Errno::result(libc::prlimit(pid, resource, &raw const new, std::ptr::null_mut()))
            .called("prlimit")?;
        nix::errno::Errno::result(libc::prlimit(pid, resource, std::ptr::null(), &raw mut now))
            .called("prlimit")?;
    }
    if (now.rlim_cur, now.rlim_max) != (spec.to, spec.to) {
        return Err(nix::errno::Errno::EBADMSG).called("prlimit, read back,");
    }
    Ok(Effect {
        value: now.rlim_max.cast_signed(),
        ..Effect::default()
    })
}

/// Send a signal to a process.
pub fn signal(pid: &str, signal: &str) -> Done {
    let pid = pid.parse().map_err(|_| unknown("kill"))?;
    let signal = match signal {
        "exists" => None,
        name => Some(
            format!("SIG{}", name.to_uppercase())
                .parse::<Signal>()
                .map_err(|_| unknown("kill"))?,
        ),
    };
    kill(Pid::from_raw(pid), signal).called("kill")?;
    Ok(Effect::default())
}
