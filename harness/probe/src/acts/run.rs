//! Running a program.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::perform::{Called, Failure, unknown};
use crate::protocol::{Ran, RunSpec};

/// The default PATH of a program.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Output beyond this is read and dropped. The evidence says so.
pub(super) const KEPT: usize = 1 << 20;

/// Wait for the end of a child and return its exit status, or the signal that ended it. It is not reaped yet, so that
/// the agent, in another pid namespace, can look up its own id for it.
fn await_end(pid: u32) -> nix::Result<(Option<i32>, Option<i32>)> {
    // SAFETY: the structure is plain data, filled in by the call, and read only if the call succeeded.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        while let Err(errno) = Errno::result(libc::waitid(
            libc::P_PID,
            pid,
            &raw mut info,
            libc::WEXITED | libc::WNOWAIT,
        )) {
            if errno != Errno::EINTR {
                return Err(errno);
            }
        }
        let status = info.si_status();
        Ok(if info.si_code == libc::CLD_EXITED {
            (Some(status), None)
        } else {
            (None, Some(status))
        })
    }
}

/// Reap the programs that have been reported.
pub fn reap() {
    while let Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) =
        waitpid(None, Some(WaitPidFlag::WNOHANG))
    {}
}

/// fork, execve, wait. Files for the standard streams are opened here, by the process that has the label.
pub fn run(spec: &RunSpec) -> Result<Ran, Failure> {
    let (program, arguments) = spec.argv.split_first().ok_or_else(|| unknown("execve"))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", DEFAULT_PATH)
        .envs(&spec.env)
        .process_group(0);
    command.stdin(match &spec.stdin_file {
        Some(path) => Stdio::from(File::open(path).called("open")?),
        None => Stdio::piped(),
    });
    command.stdout(match &spec.stdout_file {
        Some(path) => Stdio::from(
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .open(path)
                .called("open")?,
        ),
        None => Stdio::piped(),
    });
    let mut child = command.stderr(Stdio::piped()).spawn().called("execve")?;
    let pid = child.id().cast_signed();
    let input = child.stdin.take().map(|mut pipe| {
        let text = spec.stdin.clone().unwrap_or_default();
        // It is no error if a program does not read its input.
        thread::spawn(move || drop(pipe.write_all(text.as_bytes())))
    });
    let stdout = child.stdout.take().map(|pipe| thread::spawn(move || drain(pipe)));
    let stderr = child.stderr.take().map(|pipe| thread::spawn(move || drain(pipe)));
    let collect = |reader: Option<thread::JoinHandle<(Vec<u8>, bool)>>| {
        reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
    };
    let ((stdout, stdout_cut), (stderr, stderr_cut)) = (collect(stdout), collect(stderr));
    let (exit, signal) = await_end(child.id()).called("wait")?;
    if let Some(input) = input {
        let _ = input.join();
    }
    Ok(Ran {
        pid,
        exit,
        signal,
        stdout,
        stderr,
        stdout_cut,
        stderr_cut,
    })
}

/// The first bytes of a stream, and whether some are missing: there were more, or it could not be read.
fn drain(mut pipe: impl Read) -> (Vec<u8>, bool) {
    let mut kept = Vec::new();
    let first = (&mut pipe).take(KEPT as u64).read_to_end(&mut kept);
    let more = std::io::copy(&mut pipe, &mut std::io::sink());
    let whole = first.is_ok() && more.is_ok_and(|more| more == 0);
    (kept, !whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn shell(script: &str) -> RunSpec {
        RunSpec {
            argv: vec!["/bin/sh".into(), "-c".into(), script.into()],
            env: BTreeMap::from([("KEY".into(), "value".into())]),
            stdin: Some("in".into()),
            stdin_file: None,
            stdout_file: None,
        }
    }

    #[test]
    fn a_programs_end_is_reported_whole() {
        let ran = run(&shell("cat; echo $KEY; echo oops >&2; exit 3")).unwrap();
        assert_eq!((ran.exit, ran.signal), (Some(3), None));
        assert_eq!(
            (ran.stdout.as_slice(), ran.stderr.as_slice()),
            (&b"invalue\n"[..], &b"oops\n"[..])
        );
    }

    #[test]
    fn a_signal_is_no_exit_status() {
        let ran = run(&shell("kill -9 $$")).unwrap();
        assert_eq!((ran.exit, ran.signal), (None, Some(9)));
    }

    #[test]
    fn output_beyond_the_limit_neither_blocks_nor_grows() {
        let ran = run(&shell("head -c 3000000 /dev/zero")).unwrap();
        assert_eq!((ran.exit, ran.stdout.len()), (Some(0), 1 << 20));
        assert!(ran.stdout_cut && !ran.stderr_cut);
        // Output of exactly the limit is complete.
        let ran = run(&shell("head -c 1048576 /dev/zero")).unwrap();
        assert!(ran.stdout.len() == 1 << 20 && !ran.stdout_cut);
    }
}
