//! The canary: a process in a profile that grants nothing, whose denials mark places in the stream of records.

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
    /// Start it; the canary's profile must be loaded.
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

    /// Have a folder with an unguessable name denied, and wait for the record: its serial, or `None` if it does
    /// not come. All records that were queued before it are then there too.
    pub fn barrier(&mut self, token: &str, audit: &AuditSocket) -> io::Result<Option<u64>> {
        self.ready(&Order::Barrier(format!("/run/{token}")))?;
        Ok(audit.wait_for(token, Instant::now() + TIMEOUT))
    }

    /// Like [`Canary::barrier`], without waiting: for a burst.
    pub fn deny_without_waiting(&mut self, token: &str) -> io::Result<()> {
        self.ready(&Order::Barrier(format!("/run/{token}")))
    }

    /// Have a capability denied on every processor, so that the kernel forgets whom it denied one last.
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
