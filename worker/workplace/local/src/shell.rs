//! Scripts of this machine's POSIX shell, attached by pipes: the gateway for `child` descriptors.
//!
//! What a script starts in a session of its own (the watcher of a command) is not owned here: it
//! outlives the script, the caller's future, and this process. Only the script itself ends when
//! its caller is gone.
//!
//! ```text
//!           it ended                    pipes closed or silent
//! running -----------> draining ------------------------------> reaped
//!    |
//!    +-- caller gone --> (a launch: until the watcher is there) --> group killed --> reaped
//! ```
//!
//! Every script runs as a task of its own, tracked, that holds the permit. Dropping the caller's
//! future notifies the task, which kills, reaps, and only then gives the permit back.

mod confinement;
mod environment;
mod groups;
mod leader;
mod limits;
mod mask;
mod stream;

use std::{
    fs, io, os::fd::AsRawFd, panic::resume_unwind, path::PathBuf, process::ExitStatus, sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use evonic_shared::{config::Config, kind::Kind};
use parking_lot::Mutex;
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::mpsc,
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(super) use self::confinement::{Confinement, Found};
pub(super) use self::limits::describe as describe_limits;
use self::{
    environment::Environment,
    groups::Groups,
    leader::{Leader, Pipes, Start},
    limits::Limits,
    stream::{Feed, Stream},
};
use super::files::Files;
use evonic_backend::{
    Result, WorkplaceError,
    spool::{Purpose, Script, ScriptEnd, ScriptOutput, Shell},
};
use evonic_handles::{Budget, Exhausted, Permit, blocking::BlockingPool};

/// Threads that start scripts.
const THREADS: usize = 4;

/// How long a script waits for its permit.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the watcher of a launch whose caller is gone is waited for, at the most, and how often
/// it is looked for.
const WATCHER: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// How often it is looked whether a killed control group is empty, and for how long.
const DYING: Duration = Duration::from_millis(5);
const DEAD: Duration = Duration::from_secs(5);

/// Descriptors while a script is started: both ends of its three pipes. The rules of a confinement
/// are put together before these are opened, with two at a time.
const STARTING: u32 = 6;

/// Descriptors of a running script: its output, its errors, its pidfd.
const RUNNING: u32 = 3;

/// The first line of a launch: it waits until its limits hold.
const WAIT_FOR_LIMITS: &str = "IFS= read -r _ || exit 120\n";

/// Starts the scripts of this machine. One for all local workplaces.
#[derive(Debug)]
pub(super) struct Launcher {
    budget: Budget,
    pool: BlockingPool,
    /// Work that is finished before [`Launcher::idle`] returns.
    pub(super) tasks: TaskTracker,
    environment: Environment,
    limits: Limits,
    confinement: Option<Arc<Confinement>>,
    groups: Option<Groups>,
}

impl Launcher {
    /// Reads the service's environment, once. Starts four threads.
    ///
    /// # Errors
    /// The OS error, when no more threads can be started.
    pub(super) fn new(config: &Config, budget: Budget) -> io::Result<Self> {
        let environment = Environment::of_service(&config.tools.environment);
        let pool = BlockingPool::start("evonic-command", THREADS)?;
        let confinement = confinement::active(config)?.map(Arc::new);
        let limits = Limits::of(&config.workplace);
        let (tasks, groups) = (TaskTracker::new(), Groups::of_service());
        Ok(Self { budget, pool, tasks, environment, limits, confinement, groups })
    }

    /// The right to run a script.
    ///
    /// # Errors
    /// [`Exhausted`] when none comes free in time.
    pub(super) async fn permit(&self) -> Result<Permit, Exhausted> {
        self.budget.acquire(Kind::Child, PERMIT_TIMEOUT).await
    }

    /// Ends what is left of a command that is over: whatever hid from its watcher. Returns at once;
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

    /// Waits until every script is over, also those whose future was dropped.
    pub(super) async fn idle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }
}

/// The shell of one local workplace, and the folder of one command's spool.
#[derive(Debug)]
pub(super) struct LocalShell {
    launcher: Arc<Launcher>,
    files: Arc<Files>,
    spools: PathBuf,
    /// Of its first script, when somebody waited for it already.
    permit: Mutex<Option<Permit>>,
}

impl LocalShell {
    /// Opens nothing. A permit is that of the first script.
    pub(super) const fn new(
        launcher: Arc<Launcher>,
        files: Arc<Files>,
        spools: PathBuf,
        permit: Option<Permit>,
    ) -> Self {
        Self { launcher, files, spools, permit: Mutex::new(permit) }
    }

    /// How a script is started, and the file by which a launch shows that it is done.
    fn start(&self, script: Script) -> (Start, Option<PathBuf>) {
        let Script { text, arguments, input, purpose } = script;
        let service = &self.launcher.environment;
        let Purpose::Launch { command_id } = purpose else {
            let environment = service.plain();
            let start = Start { text, arguments, input, environment, launch: None };
            return (start, None);
        };
        let root = &self.files.root;
        let confinement = self.launcher.confinement.clone().filter(|_| root.is_confined());
        let temporary = self.spools.join("tmp");
        let environment = service.of_command(root.path(), confinement.as_deref(), &temporary);
        let launch = leader::Launch {
            groups: self.launcher.groups.clone(),
            command_id: command_id.clone(),
            confinement,
            limits: self.launcher.limits.clone(),
            root: root.path().to_owned(),
            own: self.spools.clone(),
            temporary,
        };
        let watcher = self.spools.join(command_id).join("watcher");
        let text = format!("{WAIT_FOR_LIMITS}{text}");
        (Start { text, arguments, input, environment, launch: Some(launch) }, Some(watcher))
    }
}

#[async_trait]
impl Shell for LocalShell {
    async fn script(
        &self,
        script: Script,
        output: mpsc::Sender<ScriptOutput>,
    ) -> Result<ScriptEnd> {
        let first = self.permit.lock().take();
        let permit = match first {
            Some(permit) => permit,
            None => self.launcher.permit().await?,
        };
        let left = CancellationToken::new();
        let _left_when_dropped = left.clone().drop_guard();
        let (start, watcher) = self.start(script);
        let launcher = Arc::clone(&self.launcher);
        let task = self.launcher.tasks.spawn(async move {
            let call = launcher.start(start, permit, output).await?;
            call.follow(watcher, &left).await
        });
        match task.await {
            Ok(ended) => ended
                .map_err(|source| WorkplaceError::Start { program: "/bin/sh".to_owned(), source }),
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            // The runtime is being torn down; the leader's guard has killed the script.
            Err(_) => Ok(ScriptEnd::Killed),
        }
    }

    async fn spools(&self) -> Result<String> {
        Ok(self.spools.to_string_lossy().into_owned())
    }

    async fn folder(&self, folder: &str) -> Result<String> {
        let path = self.files.folder_path(folder).await?;
        Ok(path.to_string_lossy().into_owned())
    }
}

/// A running script and what it holds, in the order in which it is closed.
struct Call {
    feed: Feed,
    output: Stream,
    errors: Stream,
    leader: AsyncFd<Leader>,
    permit: Permit,
}

impl Launcher {
    async fn start(
        &self,
        start: Start,
        mut permit: Permit,
        reader: mpsc::Sender<ScriptOutput>,
    ) -> io::Result<Call> {
        permit.owns(STARTING, None);
        let (leader, pipes) = self.pool.run(move |_| Leader::start(start)).await?;
        let leader = watched(leader)?;
        let Pipes { input, output, errors } = pipes;
        let feed = Feed::new(input)?;
        let output = Stream::new(output, reader.clone(), ScriptOutput::Out)?;
        let errors = Stream::new(errors, reader, ScriptOutput::Err)?;
        let open = RUNNING + u32::from(!feed.is_ended());
        permit.owns(open, u32::try_from(leader.as_raw_fd()).ok());
        Ok(Call { feed, output, errors, leader, permit })
    }
}

impl Call {
    async fn follow(
        mut self,
        watcher: Option<PathBuf>,
        left: &CancellationToken,
    ) -> io::Result<ScriptEnd> {
        tokio::select! {
            biased;
            () = self.stream_to_end() => {}
            () = abandoned(left, watcher) => {}
        }
        let Self { feed, output, errors, mut leader, mut permit } = self;
        drop((feed, output, errors));
        permit.owns(1, None);
        leader.get_ref().kill_group();
        // A process that hangs in the kernel does not even die of SIGKILL: it keeps its permit.
        let status = reap(&mut leader).await?;
        Ok(status.code().map_or(ScriptEnd::Killed, ScriptEnd::Exited))
    }

    /// Until the script ended and its pipes are drained. Cancel safe.
    async fn stream_to_end(&mut self) {
        loop {
            tokio::select! {
                biased;
                // An error here means that the runtime ends, and this future with it.
                _ended = self.leader.readable() => break,
                () = self.feed.step(), if !self.feed.is_ended() => {
                    if self.feed.is_ended() {
                        self.permit.owns(RUNNING, None);
                    }
                }
                _bytes = self.output.step(), if !self.output.is_ended() => {}
                _bytes = self.errors.step(), if !self.errors.is_ended() => {}
            }
        }
        tokio::join!(self.output.drain(), self.errors.drain());
    }
}

/// Until the caller is gone and nothing is lost by ending the script. A launch has handed its
/// command over when its watcher has made itself known.
async fn abandoned(left: &CancellationToken, watcher: Option<PathBuf>) {
    left.cancelled().await;
    let until = Instant::now() + WATCHER;
    if let Some(watcher) = watcher {
        while !fs::exists(&watcher).unwrap_or(true) && Instant::now() < until {
            sleep(LOOK).await;
        }
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

#[cfg(test)]
mod tests;
