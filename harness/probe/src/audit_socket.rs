//! The kernel's audit socket. On a machine that we own, the agent reads it as the audit daemon. Elsewhere it listens to
//! the multicast group, which changes nothing for an existing daemon.
//!
//! One thread only reads, so that no message is lost to slow processing. A second thread sorts what was read. The print
//! buffer is never read, since it drops records.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::wait::until_ready;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, send, setsockopt,
    socket, sockopt::RcvBufForce,
};
use nix::unistd::pipe2;

use crate::process_watch::{AGENT, ProcessWatch};
use crate::protocol::RawRecord;

const AUDIT_GET: u16 = 1000;
const AUDIT_SET: u16 = 1001;
const AUDIT_ADD_RULE: u16 = 1011;
const AUDIT_LIST_RULES: u16 = 1013;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const HEADER: usize = 16;
/// Bits of `struct audit_status.mask`.
const STATUS_ENABLED: u32 = 1;
const STATUS_PID: u32 = 4;
const STATUS_RATE_LIMIT: u32 = 8;
const STATUS_BACKLOG_LIMIT: u32 = 16;
/// Words of `struct audit_rule_data` without text: flags, action, count, masks, fields, values, comparisons, length.
const RULE_WORDS: usize = 3 + 64 + 64 + 64 + 64 + 1;
/// `struct audit_rule_data.flags` of the list that is checked for each new process.
const FILTER_TASK: u32 = 1;
/// `struct audit_rule_data.flags` of the exclude list.
const FILTER_EXCLUDE: u32 = 5;
/// The largest message: `MAX_AUDIT_MESSAGE_LENGTH` and its header, with room to spare.
const LARGEST: usize = 16 << 10;
/// The multicast group of readers, as a bit (`AUDIT_NLGRP_READLOG`).
const READERS: u32 = 1;
/// Size of the socket's queue. A burst of a hundred thousand denials fits.
const RECEIVE_BUFFER: usize = 128 << 20;
const CONTROL_TIMEOUT: Duration = Duration::from_secs(5);

/// The kernel's audit status, as far as verdicts need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Whether auditing is enabled. If not, the kernel does not report changes to the audit system.
    pub enabled: bool,
    /// Process id of the audit daemon.
    pub pid: u32,
    /// 0 means no limit.
    pub rate_limit: u32,
    /// 0 means no limit.
    pub backlog_limit: u32,
    /// Messages that the kernel reports as lost.
    pub lost: u32,
}

#[derive(Default)]
struct Seen {
    records: Vec<RawRecord>,
    reading: bool,
}

/// State shared by the threads and their owner.
struct Shared {
    seen: Mutex<Seen>,
    news: Condvar,
    overruns: AtomicU64,
    paused: AtomicBool,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The socket, its threads, and what they have read.
pub struct AuditSocket {
    shared: Arc<Shared>,
    stop: Option<OwnedFd>,
    reader: Option<thread::JoinHandle<()>>,
}

impl AuditSocket {
    /// Become the kernel's audit daemon, with no limits, and start to read.
    pub fn open() -> io::Result<AuditSocket> {
        let socket = netlink(0)?;
        let pid = std::process::id();
        // No system calls are logged, neither of existing processes nor of new ones.
        without_system_calls(&socket)?;
        // The kernel reports who changes the settings only if auditing is enabled.
        set_status(
            &socket,
            &Settings {
                mask: STATUS_PID | STATUS_ENABLED | STATUS_RATE_LIMIT | STATUS_BACKLOG_LIMIT,
                enabled: 1,
                pid,
                backlog_limit: 0,
            },
        )?;
        AuditSocket::read(socket)
    }

    /// Listen to the messages for the kernel's audit daemon, whether or not one runs. No setting is changed. The kernel
    /// counts what it loses to its limits, and the socket reports overflows of its queue.
    pub fn listen() -> io::Result<AuditSocket> {
        AuditSocket::read(netlink(READERS)?)
    }

    fn read(socket: OwnedFd) -> io::Result<AuditSocket> {
        setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER)?;
        let (stopped, stop) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        let shared = Arc::new(Shared {
            seen: Mutex::new(Seen {
                records: Vec::new(),
                reading: true,
            }),
            news: Condvar::new(),
            overruns: AtomicU64::new(0),
            paused: AtomicBool::new(false),
        });
        let (raw, sorted) = mpsc::channel::<(u16, Vec<u8>)>();
        let of_reader = Arc::clone(&shared);
        let reader = thread::Builder::new()
            .name("audit-reader".into())
            .spawn(move || {
                read_all(&socket, &stopped, &of_reader, &raw);
                of_reader.seen().reading = false;
            })?;
        let of_sorter = Arc::clone(&shared);
        thread::Builder::new()
            .name("audit-sorter".into())
            .spawn(move || sort_all(&sorted, &of_sorter))?;
        Ok(AuditSocket {
            shared,
            stop: Some(stop),
            reader: Some(reader),
        })
    }

    /// Wait for a record that contains `token` and return its serial; `None` at the deadline.
    pub fn wait_for(&self, token: &str, deadline: Instant) -> Option<u64> {
        let mut seen = self.shared.seen();
        let mut looked = 0;
        loop {
            // Only a denial counts: if all accesses are audited, other records may name the same path.
            let found = seen.records[looked..]
                .iter()
                .find(|record| record.text.contains(token) && record.text.contains("apparmor=\"DENIED\""));
            if let Some(record) = found {
                return Some(record.serial);
            }
            looked = seen.records.len();
            let left = deadline.checked_duration_since(Instant::now())?;
            (seen, _) = self
                .shared
                .news
                .wait_timeout(seen, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Wait until every serial from `first` to `last` has arrived; false at the deadline. A record that belongs to a
    /// system call is sent when that call ends, so a later record may arrive before it.
    pub fn wait_for_all(&self, first: u64, last: u64, deadline: Instant) -> bool {
        let mut seen = self.shared.seen();
        loop {
            let arrived: BTreeSet<u64> = seen
                .records
                .iter()
                .map(|record| record.serial)
                .filter(|serial| (first..=last).contains(serial))
                .collect();
            if arrived.len() as u64 > last.saturating_sub(first) {
                return true;
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return false;
            };
            (seen, _) = self
                .shared
                .news
                .wait_timeout(seen, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Take the records read so far, ordered by serial. Each one is assigned to the subject whose process it names.
    pub fn take(&self, watch: &ProcessWatch) -> Vec<RawRecord> {
        let mut records = std::mem::take(&mut self.shared.seen().records);
        records.sort_by_key(|record| record.serial);
        for record in &mut records {
            record.subject = pid_of(&record.text).and_then(|pid| owner(pid, watch));
        }
        records
    }

    /// How often the socket's queue overflowed.
    pub fn overruns(&self) -> u64 {
        self.shared.overruns.load(Ordering::Relaxed)
    }

    /// Whether the reader thread still runs.
    pub fn reading(&self) -> bool {
        self.shared.seen().reading
    }

    /// Pause or resume reading, so that a test can make messages get lost.
    pub fn pause(&self, paused: bool) {
        self.shared.paused.store(paused, Ordering::Relaxed);
        if let Some(reader) = &self.reader {
            reader.thread().unpark();
        }
    }

    /// Close the socket early.
    pub fn close(&mut self) {
        self.stop = None;
        if let Some(reader) = self.reader.take() {
            // The reader sees the closed pipe at its next poll. If it panicked, the panic has already been printed.
            let _ = reader.join();
        }
    }
}

impl Drop for AuditSocket {
    fn drop(&mut self) {
        self.close();
    }
}

fn netlink(groups: u32) -> io::Result<OwnedFd> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkAudit,
    )?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(socket)
}

fn request(socket: &OwnedFd, kind: u16, body: &[u8]) -> io::Result<()> {
    let mut message = Vec::with_capacity(HEADER + body.len());
    let length = u32::try_from(HEADER + body.len()).map_err(io::Error::other)?;
    message.extend_from_slice(&length.to_ne_bytes());
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(&(NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    message.extend_from_slice(&1u32.to_ne_bytes());
    message.extend_from_slice(&0u32.to_ne_bytes());
    message.extend_from_slice(body);
    send(socket.as_raw_fd(), &message, MsgFlags::empty())?;
    Ok(())
}

/// The next message on `socket` from the kernel: its type and body.
fn next(socket: &OwnedFd) -> io::Result<Option<(u16, Vec<u8>)>> {
    let mut buffer = vec![0u8; LARGEST];
    let (length, from) = recvfrom::<NetlinkAddr>(socket.as_raw_fd(), &mut buffer)?;
    if length < HEADER || from.is_none_or(|from| from.pid() != 0) {
        return Ok(None);
    }
    // Do not trust the header's length: for some messages the kernel leaves out the header's size.
    let kind = u16::from_ne_bytes([buffer[4], buffer[5]]);
    let body = buffer[HEADER..length].to_vec();
    Ok(Some((kind, body)))
}

fn word(body: &[u8], index: usize) -> u32 {
    body.get(index * 4..index * 4 + 4)
        .and_then(|word| word.try_into().ok())
        .map_or(0, u32::from_ne_bytes)
}

/// Messages until the end of the answer, with a deadline.
fn answers(socket: &OwnedFd, until: impl Fn(u16) -> bool) -> io::Result<Vec<(u16, Vec<u8>)>> {
    let deadline = Instant::now() + CONTROL_TIMEOUT;
    let mut all = Vec::new();
    loop {
        let mut waiting = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        if !until_ready(&mut waiting, Some(deadline))? {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the audit system did not answer",
            ));
        }
        let Some((kind, body)) = next(socket)? else {
            continue;
        };
        if kind == NLMSG_ERROR {
            match word(&body, 0).cast_signed() {
                0 => {}
                error => return Err(io::Error::from_raw_os_error(-error)),
            }
        }
        all.push((kind, body));
        if until(kind) {
            return Ok(all);
        }
    }
}

/// The fields of `struct audit_status` to set, as selected by `mask`.
struct Settings {
    mask: u32,
    enabled: u32,
    pid: u32,
    backlog_limit: u32,
}

fn set_status(socket: &OwnedFd, to: &Settings) -> io::Result<()> {
    // mask, enabled, failure, pid, rate_limit, backlog_limit, lost, backlog, …
    let fields = [to.mask, to.enabled, 0, to.pid, 0, to.backlog_limit, 0, 0, 0, 0];
    let body: Vec<u8> = fields.iter().flat_map(|field| field.to_ne_bytes()).collect();
    request(socket, AUDIT_SET, &body)?;
    answers(socket, |kind| kind == NLMSG_ERROR)?;
    Ok(())
}

/// Set the backlog limit, for a test that makes messages get lost.
pub fn set_backlog_limit(limit: u32) -> io::Result<()> {
    let settings = Settings {
        mask: STATUS_BACKLOG_LIMIT,
        enabled: 0,
        pid: 0,
        backlog_limit: limit,
    };
    set_status(&netlink(0)?, &settings)
}

/// Stop the kernel from logging system calls, which would add records to every denial.
fn without_system_calls(socket: &OwnedFd) -> io::Result<()> {
    let mut words = [0u32; RULE_WORDS];
    // The action is 0, never.
    words[0] = FILTER_TASK;
    let body: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    request(socket, AUDIT_ADD_RULE, &body)?;
    match answers(socket, |kind| kind == NLMSG_ERROR) {
        // The rule exists already.
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        other => other.map(drop),
    }
}

/// Ask the kernel for its audit status.
pub fn status() -> io::Result<Status> {
    let socket = netlink(0)?;
    request(&socket, AUDIT_GET, &[])?;
    let answers = answers(&socket, |kind| kind == AUDIT_GET)?;
    let body = answers
        .into_iter()
        .find(|(kind, _)| *kind == AUDIT_GET)
        .map(|(_, body)| body)
        .unwrap_or_default();
    Ok(Status {
        enabled: word(&body, 1) != 0,
        pid: word(&body, 3),
        rate_limit: word(&body, 4),
        backlog_limit: word(&body, 5),
        lost: word(&body, 6),
    })
}

/// How many exclude rules are set. Such a rule drops records without a trace.
pub fn exclude_rules() -> io::Result<u32> {
    let socket = netlink(0)?;
    request(&socket, AUDIT_LIST_RULES, &[])?;
    let rules = answers(&socket, |kind| kind == NLMSG_DONE)?;
    let excluding = rules
        .iter()
        .filter(|(kind, body)| *kind == AUDIT_LIST_RULES && word(body, 0) == FILTER_EXCLUDE);
    u32::try_from(excluding.count()).map_err(io::Error::other)
}

fn read_all(socket: &OwnedFd, stopped: &OwnedFd, shared: &Shared, raw: &mpsc::Sender<(u16, Vec<u8>)>) {
    loop {
        let mut waiting = [
            PollFd::new(socket.as_fd(), PollFlags::POLLIN),
            PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
        ];
        if until_ready(&mut waiting, None).is_err() {
            return;
        }
        if waiting[1].any().unwrap_or(true) {
            return;
        }
        while shared.paused.load(Ordering::Relaxed) {
            thread::park();
        }
        match next(socket) {
            Ok(Some(message)) => {
                if raw.send(message).is_err() {
                    return;
                }
            }
            Ok(None) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                shared.overruns.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

fn sort_all(raw: &mpsc::Receiver<(u16, Vec<u8>)>, shared: &Shared) {
    while let Ok((kind, body)) = raw.recv() {
        let text = String::from_utf8_lossy(&body)
            .trim_end_matches(['\0', '\n'])
            .to_string();
        let Some(serial) = serial_of(&text) else { continue };
        shared.seen().records.push(RawRecord {
            kind,
            serial,
            text,
            subject: None,
        });
        shared.news.notify_all();
    }
}

/// The serial number in `audit(SECONDS.MILLIS:SERIAL)`, with which every message of the kernel begins.
fn serial_of(text: &str) -> Option<u64> {
    let stamp = text.strip_prefix("audit(")?;
    let (stamp, _) = stamp.split_once(')')?;
    stamp.split_once(':')?.1.parse().ok()
}

/// The owner of a process. The watch does not know the agent itself, whose signals leave records before Linux 5.14.
fn owner(pid: i32, watch: &ProcessWatch) -> Option<String> {
    let is_own = u32::try_from(pid).is_ok_and(|pid| pid == std::process::id());
    watch.owner(pid).or_else(|| is_own.then(|| AGENT.into()))
}

fn pid_of(text: &str) -> Option<i32> {
    let at = text.find(" pid=")?;
    let digits = &text[at + 5..];
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"audit(1700000000.123:4711): apparmor="DENIED" operation="open" pid=12 comm="x""#;

    #[test]
    fn serials_and_processes_are_read() {
        assert_eq!(serial_of(RECORD), Some(4711));
        assert_eq!(pid_of(RECORD), Some(12));
    }

    #[test]
    fn what_the_agent_does_is_its_own_and_not_that_of_whoever_started_it() {
        let watch = ProcessWatch::start();
        let own = std::process::id().cast_signed();
        let parent = std::os::unix::process::parent_id().cast_signed();
        assert_eq!(owner(own, &watch).as_deref(), Some(AGENT));
        assert_eq!(owner(parent, &watch), None);
    }

    #[test]
    fn other_texts_have_neither() {
        assert_eq!(serial_of("xaudit(1.1:2)"), None);
        assert_eq!(serial_of("audit(1.1"), None);
        assert_eq!(pid_of("ppid=3"), None);
    }
}
