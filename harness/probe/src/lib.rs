//! The work inside the machine under test: the agent, its subjects, and the protocol between harness and agent.
//!
//! The harness's program is also the agent: see [`entry`].

#[cfg(feature = "agent")]
mod acts;
#[cfg(feature = "agent")]
mod agent;
#[cfg(feature = "agent")]
mod audit_socket;
#[cfg(feature = "agent")]
mod canary;
#[cfg(feature = "agent")]
mod case_run;
#[cfg(feature = "agent")]
mod cgroup;
#[cfg(feature = "agent")]
pub mod entry;
#[cfg(feature = "agent")]
mod fixture;
#[cfg(feature = "agent")]
pub mod init;
#[cfg(feature = "agent")]
mod kept;
#[cfg(feature = "agent")]
mod last_words;
#[cfg(feature = "agent")]
pub mod local;
#[cfg(feature = "agent")]
pub mod lock;
#[cfg(feature = "agent")]
pub mod pidfd;
#[cfg(feature = "agent")]
mod policy;
#[cfg(feature = "agent")]
mod process;
#[cfg(feature = "agent")]
mod process_watch;
pub mod protocol;
#[cfg(feature = "agent")]
mod ready;
#[cfg(feature = "agent")]
mod resume;
#[cfg(feature = "agent")]
mod standin;
#[cfg(feature = "agent")]
mod subject;
#[cfg(feature = "agent")]
mod subject_env;
#[cfg(feature = "agent")]
mod switches;
#[cfg(feature = "agent")]
pub mod timed;
#[cfg(feature = "agent")]
mod users;
#[cfg(feature = "agent")]
pub mod wait;
#[cfg(feature = "agent")]
mod worker;
