//! The subject's side: a process that enters its label, then performs the orders that come over a pipe.
//!
//! It is the same program, started anew with only the two pipes open. So the subject opens everything that a step uses
//! after it has entered its label.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::acts;
use crate::protocol::{Act, Outcome, receive, send};

/// First argument that starts the program as a subject.
pub const SUBJECT: &str = "agent-subject";

/// An order of the agent to a subject.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Enter this label by change_profile; `None` stays unconfined.
    Enter(Option<String>),
    /// One act of a step.
    Act(Act),
    /// For the canary: make a folder that its profile denies.
    Barrier(String),
    /// For the canary: have a capability denied on every processor.
    AskCapability,
}

/// A reply of a subject to the agent, one for each order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// The label is entered, or the canary's order is done.
    Ready,
    /// How an act ended.
    Outcome(Outcome),
    /// The order could not be carried out.
    Failed(String),
}

/// Serve orders from standard input until it ends.
pub fn main() -> ExitCode {
    match serve(&mut io::stdin().lock(), &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve(orders: &mut impl Read, replies: &mut impl Write) -> io::Result<()> {
    loop {
        let order = receive::<Order>(orders)?;
        // The agent has seen the zombies of the last order.
        acts::reap();
        let reply = match order {
            Order::Enter(None) => Reply::Ready,
            Order::Enter(Some(label)) => match acts::change_profile(&label) {
                Ok(_) => Reply::Ready,
                Err(failure) => Reply::Failed(format!("cannot enter {label}: {failure}")),
            },
            Order::Act(act) => Reply::Outcome(acts::perform(&act)),
            Order::Barrier(path) => {
                // The profile denies it. Only the record matters, not the result.
                let _ = std::fs::create_dir(path);
                Reply::Ready
            }
            Order::AskCapability => match acts::ask_capability_everywhere() {
                Ok(()) => Reply::Ready,
                Err(error) => Reply::Failed(error.to_string()),
            },
        };
        send(replies, &reply)?;
    }
}
