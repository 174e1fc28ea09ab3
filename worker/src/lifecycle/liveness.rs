//! Proofs of life: a round trip through the real queue of each part, and how old the last one is.
//!
//! The control thread calls for a round before each heartbeat; each part answers in a task of its
//! own, so that one that hangs takes no other with it, and never twice at the same time.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use evonic_shared::control::Part;
use tokio::{sync::Notify, task::JoinSet};

use evonic_agent::Agents;
use evonic_handles::Waker;
use evonic_http::Server;
use evonic_retention::Retention;
use evonic_store::Store;
use evonic_workplace::Workplaces;

/// When each part last proved itself; readable from any thread.
#[derive(Debug)]
pub(super) struct Liveness {
    start: Instant,
    parts: [PartProof; Part::ALL.len()],
    /// Parts that the current round still waits for.
    open: AtomicU32,
    /// Woken when the round is complete.
    waker: Waker,
}

#[derive(Debug, Default)]
struct PartProof {
    /// Milliseconds from the start to the end of the last proof.
    proved: AtomicU64,
    called: Notify,
}

impl Liveness {
    /// A liveness whose parts are as old as it is itself.
    pub(super) fn new(waker: Waker) -> Arc<Self> {
        let parts = Part::ALL.map(|_| PartProof::default());
        let open = AtomicU32::new(0);
        Arc::new(Self { start: Instant::now(), parts, open, waker })
    }

    /// Calls every part. One that still answers an earlier call answers once more.
    pub(super) fn call(&self) {
        self.open.store(Part::ALL.len() as u32, Ordering::SeqCst);
        for part in &self.parts {
            part.called.notify_one();
        }
    }

    /// Whether every part answered since the last call.
    pub(super) fn is_complete(&self) -> bool {
        self.open.load(Ordering::SeqCst) == 0
    }

    /// Age of each part's last proof, in milliseconds.
    pub(super) fn ages(&self) -> BTreeMap<Part, u64> {
        let now = self.now();
        let age = |part: Part| now.saturating_sub(self.part(part).proved.load(Ordering::SeqCst));
        Part::ALL.into_iter().map(|part| (part, age(part))).collect()
    }

    fn part(&self, part: Part) -> &PartProof {
        &self.parts[part as usize]
    }

    async fn called(&self, part: Part) {
        self.part(part).called.notified().await;
    }

    /// Answers the next call without a proof.
    #[cfg(test)]
    pub(super) async fn answer_once(&self, part: Part) {
        self.called(part).await;
        self.proved(part);
    }

    fn proved(&self, part: Part) {
        self.part(part).proved.store(self.now(), Ordering::SeqCst);
        let one_less = |open: u32| open.checked_sub(1);
        let open = self.open.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
        if open == Ok(1) {
            self.waker.wake();
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The parts that prove themselves.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    /// [`Part::Http`].
    pub(super) server: Arc<Server>,
    /// [`Part::Store`].
    pub(super) store: Store,
    /// [`Part::Agents`].
    pub(super) agents: Agents,
    /// Where tools act; other machines are no sign of this worker's life.
    pub(super) workplaces: Workplaces,
    /// What looks after the database; nobody waits for it.
    pub(super) retention: Retention,
}

impl Parts {
    /// Proves one part.
    async fn prove(&self, part: Part) -> Result<(), String> {
        match part {
            Part::Http => self.server.ping().await,
            Part::Store => self.store.ping().await.map_err(|error| error.to_string()),
            Part::Agents => {
                self.agents.ping().await;
                Ok(())
            }
        }
    }
}

/// Starts a task for each part that answers for it until it is dropped, after every part has proved
/// itself once: only then can the worker say that it is ready.
pub(super) async fn start_answering(parts: &Parts, liveness: &Arc<Liveness>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for part in Part::ALL {
        tasks.spawn(first_proof(parts.clone(), Arc::clone(liveness), part));
    }
    while tasks.join_next().await.is_some() {}
    for part in Part::ALL {
        tasks.spawn(answer(parts.clone(), Arc::clone(liveness), part));
    }
    tasks
}

/// How long a part that refused waits until it is asked again, before the worker is ready.
const FIRST_PROOF_PAUSE: Duration = Duration::from_millis(20);

async fn first_proof(parts: Parts, liveness: Arc<Liveness>, part: Part) {
    while let Err(reason) = parts.prove(part).await {
        tracing::warn!(%part, reason, "part does not prove itself");
        tokio::time::sleep(FIRST_PROOF_PAUSE).await;
    }
    liveness.proved(part);
}

async fn answer(parts: Parts, liveness: Arc<Liveness>, part: Part) {
    loop {
        liveness.called(part).await;
        match parts.prove(part).await {
            Ok(()) => liveness.proved(part),
            Err(reason) => tracing::warn!(%part, reason, "part does not prove itself"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_does_not_answer_grows_old_alone() {
        let (waker, wakeups) = Waker::open().unwrap();
        let liveness = Liveness::new(waker);
        liveness.call();
        liveness.proved(Part::Http);
        liveness.proved(Part::Store);
        assert!(!liveness.is_complete());
        assert!(!wakeups.clear(), "woken before the round is complete");
        let deadline = Instant::now() + Duration::from_secs(5);
        while liveness.ages()[&Part::Agents] < 20 {
            assert!(Instant::now() < deadline, "{:?}", liveness.ages());
            std::thread::yield_now();
        }
        liveness.proved(Part::Http);
        let ages = liveness.ages();
        assert!(ages[&Part::Agents] >= ages[&Part::Http] + 20, "{ages:?}");
    }

    #[test]
    fn the_last_answer_wakes() {
        let (waker, wakeups) = Waker::open().unwrap();
        let liveness = Liveness::new(waker);
        for _ in 0..3 {
            liveness.call();
            Part::ALL.iter().for_each(|&part| liveness.proved(part));
            assert!(liveness.is_complete());
            assert!(wakeups.clear());
        }
        liveness.proved(Part::Http);
        assert!(!wakeups.clear(), "a late answer to an earlier call counts for nothing");
    }
}
