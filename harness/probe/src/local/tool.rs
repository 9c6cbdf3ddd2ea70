//! Programs of the host that the agent calls: to their end, within a time.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::{pidfd, timed};

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

/// What a program that has ended left in its pipe. What it started may live on and hold the other side.
fn what_is_there(mut pipe: impl Read + AsFd) -> Vec<u8> {
    let mut said = Vec::new();
    if timed::do_not_block(&pipe).is_ok() {
        // It ends with an error where the other side is still held; what was read until then stays.
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
        // What it leaves behind holds its pipes.
        let begun = Instant::now();
        assert_eq!(run("sh", &["-c", "echo x; sleep 5 &"], limit).unwrap(), "x\n");
        assert!(begun.elapsed() < Duration::from_secs(5));
        let error = run("sleep", &["60"], Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
