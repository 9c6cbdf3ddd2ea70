//! From an act to the code that performs it.

use std::fmt;
use std::io;

use nix::errno::Errno;

use super::{ask, file, label, memory, packet, pci, ptrace, run, socket};
use crate::protocol::{Act, Effect, Outcome};

/// A system call that failed.
#[derive(Debug)]
pub struct Failure {
    call: &'static str,
    errno: i32,
}

impl Failure {
    /// The system's answer.
    pub fn error(&self) -> io::Error {
        io::Error::from_raw_os_error(self.errno)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, self.error())
    }
}

/// The result of an act in which only system calls can fail.
pub type Done = Result<Effect, Failure>;

/// Adds the name of the system call to an error.
pub trait Called<T> {
    /// The value, or the failure of `call`.
    fn called(self, call: &'static str) -> Result<T, Failure>;
}

impl<T> Called<T> for io::Result<T> {
    fn called(self, call: &'static str) -> Result<T, Failure> {
        self.map_err(|error| Failure {
            call,
            errno: error.raw_os_error().unwrap_or(libc::EINVAL),
        })
    }
}

impl<T> Called<T> for nix::Result<T> {
    fn called(self, call: &'static str) -> Result<T, Failure> {
        self.map_err(|errno| Failure {
            call,
            errno: errno as i32,
        })
    }
}

/// An unknown word in the plan. The same program wrote the plan, so this is a bug there.
pub fn unknown(call: &'static str) -> Failure {
    Failure {
        call,
        errno: Errno::EINVAL as i32,
    }
}

/// Perform one act.
pub fn perform(act: &Act) -> Outcome {
    let done = match act {
        Act::Run(spec) => {
            return match run::run(spec) {
                Ok(ran) => Outcome::Ran(ran),
                Err(failure) => failed(failure),
            };
        }
        Act::Ask(spec) => {
            return match ask::ask(spec) {
                Ok(ran) => Outcome::Ran(ran),
                Err(no_answer) => Outcome::NoAnswer {
                    reason: no_answer.to_string(),
                },
            };
        }
        Act::Socket(spec) => socket::socket(spec),
        Act::PacketExchange(spec) => packet::exchange(spec),
        Act::File(spec) => file::file(spec),
        Act::Ioctl(spec) => file::ioctl(spec),
        Act::LockMemory(spec) => memory::lock(spec),
        Act::Acct { file } => memory::acct(file.as_deref()),
        Act::SetLimit(spec) => memory::set_limit(spec),
        Act::Signal { signal, to } => memory::signal(to, signal),
        Act::ChangeProfile { to } => label::change_profile(to),
        Act::Ptrace(spec) => ptrace::look(spec),
        Act::PciReset(spec) => pci::reset(spec),
        Act::Start => Ok(Effect::default()),
    };
    match done {
        Ok(effect) => Outcome::Ok(effect),
        Err(failure) => failed(failure),
    }
}

fn failed(failure: Failure) -> Outcome {
    Outcome::Errno {
        call: failure.call.into(),
        errno: failure.errno,
    }
}
