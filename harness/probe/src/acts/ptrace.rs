//! Accesses to another process that are mediated like ptrace(2).

use nix::errno::Errno;

use super::perform::{Called, Done, unknown};
use crate::protocol::{Effect, Ptrace};

/// Read what `/proc` shows only to permitted processes (the program's path), or attach and detach.
pub fn look(spec: &Ptrace) -> Done {
    let pid = spec.pid.ok_or_else(|| unknown("ptrace"))?;
    match spec.how.as_str() {
        "read" => {
            let program = std::fs::read_link(format!("/proc/{pid}/exe")).called("readlink")?;
            Ok(Effect {
                data: program.into_os_string().into_encoded_bytes(),
                ..Effect::default()
            })
        }
        "trace" => {
            // SAFETY: seizing stops nothing, and neither request takes an address.
            unsafe {
                Errno::result(libc::ptrace(libc::PTRACE_SEIZE, pid, 0, 0)).called("ptrace")?;
                // A process must be stopped to be detached. It is also detached when it ends, or when we end.
                Errno::result(libc::ptrace(libc::PTRACE_INTERRUPT, pid, 0, 0)).called("ptrace")?;
                Errno::result(libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL)).called("waitpid")?;
                Errno::result(libc::ptrace(libc::PTRACE_DETACH, pid, 0, 0)).called("ptrace")?;
            }
            Ok(Effect::default())
        }
        _ => Err(unknown("ptrace")),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn look_at(pid: i32, how: &str) -> Result<Effect, String> {
        let spec = Ptrace {
            of: "other".into(),
            how: how.into(),
            pid: Some(pid),
        };
        look(&spec).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_process_is_seen_and_let_go_again() {
        let mut child = Command::new("/bin/cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id().cast_signed();
        let seen = look_at(pid, "read").unwrap().data;
        let traced = look_at(pid, "trace");
        // The child can only end if nothing holds it.
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        assert!(String::from_utf8(seen).unwrap().ends_with("/cat"));
        assert_eq!(traced, Ok(Effect::default()));
        assert!(look_at(pid, "read").unwrap_err().starts_with("readlink"));
        assert!(look_at(pid, "trace").unwrap_err().starts_with("ptrace"));
    }
}
