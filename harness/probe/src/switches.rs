//! AppArmor's switches: files by which root can silence the kernel, or allow what a profile forbids.
//!
//! A switch that is set and put back leaves no trace in its value. So each write is watched, and reported with the
//! process that did it.

use std::fs;
use std::io;

use nix::errno::Errno;
use nix::sys::fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags};

use crate::protocol::SwitchesSeen;

/// What AppArmor logs.
const AUDIT: &str = "/sys/module/apparmor/parameters/audit";
/// Whether it enforces.
const MODE: &str = "/sys/module/apparmor/parameters/mode";

/// The watch over the switches.
pub struct Switches {
    watch: Result<Fanotify, String>,
    seen: SwitchesSeen,
}

impl Switches {
    /// Begin to watch. It is no error if the kernel cannot report writes; [`Switches::take`] then says so.
    pub fn watch() -> Switches {
        let watch = watch().map_err(|errno| errno.to_string());
        let seen = SwitchesSeen {
            unavailable: watch.as_ref().err().cloned(),
            ..SwitchesSeen::default()
        };
        Switches { watch, seen }
    }

    /// Change what AppArmor logs from the expected value to another one. An unexpected value is recorded.
    pub fn set_audit(&mut self, from: &str, to: &str) -> io::Result<()> {
        let was = audit_mode()?;
        if was != from {
            self.seen.other_values.push(was);
        }
        // No newline: the kernel compares the whole text.
        fs::write(AUDIT, to)
    }

    /// What other processes did to the switches since the last call.
    pub fn take(&mut self) -> SwitchesSeen {
        self.read();
        let next = SwitchesSeen {
            unavailable: self.seen.unavailable.clone(),
            ..SwitchesSeen::default()
        };
        std::mem::replace(&mut self.seen, next)
    }

    fn read(&mut self) {
        let Ok(watch) = &self.watch else { return };
        let own = std::process::id().cast_signed();
        loop {
            match watch.read_events() {
                Ok(events) => {
                    let others = events.iter().map(nix::sys::fanotify::FanotifyEvent::pid);
                    self.seen.writers.extend(others.filter(|pid| *pid != own));
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return,
                Err(errno) => {
                    self.seen.unavailable = Some(errno.to_string());
                    return;
                }
            }
        }
    }
}

fn watch() -> nix::Result<Fanotify> {
    let flags = InitFlags::FAN_CLASS_NOTIF
        | InitFlags::FAN_CLOEXEC
        | InitFlags::FAN_NONBLOCK
        | InitFlags::FAN_UNLIMITED_QUEUE;
    let watch = Fanotify::init(flags, EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC)?;
    for path in [AUDIT, MODE] {
        let marked = watch.mark(
            MarkFlags::FAN_MARK_ADD,
            MaskFlags::FAN_MODIFY,
            nix::fcntl::AT_FDCWD,
            Some(path),
        );
        // Without AppArmor there is nothing to watch. The harness reports that separately.
        if marked != Err(Errno::ENOENT) {
            marked?;
        }
    }
    Ok(watch)
}

/// What AppArmor logs: `normal`, `noquiet`, `all`…
pub fn audit_mode() -> io::Result<String> {
    Ok(fs::read_to_string(AUDIT)?.trim().into())
}

/// Whether AppArmor enforces: `enforce`, or `complain` for every profile.
pub fn enforcement() -> io::Result<String> {
    Ok(fs::read_to_string(MODE)?.trim().into())
}
