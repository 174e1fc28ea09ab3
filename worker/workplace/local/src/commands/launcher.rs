//! Starts runners: the gateway for `child` descriptors.

use std::{io, os::fd::AsRawFd, path::PathBuf, process::Child, sync::Arc, time::Duration};

use bytes::Bytes;
use evonic_runner::{Spec, spec::Limits};
use evonic_shared::{config::Config, kind::Kind};
use parking_lot::Mutex;
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep},
};
use tokio_util::task::TaskTracker;

use super::{connection::Connection, environment::Environment, groups::Groups, limits};
use crate::sandbox::{Probed, Reach};
use evonic_handles::{Budget, Exhausted, Permit, blocking::BlockingPool};

/// Threads that start runners and read records.
const THREADS: usize = 4;

/// How long a command waits for its permit.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often it is looked whether a killed control group is empty, and for how long.
const DYING: Duration = Duration::from_millis(5);
const DEAD: Duration = Duration::from_secs(5);

/// Descriptors while a runner is started: the spec, both ends of the connection, `/dev/null`.
const STARTING: u32 = 4;

/// Starts the commands of this machine. One for all local workplaces.
#[derive(Debug)]
pub(in super::super) struct Launcher {
    budget: Budget,
    pub(super) pool: BlockingPool,
    /// Work that is finished before [`Launcher::idle`] returns.
    pub(super) tasks: TaskTracker,
    pub(super) environment: Environment,
    pub(super) limits: Limits,
    pub(in super::super) reach: Arc<Reach>,
    pub(super) groups: Option<Groups>,
    /// The folder of all records.
    records: PathBuf,
    probed: OnceCell<Probed>,
    /// Runners whose followers are gone, and which are reaped when they have ended.
    left: Mutex<Vec<Child>>,
}

/// A runner that was started here, and its connection, in the order in which they are closed.
pub(super) struct Started {
    pub(super) connection: Connection,
    pub(super) runner: Runner,
    pub(super) permit: Permit,
}

/// The process of a runner. It is no business of ours how long it lives, but it is ours to reap.
pub(super) struct Runner {
    child: Option<Child>,
    launcher: Arc<Launcher>,
}

impl Launcher {
    /// Starts four threads.
    ///
    /// # Errors
    /// The OS error, when no more threads can be started.
    pub(super) fn new(
        config: &Config,
        budget: Budget,
        reach: Reach,
        environment: Environment,
        records: PathBuf,
    ) -> io::Result<Self> {
        Ok(Self {
            budget,
            pool: BlockingPool::start("evonic-command", THREADS)?,
            tasks: TaskTracker::new(),
            environment,
            limits: limits::of(&config.workplace),
            reach: Arc::new(reach),
            groups: Groups::of_service(),
            records,
            probed: OnceCell::new(),
            left: Mutex::default(),
        })
    }

    /// The right to run a command, or to look at one.
    ///
    /// # Errors
    /// [`Exhausted`] when none comes free in time.
    pub(super) async fn permit(&self) -> Result<Permit, Exhausted> {
        self.budget.acquire(Kind::Child, PERMIT_TIMEOUT).await
    }

    /// What this machine can do; tried once.
    pub(in super::super) async fn probed(&self) -> &Probed {
        let probe = || async {
            let (reach, records) = (Arc::clone(&self.reach), self.records.clone());
            self.pool.run(move |_| reach.probe(&records)).await
        };
        self.probed.get_or_init(probe).await
    }

    /// Starts a command's runner.
    ///
    /// # Errors
    /// The operating system's; nothing was started then.
    pub(super) async fn start(
        self: &Arc<Self>,
        spec: Spec,
        stdin: Bytes,
        mut permit: Permit,
    ) -> io::Result<Started> {
        self.sweep();
        permit.owns(STARTING, None);
        let launcher = Arc::clone(self);
        // The job owns the permit and the process: it drops them itself when nobody waits any more.
        let (runner, socket, mut permit) = self
            .pool
            .run(move |_| {
                let (child, socket) = launcher.reach.start(&spec, &stdin)?;
                Ok::<_, io::Error>((Runner { child: Some(child), launcher }, socket, permit))
            })
            .await?;
        permit.owns(1, u32::try_from(socket.as_raw_fd()).ok());
        Ok(Started { connection: Connection::new(socket)?, runner, permit })
    }

    /// Reaps runners that have ended meanwhile.
    pub(super) fn sweep(&self) {
        self.left.lock().retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }

    /// Ends what is left of a command that is over: whatever escaped its runner. Returns at once;
    /// [`Launcher::idle`] waits for it.
    pub(super) fn end_group(self: &Arc<Self>, command_id: &str) {
        let Some(groups) = self.groups.clone() else { return };
        let (launcher, command_id) = (Arc::clone(self), command_id.to_owned());
        self.tasks.spawn(async move {
            let until = Instant::now() + DEAD;
            while Instant::now() < until {
                let (groups, command_id) = (groups.clone(), command_id.clone());
                if launcher.pool.run(move |_| groups.is_ended(&command_id)).await {
                    return;
                }
                sleep(DYING).await;
            }
            // A process that hangs in the kernel: the next worker tries again.
            tracing::info!(command_id, "what a command left does not die");
        });
    }

    /// Waits until everything here is over but the commands themselves.
    pub(in super::super) async fn idle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
        self.sweep();
    }
}

impl Runner {
    /// Whether it has ended: then it begins nothing any more.
    pub(super) fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// Reaps it in the background, gives its permit back and ends what is left of its command: it has
    /// said how that ended, and only waits for the disk.
    pub(super) fn reap_later(self, permit: Permit, command_id: String) {
        let launcher = Arc::clone(&self.launcher);
        self.launcher.tasks.clone().spawn(async move {
            self.reap().await;
            drop(permit);
            launcher.end_group(&command_id);
        });
    }

    /// Reaps it, once it has said how its command ended.
    pub(super) async fn reap(mut self) {
        let Some(mut child) = self.child.take() else { return };
        let launcher = Arc::clone(&self.launcher);
        let reaped = launcher.pool.run(move |_| child.wait()).await;
        if let Err(error) = reaped {
            tracing::warn!(%error, "a runner cannot be reaped");
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.launcher.left.lock().extend(self.child.take());
    }
}
