//! The canary: a process whose profile grants nothing, and whose denials mark places in the stream of records.

use std::io;
use std::time::{Duration, Instant};

use crate::audit_socket::AuditSocket;
use crate::process_watch::ProcessWatch;
use crate::protocol::{CANARY, CANARY_PROFILE, SubjectPlan};
use crate::subject::Subject;
use crate::subject_env::SubjectEnv;
use crate::worker::{Order, Reply};

const TIMEOUT: Duration = Duration::from_secs(5);

/// The canary's process.
pub struct Canary(Subject);

impl Canary {
    /// Start the canary; its profile must be loaded.
    pub fn start(place: &SubjectEnv, watch: &ProcessWatch) -> io::Result<Canary> {
        let plan = SubjectPlan {
            label: Some(CANARY_PROFILE.into()),
            user: None,
            memlock: None,
            program: None,
        };
        let subject = Subject::start(CANARY, &plan, place, watch)?;
        watch.claim_for_good(subject.pid(), CANARY);
        Ok(Canary(subject))
    }

    /// Try to make a folder with an unguessable name, and wait for the record of the denial. Returns its serial; `None`
    /// if it does not come. All records that were queued before it have then arrived.
    pub fn barrier(&mut self, token: &str, audit: &AuditSocket) -> io::Result<Option<u64>> {
        self.ready(&Order::Barrier(format!("/run/{token}")))?;
        Ok(audit.wait_for(token, Instant::now() + TIMEOUT))
    }

    /// Like [`Canary::barrier`], but does not wait.
    pub fn deny_without_waiting(&mut self, token: &str) -> io::Result<()> {
        self.ready(&Order::Barrier(format!("/run/{token}")))
    }

    /// Have a capability denied on every processor, so that the kernel forgets the last profile that was denied one.
    pub fn ask_capability(&mut self) -> io::Result<()> {
        self.ready(&Order::AskCapability)
    }

    fn ready(&mut self, order: &Order) -> io::Result<()> {
        match self.0.order(order, TIMEOUT)? {
            Some(Reply::Ready) => Ok(()),
            Some(Reply::Failed(reason)) => Err(io::Error::other(reason)),
            other => Err(io::Error::other(format!("the canary answered {other:?}"))),
        }
    }
}
