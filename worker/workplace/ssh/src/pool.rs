//! The connections to one host: few, each owned by its thread, opened when needed.
//!
//! ```text
//! channel_slot(role): a connection of that role with room? -> a slot on it
//!              else, one at a time: a share of the host (`ssh.per_host`), the breaker's consent,
//!              permits (`budget.ssh`), a thread that connects and then drives
//! ```
//! Commands, small file operations and transfers have connections of their own: at most one for
//! files, all but one for commands, all but two for transfers, which share the one for files where
//! there are no more than two.

mod selection;

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use evonic_shared::{config, kind::Kind};
use parking_lot::Mutex;
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore, oneshot},
    time::{interval, sleep, timeout},
};
use tokio_util::task::TaskTracker;

use super::{
    breaker::Breaker,
    connect::{StepObserver, connect, next_stage},
    connection::{ChannelSlot, Connection, Role},
    driver::{self, Started},
    flight::Flight,
    retry::Retry,
    sftp::Sftp,
    target::Target,
};
use evonic_backend::{Home, HostState, Result, Stage, WorkplaceError, spool::Forgotten};
use evonic_handles::{Budget, Exhausted, Permit};

/// How long a request for a connection waits for its turn, and for its permits.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long it waits where the server lets its connections have few channels (`MaxSessions`): until
/// a command of somebody else has ended.
const LIMITED_TIMEOUT: Duration = Duration::from_secs(120);

/// How often a full pool is polled: nothing notifies when a slot comes free.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How often somebody who waits for a permit looks for an idle connection to any host.
const IDLE_INTERVAL: Duration = Duration::from_millis(100);

/// How long after its own deadline a thread that connects is waited for.
const LATE: Duration = Duration::from_secs(2);

/// What the hosts of a worker share.
#[derive(Debug)]
pub(super) struct PoolState {
    pub(super) settings: config::Ssh,
    pub(super) budget: Budget,
    pub(super) threads: TaskTracker,
    pub(super) closed: AtomicBool,
    pub(super) hosts: Mutex<Vec<Arc<Host>>>,
    /// Held while permits are taken: over jump hosts a connection takes several.
    pub(super) permits: AsyncMutex<()>,
    pub(super) last_thread: AtomicU64,
}

/// A host, as one user.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) target: Target,
    name: String,
    pool: Weak<PoolState>,
    settings: config::Ssh,
    connections: Mutex<Vec<Arc<Connection>>>,
    shares: Arc<Semaphore>,
    /// One connection of a role is opened at a time. Whether one may be.
    opening: [Flight<bool>; 3],
    breaker: Mutex<Breaker>,
    /// The channel for small operations on files.
    pub(super) files: Mutex<Option<Sftp>>,
    /// It is opened once at a time.
    pub(super) opening_files: Flight<Sftp>,
    /// Logins in a row after which the server ended the connection.
    early_ends: AtomicU32,
    /// Channels of transfers that are over, for the next ones.
    pub(super) spare: Mutex<Vec<Sftp>>,
    /// The home, as last reported.
    pub(super) home: Mutex<Option<Home>>,
    /// Commands whose records may be removed.
    pub(super) forgotten: Arc<Forgotten>,
}

impl Host {
    pub(super) fn new(target: Target, pool: &Arc<PoolState>) -> Self {
        let settings = pool.settings.clone();
        Self {
            name: target.to_string(),
            target,
            pool: Arc::downgrade(pool),
            connections: Mutex::default(),
            shares: Arc::new(Semaphore::new(settings.per_host as usize)),
            opening: Default::default(),
            breaker: Mutex::new(Breaker::new(settings.breaker_failures, settings.breaker_pause)),
            files: Mutex::default(),
            opening_files: Flight::default(),
            early_ends: AtomicU32::new(0),
            spare: Mutex::default(),
            home: Mutex::default(),
            forgotten: Arc::default(),
            settings,
        }
    }

    /// `user@host:port`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How long the host may take to begin something: `ssh.connect_timeout`.
    pub(super) const fn connect_timeout(&self) -> Duration {
        self.settings.connect_timeout
    }

    /// A slot on a connection of this role. Transient errors are tried again.
    pub(super) async fn channel_slot(self: &Arc<Self>, role: Role) -> Result<ChannelSlot> {
        let mut retry = Retry::new(&self.settings);
        loop {
            match self.try_channel_slot(role).await {
                Ok(slot) => return Ok(slot),
                // Transfers share a channel then.
                Err(error @ WorkplaceError::Exhausted(_)) if role == Role::Transfers => {
                    return Err(error);
                }
                Err(error) => retry.after(error).await?,
            }
        }
    }

    async fn try_channel_slot(self: &Arc<Self>, role: Role) -> Result<ChannelSlot> {
        let began = Instant::now();
        loop {
            if let Some(slot) = self.free(role) {
                return Ok(slot);
            }
            let opened = self.opening[role as usize].join(async {
                match self.share(role) {
                    Some(share) => self.open(role, share).await.map(|_idle| true),
                    None => Ok(false),
                }
            });
            if opened.await?
                && let Some(slot) = self.free(role)
            {
                return Ok(slot);
            }
            if let Some(slot) = self.borrowed(role) {
                return Ok(slot);
            }
            let timeout = match (role, self.is_limited(role)) {
                (_, false) => TIMEOUT,
                (Role::Transfers, true) => Duration::ZERO,
                (_, true) => LIMITED_TIMEOUT,
            };
            if began.elapsed() >= timeout {
                let limit = self.settings.per_host;
                let retry_after = Duration::from_secs(1);
                return Err(Exhausted { kind: Kind::Ssh, limit, retry_after }.into());
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// What an error of a new connection means: a server that ends it after the login, twice in a
    /// row, would do so again.
    pub(super) fn judged(&self, connection: &Connection, error: WorkplaceError) -> WorkplaceError {
        if connection.count_early_end() {
            self.early_ends.fetch_add(1, Ordering::Relaxed);
        }
        let is_certain = self.early_ends.load(Ordering::Relaxed) > 1;
        match error {
            WorkplaceError::Unreachable { host, stage: Stage::Session, source } if is_certain => {
                WorkplaceError::Refused { host, stage: Stage::Session, source }
            }
            error => error,
        }
    }

    /// A connection works.
    pub(super) fn served(&self) {
        self.early_ends.store(0, Ordering::Relaxed);
    }

    /// Connections that work.
    pub(super) fn alive(&self) -> Vec<Arc<Connection>> {
        self.connections.lock().iter().filter(|one| !one.is_over()).cloned().collect()
    }

    /// Cuts every connection, also those that end already.
    pub(super) fn cut(&self) {
        let connections = self.connections.lock().clone();
        connections.iter().for_each(|connection| connection.cut());
    }

    async fn open(
        self: &Arc<Self>,
        role: Role,
        share: OwnedSemaphorePermit,
    ) -> Result<ChannelSlot> {
        let gone = || WorkplaceError::unreachable(&self.name, Stage::Connect, "the service ends");
        let pool = self.pool.upgrade().ok_or_else(gone)?;
        if pool.closed.load(Ordering::Acquire) {
            return Err(gone());
        }
        self.breaker.lock().admit(&self.name, Instant::now())?;
        let opened = match pool.permits(self.target.jumps.len() + 1).await {
            Ok(permits) => self.start(role, share, &pool, permits).await,
            Err(error) => Err(error),
        };
        let mut breaker = self.breaker.lock();
        match &opened {
            Ok(_) => breaker.succeeded(),
            Err(error) => breaker.failed(error, Instant::now()),
        }
        opened
    }

    /// Starts the thread, and waits until it has connected. A dropped future does not stop it, nor
    /// does its deadline: an agent may wait for ever for somebody to touch a key.
    async fn start(
        self: &Arc<Self>,
        role: Role,
        share: OwnedSemaphorePermit,
        pool: &PoolState,
        permits: Vec<Permit>,
    ) -> Result<ChannelSlot> {
        let (sender, connected) = oneshot::channel();
        let number = pool.last_thread.fetch_add(1, Ordering::Relaxed) + 1;
        let token = pool.threads.token();
        let host = Arc::clone(self);
        let progress = Progress(Arc::new(Mutex::new(Stage::Resolve)));
        let observer = progress.clone();
        let work = move || {
            host.connect_and_drive(role, permits, observer, sender);
            drop((host, share, token));
        };
        thread::Builder::new()
            .name(format!("evonic-ssh-{number}"))
            .spawn(work)
            .map_err(WorkplaceError::Threads)?;
        let gone = |_| WorkplaceError::unreachable(&self.name, Stage::Connect, "its thread ended");
        match timeout(self.connect_timeout() + LATE, connected).await {
            Ok(connected) => connected.map_err(gone)?,
            Err(_) => Err(late(&self.target, *progress.0.lock(), self.connect_timeout())),
        }
    }

    fn connect_and_drive(
        &self,
        role: Role,
        permits: Vec<Permit>,
        mut progress: Progress,
        sender: oneshot::Sender<Result<ChannelSlot>>,
    ) {
        let started = connect(&self.target, &self.settings, permits, &mut progress)
            .and_then(|session| Started::new(session, &self.name, role));
        let started = match started {
            Ok(started) => started,
            Err(error) => {
                // The caller may be gone.
                drop(sender.send(Err(error)));
                return;
            }
        };
        let connection = Arc::clone(&started.connection);
        let closed = || connection.unreachable(Stage::Connect, "it is closed");
        let slot = connection.take_slot().ok_or_else(closed);
        self.connections.lock().push(Arc::clone(&connection));
        if self.pool.upgrade().is_none_or(|pool| pool.closed.load(Ordering::Acquire)) {
            connection.end();
        }
        drop(sender.send(slot));
        driver::run(started, &self.settings);
        self.connections.lock().retain(|other| !Arc::ptr_eq(other, &connection));
    }

    /// For status and metrics.
    pub(super) fn state(&self) -> HostState {
        let connections = u32::try_from(self.alive().len()).unwrap_or(u32::MAX);
        self.breaker.lock().state(self.name.clone(), connections, Instant::now())
    }
}

/// The error of a login that is not done within its time.
pub(super) fn late(target: &Target, stage: Stage, limit: Duration) -> WorkplaceError {
    let advice = match stage {
        Stage::Authenticate => "; does the agent wait for somebody to confirm a key?",
        _ => "",
    };
    let said = format!("not done within {} s{advice}", limit.as_secs());
    // Each further try would leave a further thread that waits for that person, and ask them again.
    if stage == Stage::Authenticate {
        return WorkplaceError::refused(target, stage, said);
    }
    WorkplaceError::unreachable(target, stage, said)
}

/// Which stage a connection is at.
#[derive(Clone)]
struct Progress(Arc<Mutex<Stage>>);

impl StepObserver for Progress {
    fn passed(&mut self, stage: Stage, _detail: String, _began: Instant) {
        *self.0.lock() = next_stage(stage);
    }
}

/// Ends the connection that has been unused for the longest time.
fn end_one_unused<'a>(connections: impl Iterator<Item = &'a Arc<Connection>>) {
    let unused = connections.filter(|one| one.usage().users == 0);
    if let Some(connection) = unused.min_by_key(|one| one.usage().last_used) {
        connection.end_if_unused();
    }
}

impl PoolState {
    /// No host, no connection.
    pub(super) fn new(settings: config::Ssh, budget: Budget) -> Self {
        Self {
            settings,
            budget,
            threads: TaskTracker::new(),
            closed: AtomicBool::new(false),
            hosts: Mutex::default(),
            permits: AsyncMutex::default(),
            last_thread: AtomicU64::new(0),
        }
    }

    /// So many permits at once. Where there are none, unused connections to any host give way, also
    /// those that come to be unused meanwhile.
    ///
    /// # Errors
    /// [`Exhausted`] after 20 s.
    pub(super) async fn permits(&self, count: usize) -> Result<Vec<Permit>> {
        let taken = async {
            let _turn = self.permits.lock().await;
            let mut permits = Vec::new();
            while permits.len() < count {
                match self.budget.try_acquire(Kind::Ssh) {
                    Ok(permit) => permits.push(permit),
                    Err(_) => permits.push(self.permit_of_unused().await?),
                }
            }
            Ok(permits)
        };
        let limit = self.budget.limit(Kind::Ssh);
        let late = |_| Exhausted { kind: Kind::Ssh, limit, retry_after: TIMEOUT };
        timeout(TIMEOUT * 2, taken).await.map_err(late)?
    }

    async fn permit_of_unused(&self) -> Result<Permit> {
        let permit = self.budget.acquire(Kind::Ssh, TIMEOUT);
        tokio::pin!(permit);
        let mut look = interval(IDLE_INTERVAL);
        loop {
            tokio::select! {
                biased;
                permit = &mut permit => return Ok(permit?),
                _ = look.tick() => self.end_one_unused(),
            }
        }
    }

    /// One at a time: the permit of one that ends wakes who waits for it.
    fn end_one_unused(&self) {
        let hosts = self.hosts.lock().clone();
        let connections: Vec<_> =
            hosts.iter().flat_map(|host| host.connections.lock().clone()).collect();
        if !connections.iter().any(|one| one.is_over()) {
            end_one_unused(connections.iter());
        }
    }
}
