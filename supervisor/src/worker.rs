//! What the supervisor holds of one worker: five descriptors (pidfd, control channel, probe
//! connection, fd page, `/proc/PID/fd`), all closed when [`WorkerHandles`] is dropped after the
//! process is reaped.

mod launch;

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    time::SystemTime,
};

use evonic_process::channel::Channel;
use evonic_shared::{
    control::{Hello, PROTOCOL, SupervisorMetrics, ToWorker},
    error_chain::ErrorChain,
    fd_page::SLOTS,
    store_report::{StorageReport, StoreReport},
    timestamp::rfc3339,
};
use rustix::fs::{Mode, OFlags};

pub use self::launch::Launch;
use crate::{
    census::{Inventory, Subject},
    child::Child,
    fd_page::FdPage,
    fd_watch::FdWatch,
    policy::is_credible,
    probe::Probe,
    sockets::Sockets,
    sys::{ForkExecError, KernelError, Plan},
};

/// A worker cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("a path or variable contains a NUL byte")]
    Nul(#[from] std::ffi::NulError),
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error("cannot start {}", program.display())]
    Child {
        program: PathBuf,
        #[source]
        source: ForkExecError,
    },
}

/// Why a hello is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    #[error("it speaks protocol {theirs}, this supervisor {PROTOCOL}")]
    Protocol { theirs: u32 },
    /// It took the generation of another worker. The policy judges one that is not credible.
    #[error("it took generation {taken}, which another worker has")]
    Generation { taken: u64 },
    #[error("it names {count} kinds, the fd page has {SLOTS} slots")]
    Kinds { count: usize },
    #[error("it said hello before")]
    Twice,
}

/// A worker that is not reaped yet.
#[derive(Debug)]
pub struct WorkerHandles {
    /// Never reused; in the tokens of its descriptors.
    pub serial: u64,
    pub proposed: u64,
    /// The proposed one until its hello.
    pub generation: u64,
    pub child: Child,
    pub control: Channel,
    pub probe: Probe,
    pub fd_page: FdPage,
    /// [`None`] when `/proc` refused.
    pub fd_watch: Option<FdWatch>,
    pub hello: Option<Hello>,
    pub phase: HandshakePhase,
    pub at_ready: Option<AtReady>,
    /// Packets that were no messages, or came out of turn.
    pub refused_packets: u32,
    /// The last metrics that were sent to it.
    pub sent_metrics: Option<SupervisorMetrics>,
    /// What keeps its commands inside, by its last heartbeat.
    pub sandbox: Option<String>,
    /// What its last heartbeat said is wrong with its database.
    pub database: Option<StoreReport>,
    /// How large its database is, as its last heartbeat says.
    pub storage: Option<StorageReport>,
}

/// A worker's descriptors when it became ready.
#[derive(Clone, Debug)]
pub struct AtReady {
    pub at: SystemTime,
    pub inventory: Inventory,
    /// Owned descriptors by kind.
    pub owned: BTreeMap<String, u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakePhase {
    /// It has not said hello.
    New,
    /// It has said hello.
    Known,
    /// It has said ready.
    Ready,
    /// It was asked to drain, or drains by itself.
    Draining,
}

impl WorkerHandles {
    /// Starts a worker.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left open or running then.
    pub fn start(
        launch: &Launch,
        sockets: &Sockets,
        serial: u64,
        generation: u64,
        predecessor: Option<u64>,
    ) -> Result<Self, StartError> {
        let (control, their_control) =
            Channel::pair().map_err(KernelError::new("make the control channel for a worker"))?;
        let (probe, their_probe) =
            Probe::open().map_err(KernelError::new("make the probe connection for a worker"))?;
        let fd_page =
            FdPage::create().map_err(KernelError::new("make the fd page for a worker"))?;
        let configuration = launch
            .configuration()
            .map_err(KernelError::new("make the configuration for a worker"))?;
        let input =
            open_null().map_err(KernelError::new("make the standard input for a worker"))?;
        // In the order of `hand_over::NAMES`.
        let descriptors = [
            sockets.http.as_fd(),
            sockets.api.as_fd(),
            their_control.as_fd(),
            their_probe.as_fd(),
            fd_page.file.as_fd(),
            configuration.as_fd(),
        ];
        let child = Child::start(&Plan {
            program: &launch.program()?,
            arguments: &launch.arguments()?,
            environment: &launch.environment(generation, predecessor)?,
            input: input.as_fd(),
            descriptors: &descriptors,
            nofile: launch.nofile,
            on_parent_death: launch.on_parent_death,
        })
        .map_err(|source| StartError::Child { program: launch.program.clone(), source })?;
        let fd_watch = FdWatch::open(child.pid, launch.method)
            .inspect_err(|error| {
                tracing::error!(error = %ErrorChain(error), "worker's descriptors cannot be counted");
            })
            .ok();
        Ok(Self {
            serial,
            proposed: generation,
            generation,
            child,
            control,
            probe,
            fd_page,
            fd_watch,
            hello: None,
            phase: HandshakePhase::New,
            at_ready: None,
            refused_packets: 0,
            sent_metrics: None,
            sandbox: None,
            database: None,
            storage: None,
        })
    }

    /// Checks and stores a hello. `taken` are the generations of other workers. Returns the budget,
    /// descriptors in all.
    ///
    /// # Errors
    /// [`HelloError`]: the worker stays as it was.
    pub fn hello(&mut self, hello: Hello, taken: &[u64]) -> Result<u32, HelloError> {
        if self.phase != HandshakePhase::New {
            return Err(HelloError::Twice);
        }
        if hello.protocol != PROTOCOL {
            return Err(HelloError::Protocol { theirs: hello.protocol });
        }
        if taken.contains(&hello.generation) {
            return Err(HelloError::Generation { taken: hello.generation });
        }
        if hello.kinds.len() > SLOTS {
            return Err(HelloError::Kinds { count: hello.kinds.len() });
        }
        let budget = hello.budget.values().fold(0_u32, |sum, &most| sum.saturating_add(most));
        self.phase = HandshakePhase::Known;
        if is_credible(self.proposed, hello.generation) {
            self.generation = hello.generation;
        }
        self.hello = Some(hello);
        Ok(budget)
    }

    /// Open and owned descriptors of one instant. [`None`] when the process is dead or `/proc`
    /// refused.
    pub fn count(&self) -> Option<(u32, u32)> {
        let owned = self.fd_page.read().unwrap_or([0; SLOTS]);
        let open = self.fd_watch.as_ref()?.count()?;
        Some((open, owned.iter().fold(0, |sum, &slot| sum.saturating_add(slot))))
    }

    /// Owned descriptors by kind.
    pub fn owned(&self) -> BTreeMap<String, u32> {
        let (Some(hello), Ok(slots)) = (&self.hello, self.fd_page.read()) else {
            return BTreeMap::new();
        };
        hello.kinds.iter().cloned().zip(slots).collect()
    }

    /// Growth of the owned descriptors since it became ready, by kind.
    pub fn owned_growth(&self) -> BTreeMap<String, i64> {
        let before = |kind: &String| {
            let owned = self.at_ready.as_ref().and_then(|at_ready| at_ready.owned.get(kind));
            i64::from(owned.copied().unwrap_or(0))
        };
        let growth = |(kind, now): (String, u32)| {
            let before = before(&kind);
            (kind, i64::from(now) - before)
        };
        self.owned().into_iter().map(growth).collect()
    }

    /// What a census of it is about.
    pub fn subject(&self, at: SystemTime) -> Subject {
        Subject { at: rfc3339(at), generation: self.generation, pid: self.child.number() }
    }

    /// Sends on the control channel, without waiting for a worker that does not read: SIGTERM has
    /// the most important message, too.
    pub fn send(&self, message: &ToWorker) {
        if let Err(error) = self.control.send(message) {
            tracing::debug!(generation = self.generation, %error, "worker does not read its control channel");
        }
    }
}

fn open_null() -> io::Result<OwnedFd> {
    Ok(rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}
