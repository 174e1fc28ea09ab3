//! The connections to one host: few, each owned by its thread, opened when needed.
//!
//! ```text
//! place(role): a link of that role with room? -> a place on it
//!              else, one at a time: a slot of the host (`ssh.per_host`), the breaker's leave,
//!              permits (`budget.ssh`), a thread that connects and then drives
//! ```
//! Commands, small file operations and transfers have links of their own: at most one for files,
//! all but one for commands, all but two for transfers, which share the one for files where there
//! are no more than two.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use evonic_shared::{config, kind::Kind};
use tokio::{
    sync::{Mutex as Door, OwnedSemaphorePermit, Semaphore, oneshot},
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;

use super::{
    breaker::{Backoff, Breaker},
    connect::connect,
    link::{self, ChannelSlot, Link, Role, Started, unreachable},
    sftp::Sftp,
    target::Target,
};
use evonic_backend::{Class, Home, HostState, Stage, WorkplaceError};
use evonic_handles::{Budget, Exhausted, Permit};

/// How long a connection waits for its turn and its permits.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a full pool is looked at: nobody tells when a place comes free.
const LOOK: Duration = Duration::from_millis(20);

/// What the hosts of a worker share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) settings: config::Ssh,
    pub(super) budget: Budget,
    pub(super) threads: TaskTracker,
    pub(super) closed: AtomicBool,
    pub(super) all: Mutex<Vec<Arc<Host>>>,
    /// Held while permits are taken: over jump hosts a connection takes several.
    pub(super) permits: Door<()>,
    pub(super) number: AtomicU64,
}

/// A host, as one user.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) target: Target,
    name: String,
    common: Weak<Common>,
    settings: config::Ssh,
    links: Mutex<Vec<Arc<Link>>>,
    slots: Arc<Semaphore>,
    /// One connection of a role is opened at a time.
    doors: [Door<()>; 3],
    breaker: Mutex<Breaker>,
    /// The channel for small operations on files.
    pub(super) files: Door<Option<Sftp>>,
    /// Channels of transfers that are over, for the next ones.
    pub(super) spare: Mutex<Vec<Sftp>>,
    /// The home, as the host said last.
    pub(super) home: Mutex<Option<Home>>,
}

impl Host {
    pub(super) fn new(target: Target, common: &Arc<Common>) -> Self {
        let settings = common.settings.clone();
        Self {
            name: target.to_string(),
            target,
            common: Arc::downgrade(common),
            links: Mutex::default(),
            slots: Arc::new(Semaphore::new(settings.per_host as usize)),
            doors: Default::default(),
            breaker: Mutex::new(Breaker::new(settings.breaker_failures, settings.breaker_pause)),
            files: Door::default(),
            spare: Mutex::default(),
            home: Mutex::default(),
            settings,
        }
    }

    /// `user@host:port`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A place on a connection of this role. Transient errors are tried again, with pauses.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub(super) async fn place(self: &Arc<Self>, role: Role) -> Result<ChannelSlot, WorkplaceError> {
        let mut backoff = Backoff::new(self.settings.backoff_base, self.settings.backoff_cap);
        let mut tries = 0;
        loop {
            let error = match self.try_place(role).await {
                Ok(place) => return Ok(place),
                Err(error) => error,
            };
            let left_alone = matches!(error, WorkplaceError::LeftAlone { .. });
            if error.class() == Class::Permanent || left_alone || tries >= self.settings.retries {
                return Err(error);
            }
            tries += 1;
            sleep(backoff.pause(fastrand::f64())).await;
        }
    }

    async fn try_place(self: &Arc<Self>, role: Role) -> Result<ChannelSlot, WorkplaceError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(place) = self.free(role) {
                return Ok(place);
            }
            {
                let _door = self.doors[role as usize].lock().await;
                if let Some(place) = self.free(role) {
                    return Ok(place);
                }
                if let Some(slot) = self.slot(role) {
                    return self.open(role, slot).await;
                }
            }
            if let Some(place) = self.borrowed(role) {
                return Ok(place);
            }
            if Instant::now() >= deadline {
                let limit = self.settings.per_host;
                let retry_after = Duration::from_secs(1);
                return Err(Exhausted { kind: Kind::Ssh, limit, retry_after }.into());
            }
            sleep(LOOK).await;
        }
    }

    /// A place on a link of this role. Transfers spread over new links as long as they may.
    fn free(&self, role: Role) -> Option<ChannelSlot> {
        let links = self.alive();
        let of_role = links.iter().filter(|link| link.role() == role);
        let mut found: Vec<_> = of_role.collect();
        found.sort_by_key(|link| link.usage().0);
        let may_spread = role == Role::Bulk
            && found.len() < self.most(role)
            && self.slots.available_permits() > 0;
        found.iter().filter(|link| !may_spread || link.usage().0 == 0).find_map(|link| link.place())
    }

    /// A place on a link of another role, when there can be none of this one.
    fn borrowed(&self, role: Role) -> Option<ChannelSlot> {
        let from = match role {
            Role::Commands => return None,
            Role::Files => Role::Bulk,
            Role::Bulk => Role::Files,
        };
        let links = self.alive();
        let found = links.iter().filter(|link| link.role() == role || link.role() == from);
        found.min_by_key(|link| link.usage().0).and_then(Link::place)
    }

    /// How many links of a role there may be.
    fn most(&self, role: Role) -> usize {
        let all = self.settings.per_host as usize;
        match role {
            Role::Commands => all.saturating_sub(1).max(1),
            Role::Files => 1,
            Role::Bulk => all.saturating_sub(2),
        }
    }

    /// The right to one more link of a role; an unused one of another role gives way.
    fn slot(&self, role: Role) -> Option<OwnedSemaphorePermit> {
        let links = self.alive();
        if links.iter().filter(|link| link.role() == role).count() >= self.most(role) {
            return None;
        }
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok();
        if slot.is_none() {
            end_one_unused(links.iter().filter(|link| link.role() != role));
        }
        slot
    }

    /// Links that work.
    pub(super) fn alive(&self) -> Vec<Arc<Link>> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.iter().filter(|link| !link.is_over()).cloned().collect()
    }

    /// Cuts every connection, also those that end already.
    pub(super) fn cut(&self) {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner).clone();
        links.iter().for_each(|link| link.cut());
    }

    async fn open(
        self: &Arc<Self>,
        role: Role,
        slot: OwnedSemaphorePermit,
    ) -> Result<ChannelSlot, WorkplaceError> {
        let gone = || unreachable(&self.name, Stage::Connect, "the service ends");
        let common = self.common.upgrade().ok_or_else(gone)?;
        if common.closed.load(Ordering::Acquire) {
            return Err(gone());
        }
        self.breaker().admit(&self.name, Instant::now())?;
        let opened = match common.permits(self.target.jumps.len() + 1).await {
            Ok(permits) => self.start(role, slot, &common, permits).await,
            Err(error) => Err(error),
        };
        let mut breaker = self.breaker();
        match &opened {
            Ok(_) => breaker.succeeded(),
            Err(error) => breaker.failed(error, Instant::now()),
        }
        opened
    }

    /// Starts the thread, and waits until it has connected. It goes on when nobody waits.
    async fn start(
        self: &Arc<Self>,
        role: Role,
        slot: OwnedSemaphorePermit,
        common: &Common,
        permits: Vec<Permit>,
    ) -> Result<ChannelSlot, WorkplaceError> {
        let (sender, connected) = oneshot::channel();
        let number = common.number.fetch_add(1, Ordering::Relaxed) + 1;
        let token = common.threads.token();
        let host = Arc::clone(self);
        let work = move || {
            host.connect_and_drive(role, permits, sender);
            drop((host, slot, token));
        };
        thread::Builder::new()
            .name(format!("evonic-ssh-{number}"))
            .spawn(work)
            .map_err(WorkplaceError::Threads)?;
        let gone = |_| unreachable(&self.name, Stage::Connect, "its thread ended");
        connected.await.map_err(gone)?
    }

    fn connect_and_drive(
        &self,
        role: Role,
        permits: Vec<Permit>,
        sender: oneshot::Sender<Result<ChannelSlot, WorkplaceError>>,
    ) {
        let started = connect(&self.target, &self.settings, permits, &mut ())
            .and_then(|connection| Started::new(connection, &self.name, role));
        let started = match started {
            Ok(started) => started,
            Err(error) => {
                // Whoever asked may have left.
                drop(sender.send(Err(error)));
                return;
            }
        };
        let link = Arc::clone(started.link());
        let place = link.place().ok_or_else(|| link.broke(Stage::Connect, "it is closed"));
        self.links.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&link));
        let closing = self.common.upgrade().is_none_or(|all| all.closed.load(Ordering::Acquire));
        if closing {
            link.end();
        }
        drop(sender.send(place));
        link::run(started, &self.settings);
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|other| !Arc::ptr_eq(other, &link));
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For status and metrics.
    pub(super) fn state(&self) -> HostState {
        let connections = u32::try_from(self.alive().len()).unwrap_or(u32::MAX);
        self.breaker().state(self.name.clone(), connections, Instant::now())
    }
}

/// Ends the link that nobody has used for the longest time.
fn end_one_unused<'a>(links: impl Iterator<Item = &'a Arc<Link>>) {
    let unused = links.map(|link| (link.usage(), link)).filter(|((users, _), _)| *users == 0);
    if let Some((_, link)) = unused.min_by_key(|((_, used), _)| *used) {
        link.end_if_unused();
    }
}

impl Common {
    /// So many permits at once. Where there are none, unused connections to any host give way.
    async fn permits(&self, count: usize) -> Result<Vec<Permit>, WorkplaceError> {
        let taken = async {
            let _door = self.permits.lock().await;
            let mut permits = Vec::new();
            while permits.len() < count {
                match self.budget.try_acquire(Kind::Ssh) {
                    Ok(permit) => permits.push(permit),
                    Err(_) => {
                        self.end_one_unused();
                        // What gives way takes a moment; what is given back wakes this one.
                        permits.push(self.budget.acquire(Kind::Ssh, PATIENCE).await?);
                    }
                }
            }
            Ok(permits)
        };
        let limit = u32::try_from(count).unwrap_or(u32::MAX);
        let late = |_| Exhausted { kind: Kind::Ssh, limit, retry_after: PATIENCE };
        timeout(PATIENCE * 2, taken).await.map_err(late)?
    }

    fn end_one_unused(&self) {
        let hosts = self.all.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let links: Vec<_> = hosts.iter().flat_map(|host| host.alive()).collect();
        end_one_unused(links.iter());
    }
}
