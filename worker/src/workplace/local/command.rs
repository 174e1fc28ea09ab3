//! Commands: started in their own process group, streamed, killed with everything they started.
//!
//! The gate for `child` descriptors. A command leads a process group and not a session, because
//! the standard library can make only the former without `unsafe`; what leaves the group is found
//! by the mark in its environment. Nothing a command started outlives its call: what it left in
//! the background is killed when it ends, and counted.
//!
//! ```text
//!           leader ended                pipe closed or silent
//! running ---------------> draining ----------------------------> clearing --> reaped
//!    |                         |                                     ^
//!    +-- time out, cancelled --+-- the group is killed --------------+
//! ```
//!
//! Every call runs as a task of its own, tracked, that holds the permit. Dropping the caller's
//! future cancels the task, which kills, reaps, and only then gives the permit back.

mod leader;
mod process;
mod stream;
mod sweep;

use std::{
    ffi::OsString, io, os::fd::AsRawFd, os::unix::process::ExitStatusExt, panic::resume_unwind,
    process::ExitStatus, sync::Arc, time::Duration,
};

use bytes::Bytes;
use evonic_shared::kind::Kind;
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    leader::{Leader, Start},
    stream::Stream,
};
use super::{files::Root, pool::Pool};
use crate::{
    handles::{Budget, Permit},
    workplace::{CommandSpec, Ended, Finished, WorkplaceError},
};

/// Threads that start programs and look through `/proc`.
const THREADS: usize = 4;

/// How long a command waits for its permit.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long killed processes are waited for before the call returns.
const DEATH: Duration = Duration::from_millis(900);

/// How long the reader of a cancelled command's last output is waited for.
const SOON: Duration = Duration::from_millis(50);

/// Descriptors while a command is started: see [`Leader::start`].
const STARTING: u32 = 4;

/// Descriptors of a running command: its output pipe and its pidfd.
const RUNNING: u32 = 2;

/// Where programs are looked for when the service itself has no `PATH`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The gate for commands.
#[derive(Debug)]
pub(super) struct Commands {
    budget: Budget,
    root: Arc<Root>,
    /// Of every command: all but the mark.
    environment: Vec<(OsString, OsString)>,
    pool: Arc<Pool>,
    calls: TaskTracker,
}

/// Why a command is no longer followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// Its leader ended by itself.
    Left,
    TimedOut,
    Cancelled,
}

/// A running command and what it holds, in the order in which it is closed.
struct Call {
    leader: AsyncFd<Leader>,
    stream: Stream,
    permit: Permit,
}

type Reply = oneshot::Sender<Result<Finished, WorkplaceError>>;

impl Commands {
    /// `inherited` names the variables of the service that commands get beside the fixed ones.
    ///
    /// # Errors
    /// The operating system's, when it gives no more threads.
    pub(super) fn new(budget: Budget, root: Arc<Root>, inherited: &[String]) -> io::Result<Self> {
        let environment = environment(&root, inherited);
        let pool = Arc::new(Pool::start("evonic-command", THREADS)?);
        Ok(Self { budget, root, environment, pool, calls: TaskTracker::new() })
    }

    /// The same gate and threads for another folder.
    pub(super) fn at(&self, root: Arc<Root>) -> Self {
        let mut environment = self.environment.clone();
        environment.retain(|(name, value)| name != "HOME" || value != self.root.path());
        environment.push(("HOME".into(), root.path().into()));
        let (budget, pool, calls) =
            (self.budget.clone(), Arc::clone(&self.pool), self.calls.clone());
        Self { budget, root, environment, pool, calls }
    }

    /// See [`super::Local::run`].
    pub(super) async fn run(
        self: &Arc<Self>,
        spec: CommandSpec,
        output: mpsc::Sender<Bytes>,
        cancel: &CancellationToken,
    ) -> Result<Finished, WorkplaceError> {
        let cancelled = Finished { ended: Ended::Cancelled, left_behind: 0 };
        let permit = tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(cancelled),
            permit = self.budget.acquire(Kind::Child, PATIENCE) => permit?,
        };
        let cancel = cancel.child_token();
        let _cancelled_when_dropped = cancel.clone().drop_guard();
        let (reply, result) = oneshot::channel();
        let this = Arc::clone(self);
        let task = self.calls.spawn(async move {
            this.call(spec, output, permit, &cancel, reply).await;
        });
        match result.await {
            Ok(result) => result,
            Err(_) => match task.await {
                Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
                // The runtime is being torn down; the leader's guard has killed the group.
                Ok(()) | Err(_) => Ok(cancelled),
            },
        }
    }

    /// Kills every process that carries the mark. See [`super::Local::kill_marked`].
    pub(super) async fn kill_marked(&self, mark: &str) -> Result<u32, WorkplaceError> {
        let mut permit = self.budget.acquire(Kind::Child, PATIENCE).await?;
        let mark = mark.to_owned();
        let killed = self.pool.run(move |_| {
            permit.owns(sweep::DESCRIPTORS, None);
            sweep::kill_all(&mark, None, DEATH)
        });
        killed.await.map_err(|source| WorkplaceError::Path {
            operation: "list",
            path: "/proc".to_owned(),
            source,
        })
    }

    /// Waits until every call is over: its processes killed, its leader reaped.
    pub(super) async fn idle(&self) {
        self.calls.close();
        self.calls.wait().await;
        self.calls.reopen();
    }

    async fn call(
        &self,
        spec: CommandSpec,
        output: mpsc::Sender<Bytes>,
        permit: Permit,
        cancel: &CancellationToken,
        reply: Reply,
    ) {
        let program = spec.argv.first().cloned().unwrap_or_default();
        let (mark, time) = (spec.mark.clone(), spec.timeout);
        let mut call = match self.start(spec, output, permit).await {
            Ok(call) => call,
            Err(error) => return drop(reply.send(Err(error))),
        };
        let stop = call.follow(time, cancel).await;
        if stop != Stop::Left {
            call.leader.get_ref().kill_group();
        }
        let left_behind = self.clear(&mut call, mark).await;
        // Who held the pipe is dead, so that this ends at once unless the reader is slow.
        let patience = if stop == Stop::Cancelled { SOON } else { DEATH };
        let _slow = timeout(patience, call.stream.drain()).await;
        // Dropped from the last to the first: the permit after what it is for.
        let Call { mut permit, mut leader, stream } = call;
        drop(stream);
        permit.owns(1, None);

        let ended = match (stop, timeout(DEATH, reap(&mut leader)).await) {
            (Stop::Left, Ok(Ok(status))) => Ok(ended(status)),
            (Stop::Left, Ok(Err(source))) => Err(WorkplaceError::Lost { program, source }),
            (Stop::TimedOut, _) => Ok(Ended::TimedOut),
            (Stop::Left | Stop::Cancelled, _) => Ok(Ended::Cancelled),
        };
        let _nobody = reply.send(ended.map(|ended| Finished { ended, left_behind }));
        // A process that hangs in the kernel does not even die of SIGKILL: it keeps its permit.
        let _status = reap(&mut leader).await;
    }

    async fn start(
        &self,
        spec: CommandSpec,
        output: mpsc::Sender<Bytes>,
        mut permit: Permit,
    ) -> Result<Call, WorkplaceError> {
        let CommandSpec { argv, stdin, folder, mark, timeout: _ } = spec;
        let program = argv.first().cloned().unwrap_or_default();
        let failed = |source| WorkplaceError::Start { program, source };
        let mut environment = self.environment.clone();
        environment.push((sweep::VARIABLE.into(), mark.into()));
        let root = Arc::clone(&self.root);

        permit.owns(STARTING, None);
        let started = self.pool.run(move |_| {
            let folder = root.folder_path(&folder)?;
            let started = Leader::start(Start { argv, stdin: stdin.into(), folder, environment });
            Ok::<_, WorkplaceError>(started)
        });
        let attach =
            |(leader, pipe): (Leader, _)| Ok((watched(leader)?, Stream::new(pipe, output)?));
        let (leader, stream) = started.await?.and_then(attach).map_err(failed)?;
        permit.owns(RUNNING, u32::try_from(leader.as_raw_fd()).ok());
        Ok(Call { leader, stream, permit })
    }

    /// Kills what still lives of a command whose leader ended or was killed. Returns how many
    /// processes there were.
    async fn clear(&self, call: &mut Call, mark: String) -> u32 {
        call.permit.owns(RUNNING + sweep::DESCRIPTORS, None);
        let group = call.leader.get_ref().group();
        let killed = self.pool.run(move |_| sweep::kill_all(&mark, group, DEATH)).await;
        call.permit.owns(RUNNING, None);
        killed.unwrap_or_else(|error| {
            tracing::error!(%error, "processes cannot be listed");
            0
        })
    }
}

impl Call {
    /// Hands on output until the leader ended and the pipe is drained, or the call has to stop.
    async fn follow(&mut self, time: Duration, cancel: &CancellationToken) -> Stop {
        let deadline = Instant::now().checked_add(time);
        let out_of_time = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => Stop::Cancelled,
            () = out_of_time => Stop::TimedOut,
            () = self.stream_to_end() => Stop::Left,
        }
    }

    /// Until the leader ended and the pipe is drained. Cancel safe.
    async fn stream_to_end(&mut self) {
        loop {
            tokio::select! {
                biased;
                // An error here means that the runtime ends, and this future with it.
                _ended = self.leader.readable() => break,
                _bytes = self.stream.step(), if !self.stream.is_ended() => {}
            }
        }
        self.stream.drain().await;
    }
}

/// Registers the leader's pidfd with the runtime.
#[expect(deprecated, reason = "what follows it is unsafe; a leader keeps its one descriptor")]
fn watched(leader: Leader) -> io::Result<AsyncFd<Leader>> {
    AsyncFd::with_interest(leader, Interest::READABLE)
}

/// Waits for the leader's end and takes its status. Cancel safe; may be called again.
async fn reap(leader: &mut AsyncFd<Leader>) -> io::Result<ExitStatus> {
    loop {
        let mut ready = leader.readable_mut().await?;
        match ready.get_inner_mut().reap()? {
            Some(status) => return Ok(status),
            None => ready.clear_ready(),
        }
    }
}

fn ended(status: ExitStatus) -> Ended {
    match status.code() {
        Some(code) => Ended::Exited(code),
        None => Ended::Signalled(status.signal().unwrap_or_default()),
    }
}

/// What every command is given: nothing of the service but what is named here. `HOME` is the
/// workplace's root, so that no command reads the service user's keys and settings by accident;
/// an operator who wants that lists `HOME` in `tools.environment`.
fn environment(root: &Root, inherited: &[String]) -> Vec<(OsString, OsString)> {
    let service = |name: &str| std::env::var_os(name).map(|value| (OsString::from(name), value));
    let or = |name: &str, value: &str| service(name).unwrap_or((name.into(), value.into()));
    let mut environment = vec![
        or("PATH", PATH),
        or("LANG", "C.UTF-8"),
        ("HOME".into(), root.path().into()),
        ("TERM".into(), "dumb".into()),
    ];
    environment.extend(service("TZ"));
    for (name, value) in inherited.iter().filter_map(|name| service(name)) {
        environment.retain(|(known, _)| *known != name);
        environment.push((name, value));
    }
    environment
}

#[cfg(test)]
mod tests;
