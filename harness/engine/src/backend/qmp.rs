//! QEMU's monitor, by its JSON protocol (QMP): one message a line.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde_json::{Value, json};
use virt_aa_probe::timed::Timed;

/// The longest message that is read, in bytes. Those of the commands here have some hundred.
const LONGEST: usize = 1 << 20;

/// A connection to the monitor. All that is done with it has one deadline.
#[derive(Debug)]
pub(super) struct Qmp {
    socket: UnixStream,
    deadline: Instant,
    unread: Vec<u8>,
    /// Events that came while an answer was awaited.
    events: VecDeque<Value>,
}

/// Why the monitor did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// The monitor is gone or does not answer.
    #[error("QEMU's monitor: {0}")]
    Io(#[from] io::Error),
    /// QEMU refuses a command, or a job of it failed.
    #[error("QEMU, asked for {command}: {message}")]
    Refused {
        /// The command.
        command: String,
        /// QEMU's words.
        message: String,
    },
    /// The message is not of the protocol.
    #[error("QEMU's monitor sent what cannot be understood: {0}")]
    Nonsense(String),
}

impl Qmp {
    /// Greets the monitor.
    pub(super) fn connect(socket: UnixStream, deadline: Instant) -> Result<Qmp, QmpError> {
        let mut qmp = Qmp {
            socket,
            deadline,
            unread: Vec::new(),
            events: VecDeque::new(),
        };
        let greeting = qmp.message()?;
        if greeting.get("QMP").is_none() {
            return Err(nonsense(&greeting));
        }
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Sets the deadline of everything from now on.
    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Runs a command and returns its value.
    pub(super) fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value, QmpError> {
        let text = line(command, arguments);
        Timed::new(&mut self.socket, self.deadline)?.write_all(text.as_bytes())?;
        self.answer(command)
    }

    /// Hands a file over, under that name.
    pub(super) fn pass(&mut self, name: &str, file: &impl AsFd) -> Result<(), QmpError> {
        let command = "getfd";
        let text = line(command, &json!({"fdname": name}));
        let descriptors = [file.as_fd().as_raw_fd()];
        let sent = sendmsg::<()>(
            self.socket.as_raw_fd(),
            &[IoSlice::new(text.as_bytes())],
            &[ControlMessage::ScmRights(&descriptors)],
            MsgFlags::empty(),
            None,
        );
        // The descriptor goes with the first byte.
        let rest = text.as_bytes().get(sent.map_err(io::Error::from)?..);
        Timed::new(&mut self.socket, self.deadline)?.write_all(rest.unwrap_or_default())?;
        self.answer(command).map(drop)
    }

    /// Runs a command that starts a job, and waits until the job is ready or has ended well.
    pub(super) fn job(&mut self, command: &str, mut arguments: Value) -> Result<(), QmpError> {
        const ID: &str = "job";
        arguments["job-id"] = ID.into();
        self.execute(command, &arguments)?;
        let status = self.job_status(ID, &["ready", "concluded"])?;
        if status == "ready" {
            // A copy that has all of its source ends when it is cancelled.
            self.execute("block-job-cancel", &json!({"device": ID}))?;
            self.job_status(ID, &["null"])?;
            return Ok(());
        }
        let jobs = self.execute("query-jobs", &json!({}))?;
        let of_job = |job: &&Value| job["id"] == ID;
        let failed = jobs.as_array().and_then(|jobs| jobs.iter().find(of_job));
        if let Some(error) = failed.and_then(|job| job["error"].as_str()) {
            return Err(refused(command, error));
        }
        self.execute("job-dismiss", &json!({"id": ID})).map(drop)
    }

    fn job_status(&mut self, id: &str, wanted: &[&str]) -> Result<String, QmpError> {
        loop {
            let event = self.event("JOB_STATUS_CHANGE")?;
            let status = event["data"]["status"].as_str().unwrap_or_default();
            if event["data"]["id"] == id && wanted.contains(&status) {
                return Ok(status.to_owned());
            }
        }
    }

    /// Starts to send or to take the machine's devices by the file of that name, and waits for the end.
    pub(super) fn migrate(&mut self, command: &str, file: &str) -> Result<(), QmpError> {
        // The memory is in a file of its own, which both sides map.
        let capabilities =
            ["events", "x-ignore-shared"].map(|name| json!({"capability": name, "state": true}));
        self.execute("migrate-set-capabilities", &json!({"capabilities": capabilities}))?;
        self.execute(command, &json!({"uri": format!("fd:{file}")}))?;
        loop {
            let event = self.event("MIGRATION")?;
            match event["data"]["status"].as_str().unwrap_or_default() {
                "completed" => return Ok(()),
                status @ ("failed" | "cancelled") => return Err(refused(command, status)),
                _ => {}
            }
        }
    }

    /// The next event of that name. All other events before it are discarded.
    fn event(&mut self, name: &str) -> Result<Value, QmpError> {
        loop {
            let message = match self.events.pop_front() {
                Some(event) => event,
                None => self.message()?,
            };
            if message["event"] == name {
                return Ok(message);
            }
        }
    }

    fn answer(&mut self, command: &str) -> Result<Value, QmpError> {
        loop {
            let mut message = self.message()?;
            if let Some(value) = message.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = message.get("error") {
                return Err(refused(command, error["desc"].as_str().unwrap_or_default()));
            }
            if message.get("event").is_none() {
                return Err(nonsense(&message));
            }
            self.events.push_back(message);
        }
    }

    fn message(&mut self) -> Result<Value, QmpError> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                let text = String::from_utf8_lossy(&line);
                return serde_json::from_str(text.trim()).map_err(|_| shortened(text.trim()));
            }
            let mut buffer = [0; 4096];
            let count = Timed::new(&mut self.socket, self.deadline)?.read(&mut buffer)?;
            if count == 0 {
                return Err(QmpError::Io(io::ErrorKind::UnexpectedEof.into()));
            }
            self.unread.extend_from_slice(&buffer[..count]);
            if self.unread.len() > LONGEST {
                return Err(shortened(&String::from_utf8_lossy(&self.unread)));
            }
        }
    }
}

fn line(command: &str, arguments: &Value) -> String {
    format!("{}\n", json!({"execute": command, "arguments": arguments}))
}

fn refused(command: &str, message: &str) -> QmpError {
    QmpError::Refused {
        command: command.into(),
        message: message.into(),
    }
}

fn nonsense(message: &Value) -> QmpError {
    shortened(&message.to_string())
}

fn shortened(text: &str) -> QmpError {
    QmpError::Nonsense(text.chars().take(200).collect())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::thread;
    use std::time::Duration;

    use rstest::rstest;

    use super::*;

    const GREETING: &str = r#"{"QMP": {"version": {}, "capabilities": []}}"#;
    const DONE: &str = r#"{"return": {}}"#;

    /// A monitor that greets, and answers each command with the next of these texts.
    fn monitor(answers: Vec<String>) -> (Result<Qmp, QmpError>, thread::JoinHandle<Vec<String>>) {
        let (here, there) = UnixStream::pair().unwrap();
        let speaker = thread::spawn(move || {
            let mut commands = Vec::new();
            let mut lines = BufReader::new(there.try_clone().unwrap()).lines();
            let mut there = there;
            writeln!(there, "{GREETING}").unwrap();
            for answer in std::iter::once(DONE.to_owned()).chain(answers) {
                let Some(Ok(command)) = lines.next() else { break };
                commands.push(command);
                writeln!(there, "{answer}").unwrap();
            }
            commands
        });
        (
            Qmp::connect(here, Instant::now() + Duration::from_secs(20)),
            speaker,
        )
    }

    fn status(id: &str, status: &str) -> String {
        json!({"event": "JOB_STATUS_CHANGE", "data": {"id": id, "status": status}}).to_string()
    }

    #[test]
    fn an_answer_is_found_among_events_and_the_events_are_kept() {
        let told = format!("{}\n{DONE}\n{}", status("job", "running"), status("job", "ready"));
        let end = format!("{DONE}\n{}", status("job", "null"));
        let (qmp, speaker) = monitor(vec![told, end]);
        qmp.unwrap()
            .job("blockdev-mirror", json!({"device": "root"}))
            .unwrap();
        let commands = speaker.join().unwrap();
        assert!(commands[1].contains(r#""job-id":"job""#), "{commands:?}");
        assert!(commands[2].contains("block-job-cancel"), "{commands:?}");
    }

    #[test]
    fn a_job_that_fails_is_an_error_with_qemus_words() {
        let told = format!("{DONE}\n{}", status("job", "concluded"));
        let jobs = r#"{"return": [{"id": "other"}, {"id": "job", "error": "No space left on device"}]}"#;
        let (qmp, _speaker) = monitor(vec![told, jobs.into()]);
        let error = qmp.unwrap().job("blockdev-create", json!({})).unwrap_err();
        assert!(
            error.to_string().contains("blockdev-create: No space left"),
            "{error}"
        );
    }

    #[test]
    fn a_migration_that_fails_is_an_error() {
        let event = r#"{"event": "MIGRATION", "data": {"status": "failed"}}"#;
        let (qmp, _speaker) = monitor(vec![DONE.into(), format!("{DONE}\n{event}")]);
        let error = qmp.unwrap().migrate("migrate", "f").unwrap_err();
        assert!(matches!(error, QmpError::Refused { .. }), "{error}");
    }

    #[rstest]
    #[case::refused(r#"{"error": {"class": "GenericError", "desc": "no"}}"#, "asked for stop: no")]
    #[case::no_json("hello", "cannot be understood: hello")]
    #[case::of_another_protocol(r#"{"is": "done"}"#, "cannot be understood")]
    fn other_answers_are_errors(#[case] answer: &str, #[case] said: &str) {
        let (qmp, _speaker) = monitor(vec![answer.into()]);
        let error = qmp.unwrap().execute("stop", &json!({})).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }

    #[test]
    fn a_monitor_that_goes_away_or_says_nothing_is_an_error() {
        let (qmp, speaker) = monitor(Vec::new());
        let mut qmp = qmp.unwrap();
        speaker.join().unwrap();
        assert!(matches!(qmp.execute("stop", &json!({})), Err(QmpError::Io(_))));
        let (here, _there) = UnixStream::pair().unwrap();
        let error = Qmp::connect(here, Instant::now() + Duration::from_millis(50)).unwrap_err();
        assert!(
            matches!(&error, QmpError::Io(error) if error.kind() == io::ErrorKind::TimedOut),
            "{error}"
        );
    }

    #[test]
    fn a_line_without_an_end_is_not_read_for_ever() {
        let (qmp, _speaker) = monitor(vec!["x".repeat(2 * LONGEST)]);
        let error = qmp.unwrap().execute("stop", &json!({})).unwrap_err();
        assert!(matches!(error, QmpError::Nonsense(_)));
    }

    #[test]
    fn a_descriptor_arrives() {
        let (here, there) = UnixStream::pair().unwrap();
        let got = thread::spawn(move || {
            let mut reader = BufReader::new(there.try_clone().unwrap());
            writeln!(&there, "{GREETING}").unwrap();
            let mut command = String::new();
            reader.read_line(&mut command).unwrap();
            writeln!(&there, "{DONE}").unwrap();
            let mut buffer = [0; 200];
            let mut slices = [io::IoSliceMut::new(&mut buffer)];
            let mut space = nix::cmsg_space!(std::os::fd::RawFd);
            let message = nix::sys::socket::recvmsg::<()>(
                there.as_raw_fd(),
                &mut slices,
                Some(&mut space),
                MsgFlags::empty(),
            )
            .unwrap();
            let count = message.cmsgs().unwrap().count();
            writeln!(&there, "{DONE}").unwrap();
            count
        });
        let mut qmp = Qmp::connect(here, Instant::now() + Duration::from_secs(20)).unwrap();
        qmp.pass("file", &tempfile::tempfile().unwrap()).unwrap();
        assert_eq!(got.join().unwrap(), 1);
    }
}
