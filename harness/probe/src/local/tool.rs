//! Programs of the host that the agent calls: to their end, within a time.

use std::io;
use std::os::fd::AsFd;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::pidfd;

/// Run a program to its end and return what it said; an error where it fails or takes too long. What it says must be
/// short: it is read when the program has ended.
pub fn run(program: &str, arguments: &[&str], limit: Duration) -> io::Result<String> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = output(&mut command, limit)
        .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_string();
    Err(io::Error::other(format!(
        "{program} {} ended with {}: {said}",
        arguments.join(" "),
        output.status
    )))
}

/// A started program's end and output; at the limit it is killed.
pub fn output(command: &mut Command, limit: Duration) -> io::Result<Output> {
    let mut child = command.spawn()?;
    let ended = pidfd::open(child.id().cast_signed())?;
    let mut waiting = [PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    if poll(&mut waiting, timeout)? == 0 {
        child.kill()?;
        child.wait()?;
        return Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("it did not end within {} s", limit.as_secs()),
        ));
    }
    child.wait_with_output()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_ends_well_badly_or_too_late() {
        let limit = Duration::from_secs(20);
        assert_eq!(run("echo", &["x"], limit).unwrap(), "x\n");
        let error = run("sh", &["-c", "echo no >&2; exit 3"], limit).unwrap_err();
        assert!(error.to_string().ends_with("exit status: 3: no"), "{error}");
        let error = run("sleep", &["60"], Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
