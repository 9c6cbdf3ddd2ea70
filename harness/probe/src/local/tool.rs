//! Runs the host's programs to their end, with a timeout.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::{pidfd, timed};

/// Run a program to its end and return its output. Fails if the program fails or takes too long. The output must be
/// short: it is read after the program has ended.
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

/// A started program's exit status and output. It is killed at the limit.
pub fn output(command: &mut Command, limit: Duration) -> io::Result<Output> {
    let mut child = command.spawn()?;
    if !pidfd::await_end(child.id().cast_signed(), Instant::now() + limit)? {
        child.kill()?;
        child.wait()?;
        return Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("it did not end within {} s", limit.as_secs()),
        ));
    }
    let status = child.wait()?;
    Ok(Output {
        status,
        stdout: child.stdout.take().map(what_is_there).unwrap_or_default(),
        stderr: child.stderr.take().map(what_is_there).unwrap_or_default(),
    })
}

/// The output that an ended program left in its pipe. Its children may live on and hold the other end.
fn what_is_there(mut pipe: impl Read + AsFd) -> Vec<u8> {
    let mut said = Vec::new();
    if timed::do_not_block(&pipe).is_ok() {
        // It fails if the other end is still held. What was read before is kept.
        let _ = pipe.read_to_end(&mut said);
    }
    said
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
        // Its remaining child holds the pipes.
        let begun = Instant::now();
        assert_eq!(run("sh", &["-c", "echo x; sleep 5 &"], limit).unwrap(), "x\n");
        assert!(begun.elapsed() < Duration::from_secs(5));
        let error = run("sleep", &["60"], Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
