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
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use evonic_shared::{config, kind::Kind};
use parking_lot::Mutex;
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore, oneshot},
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;

use super::{
    breaker::Breaker,
    connect::connect,
    connection::{ChannelSlot, Connection, Role},
    driver::{self, Started},
    retry::Retry,
    sftp::Sftp,
    target::Target,
};
use evonic_backend::{Home, HostState, Result, Stage, WorkplaceError, spool::Forgotten};
use evonic_handles::{Budget, Exhausted, Permit};

/// How long a request for a connection waits for its turn, and for its permits.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often a full pool is polled: nothing notifies when a slot comes free.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

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
    /// One connection of a role is opened at a time.
    opening: [AsyncMutex<()>; 3],
    breaker: Mutex<Breaker>,
    /// The channel for small operations on files.
    pub(super) files: AsyncMutex<Option<Sftp>>,
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
            files: AsyncMutex::default(),
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
    pub(super) const fn patience(&self) -> Duration {
        self.settings.connect_timeout
    }

    /// A slot on a connection of this role. Transient errors are tried again.
    pub(super) async fn channel_slot(self: &Arc<Self>, role: Role) -> Result<ChannelSlot> {
        let mut retry = Retry::new(&self.settings);
        loop {
            match self.try_channel_slot(role).await {
                Ok(slot) => return Ok(slot),
                Err(error) => retry.after(error).await?,
            }
        }
    }

    async fn try_channel_slot(self: &Arc<Self>, role: Role) -> Result<ChannelSlot> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Some(slot) = self.free(role) {
                return Ok(slot);
            }
            {
                let _opening = self.opening[role as usize].lock().await;
                if let Some(slot) = self.free(role) {
                    return Ok(slot);
                }
                if let Some(share) = self.share(role) {
                    return self.open(role, share).await;
                }
            }
            if let Some(slot) = self.borrowed(role) {
                return Ok(slot);
            }
            if Instant::now() >= deadline {
                let limit = self.settings.per_host;
                let retry_after = Duration::from_secs(1);
                return Err(Exhausted { kind: Kind::Ssh, limit, retry_after }.into());
            }
            sleep(POLL_INTERVAL).await;
        }
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

    /// Starts the thread, and waits until it has connected. A dropped future does not stop it.
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
        let work = move || {
            host.connect_and_drive(role, permits, sender);
            drop((host, share, token));
        };
        thread::Builder::new()
            .name(format!("evonic-ssh-{number}"))
            .spawn(work)
            .map_err(WorkplaceError::Threads)?;
        let gone = |_| WorkplaceError::unreachable(&self.name, Stage::Connect, "its thread ended");
        connected.await.map_err(gone)?
    }

    fn connect_and_drive(
        &self,
        role: Role,
        permits: Vec<Permit>,
        sender: oneshot::Sender<Result<ChannelSlot>>,
    ) {
        let started = connect(&self.target, &self.settings, permits, &mut ())
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

/// Ends the connection that has been unused for the longest time.
fn end_one_unused<'a>(connections: impl Iterator<Item = &'a Arc<Connection>>) {
    let unused = connections.filter(|one| one.usage().users == 0);
    if let Some(connection) = unused.min_by_key(|one| one.usage().last_used) {
        connection.end_if_unused();
    }
}

impl PoolState {
    /// So many permits at once. Where there are none, unused connections to any host give way.
    async fn permits(&self, count: usize) -> Result<Vec<Permit>> {
        let taken = async {
            let _turn = self.permits.lock().await;
            let mut permits = Vec::new();
            while permits.len() < count {
                match self.budget.try_acquire(Kind::Ssh) {
                    Ok(permit) => permits.push(permit),
                    Err(_) => {
                        self.end_one_unused();
                        // Ending one takes a moment; its permit wakes this.
                        permits.push(self.budget.acquire(Kind::Ssh, TIMEOUT).await?);
                    }
                }
            }
            Ok(permits)
        };
        let limit = u32::try_from(count).unwrap_or(u32::MAX);
        let late = |_| Exhausted { kind: Kind::Ssh, limit, retry_after: TIMEOUT };
        timeout(TIMEOUT * 2, taken).await.map_err(late)?
    }

    fn end_one_unused(&self) {
        let hosts = self.hosts.lock().clone();
        let connections: Vec<_> = hosts.iter().flat_map(|host| host.alive()).collect();
        end_one_unused(connections.iter());
    }
}
