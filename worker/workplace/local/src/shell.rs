//! Scripts of this machine's POSIX shell, attached by pipes: the gate for `child` descriptors.
//!
//! What a script starts in a session of its own (the watcher of a command) is not this room's: it
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
//! future tells the task, which kills, reaps, and only then gives the permit back.

mod confinement;
mod environment;
mod groups;
mod leader;
mod limits;
mod mask;
mod stream;

use std::{
    fs, io,
    os::fd::AsRawFd,
    panic::resume_unwind,
    path::PathBuf,
    process::ExitStatus,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use evonic_shared::{config::Config, kind::Kind};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::mpsc,
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(super) use self::confinement::{Confinement, Found};
pub(super) use self::limits::words as limits_in_words;
use self::{
    environment::Environment,
    groups::Groups,
    leader::{Leader, Pipes, Start},
    limits::Limits,
    stream::{Feed, Stream},
};
use super::{files::Files, pool::Pool};
use evonic_backend::{
    WorkplaceError,
    spool::{Purpose, Said, Script, ScriptEnd, Shell},
};
use evonic_handles::{Budget, Exhausted, Permit};

/// Threads that start scripts.
const THREADS: usize = 4;

/// How long a script waits for its permit.
const PATIENCE: Duration = Duration::from_secs(10);

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

/// What a launcher reads before anything else: until its limits hold, it waits.
const GATE: &str = "IFS= read -r _ || exit 120\n";

/// What every script of this machine needs. One for all local workplaces.
#[derive(Debug)]
pub(super) struct Gate {
    budget: Budget,
    pool: Pool,
    calls: TaskTracker,
    environment: Environment,
    limits: Limits,
    confinement: Option<Arc<Confinement>>,
    groups: Option<Groups>,
}

impl Gate {
    /// Reads the service's environment, once. Starts four threads.
    ///
    /// # Errors
    /// The operating system's, when it gives no more threads.
    pub(super) fn new(config: &Config, budget: Budget) -> io::Result<Self> {
        let environment = Environment::of_service(&config.tools.environment);
        let pool = Pool::start("evonic-command", THREADS)?;
        let confinement = confinement::active(config)?.map(Arc::new);
        let limits = Limits::of(&config.workplace);
        let (calls, groups) = (TaskTracker::new(), Groups::of_service());
        Ok(Self { budget, pool, calls, environment, limits, confinement, groups })
    }

    /// The right to run a script.
    ///
    /// # Errors
    /// [`Exhausted`] when none comes free in time.
    pub(super) async fn permit(&self) -> Result<Permit, Exhausted> {
        self.budget.acquire(Kind::Child, PATIENCE).await
    }

    /// Work that is finished before [`Gate::idle`] returns.
    pub(super) const fn calls(&self) -> &TaskTracker {
        &self.calls
    }

    /// Ends what is left of a command that is over: whatever hid from its watcher. Returns at once;
    /// [`Gate::idle`] waits for it.
    pub(super) fn end_group(self: &Arc<Self>, command_id: &str) {
        let Some(groups) = self.groups.clone() else { return };
        let (gate, command_id) = (Arc::clone(self), command_id.to_owned());
        self.calls.spawn(async move {
            let until = Instant::now() + DEAD;
            while Instant::now() < until {
                let (groups, command_id) = (groups.clone(), command_id.clone());
                if gate.pool.run(move |_| groups.is_ended(&command_id)).await {
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
        self.calls.close();
        self.calls.wait().await;
        self.calls.reopen();
    }
}

/// The shell of one local workplace, and the folder of one command's spool.
#[derive(Debug)]
pub(super) struct Sh {
    gate: Arc<Gate>,
    files: Arc<Files>,
    spools: PathBuf,
    /// Of its first script, when somebody waited for it already.
    permit: Mutex<Option<Permit>>,
}

impl Sh {
    /// Opens nothing. A permit is that of the first script.
    pub(super) const fn new(
        gate: Arc<Gate>,
        files: Arc<Files>,
        spools: PathBuf,
        permit: Option<Permit>,
    ) -> Self {
        Self { gate, files, spools, permit: Mutex::new(permit) }
    }

    /// How a script is started, and the file by which a launch shows that it is done.
    fn start(&self, script: Script) -> (Start, Option<PathBuf>) {
        let Script { text, arguments, input, purpose } = script;
        let service = &self.gate.environment;
        let Purpose::Launch { command_id } = purpose else {
            let environment = service.plain();
            let start = Start { text, arguments, input, environment, launch: None };
            return (start, None);
        };
        let root = self.files.root();
        let confinement = self.gate.confinement.clone().filter(|_| root.is_confined());
        let temporary = self.spools.join("tmp");
        let environment = service.of_command(root.path(), confinement.as_deref(), &temporary);
        let launch = leader::Launch {
            groups: self.gate.groups.clone(),
            command_id: command_id.clone(),
            confinement,
            limits: self.gate.limits.clone(),
            root: root.path().to_owned(),
            own: self.spools.clone(),
            temporary,
        };
        let watcher = self.spools.join(command_id).join("watcher");
        let text = format!("{GATE}{text}");
        (Start { text, arguments, input, environment, launch: Some(launch) }, Some(watcher))
    }
}

#[async_trait]
impl Shell for Sh {
    async fn script(
        &self,
        script: Script,
        said: mpsc::Sender<Said>,
    ) -> Result<ScriptEnd, WorkplaceError> {
        let first = self.permit.lock().unwrap_or_else(PoisonError::into_inner).take();
        let permit = match first {
            Some(permit) => permit,
            None => self.gate.permit().await?,
        };
        let left = CancellationToken::new();
        let _left_when_dropped = left.clone().drop_guard();
        let (start, watcher) = self.start(script);
        let gate = Arc::clone(&self.gate);
        let task = self.gate.calls.spawn(async move {
            let call = gate.start(start, permit, said).await?;
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

    async fn spools(&self) -> Result<String, WorkplaceError> {
        Ok(self.spools.to_string_lossy().into_owned())
    }

    async fn folder(&self, folder: &str) -> Result<String, WorkplaceError> {
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

impl Gate {
    async fn start(
        &self,
        start: Start,
        mut permit: Permit,
        said: mpsc::Sender<Said>,
    ) -> io::Result<Call> {
        permit.owns(STARTING, None);
        let (leader, pipes) = self.pool.run(move |_| Leader::start(start)).await?;
        let leader = watched(leader)?;
        let Pipes { input, output, errors } = pipes;
        let feed = Feed::new(input)?;
        let output = Stream::new(output, said.clone(), Said::Out)?;
        let errors = Stream::new(errors, said, Said::Err)?;
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
