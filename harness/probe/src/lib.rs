//! The work inside the machine under test: the agent, its subjects, and the protocol that the harness talks to it.
//!
//! The harness's program is also the agent: see [`entry`].

mod acts;
mod agent;
mod audit_socket;
mod canary;
mod case_run;
mod cgroup;
pub mod entry;
mod fixture;
pub mod init;
mod last_words;
pub mod local;
pub mod lock;
pub mod pidfd;
mod place;
mod policy;
mod process;
mod process_watch;
pub mod protocol;
mod ready;
mod standin;
mod subject;
mod switches;
pub mod timed;
mod users;
mod worker;
