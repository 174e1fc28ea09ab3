//! The queue workers: one claimer takes turns from the store, as many at once as are configured,
//! and each runs in a task of its own.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    task::{Id, JoinError, JoinSet},
    time::Instant,
};
use tracing::Instrument;

use super::{
    AgentDeps,
    fairness::{Holder, Places},
    state::QueueState,
    turn::{Run, RunOutcome, Signals},
    turn_writer::TurnWriter,
};
use evonic_domain::{Lease, TurnEnd, TurnError, TurnErrorCode};
use evonic_shared::backoff::Backoff;
use evonic_store::{Claimed, StoreError};

/// The pause after a claim that the store refused; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Between two looks whether the disk has room again for turns that wait.
const ROOM_PAUSE: Duration = Duration::from_secs(1);

/// Asks whether the claimer lives.
pub(super) type Ping = oneshot::Sender<()>;

/// Claims turns and runs them.
#[derive(Debug)]
pub(super) struct Claimer {
    shared: Arc<QueueState>,
    deps: AgentDeps,
    pings: mpsc::Receiver<Ping>,
    turns: JoinSet<RunOutcome>,
    leases: HashMap<Id, (Lease, Holder)>,
    places: Places,
    /// Whether the queue changed since it was last found empty.
    queue_dirty: bool,
    backoff: Backoff,
    retry: Option<Instant>,
}

impl Claimer {
    pub(super) fn new(
        shared: Arc<QueueState>,
        deps: AgentDeps,
        pings: mpsc::Receiver<Ping>,
    ) -> Self {
        let (workers, reserved) = (deps.settings.workers, deps.settings.reserved_workers);
        Self {
            shared,
            deps,
            pings,
            turns: JoinSet::new(),
            leases: HashMap::new(),
            places: Places::new(workers, reserved),
            queue_dirty: true,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            retry: None,
        }
    }

    /// Claims until the worker drains, then waits for the last turn.
    pub(super) async fn run(mut self) {
        let drain = self.shared.drain.clone();
        loop {
            let draining = drain.is_cancelled();
            if draining && self.turns.is_empty() {
                return;
            }
            if !draining && self.queue_dirty && !self.places.is_full() {
                self.claim().await;
                continue;
            }
            tokio::select! {
                biased;
                // Who asked may have stopped waiting.
                Some(ping) = self.pings.recv() => drop(ping.send(())),
                Some(joined) = self.turns.join_next_with_id() => self.reap(joined),
                () = drain.cancelled(), if !draining => {}
                () = self.shared.wake.notified() => self.queue_dirty = true,
                () = sleep_until(self.retry) => (self.retry, self.queue_dirty) = (None, true),
            }
        }
    }

    /// Claims one turn and starts it. Who gets the place is chosen within the claim's transaction.
    async fn claim(&mut self) {
        if self.deps.store.is_low_on_space() {
            // What is free is for the turns that run.
            (self.queue_dirty, self.retry) = (false, Some(Instant::now() + ROOM_PAUSE));
            return;
        }
        let generation = self.shared.generation.number();
        let mut places = self.places.clone();
        let store = self.deps.store.clone();
        let claim = store.write(move |writer| {
            let waiting = writer.waiting_turns()?;
            places.forget_served(&waiting);
            let Some(turn) = places.choose(&waiting) else { return Ok(None) };
            let holder = Holder::of(turn);
            places.take(holder.clone(), writer.last_position()?);
            writer.ensure_generation(generation, std::process::id())?;
            Ok(Some((writer.claim_turn(generation, &turn.turn_id)?, holder, places)))
        });
        let mut claim = std::pin::pin!(claim);
        let claimed = loop {
            tokio::select! {
                biased;
                // A database that lets nobody write makes no dead claimer.
                Some(ping) = self.pings.recv() => drop(ping.send(())),
                claimed = &mut claim => break claimed,
            }
        };
        match claimed {
            Ok(Some((claimed, holder, places))) => {
                self.places = places;
                self.start(claimed, holder);
            }
            Ok(None) => self.queue_dirty = false,
            Err(error) => self.postpone(&error),
        }
    }

    fn postpone(&mut self, error: &StoreError) {
        let pause = self.backoff.next_ceiling();
        let retry_ms = pause.as_millis();
        let error_source = error as &dyn std::error::Error;
        // What is wrong with the database is in the log already.
        if error.state().is_some() {
            tracing::debug!(error = error_source, retry_ms, "no turn can be claimed");
        } else {
            tracing::warn!(error = error_source, retry_ms, "no turn can be claimed");
        }
        self.queue_dirty = false;
        self.retry = Some(Instant::now() + pause);
    }

    fn start(&mut self, claimed: Claimed, holder: Holder) {
        self.backoff.reset();
        let lease = claimed.lease.clone();
        let span = tracing::info_span!(
            "invoke_agent",
            gen_ai.agent.name = claimed.agent.name.as_str(),
            turn_id = lease.turn_id.as_str(),
            session_id = lease.session_id.as_str(),
            generation = lease.generation,
            request_id = claimed.turn.request_id,
        );
        tracing::debug!(parent: &span, "turn claimed");
        if claimed.takeovers > 0 {
            let takeovers = claimed.takeovers;
            tracing::warn!(parent: &span, takeovers, "workers died while they had this turn");
        }
        let cancel = self.shared.running_turns.insert(lease.turn_id.clone());
        let signals = Signals {
            stop: cancel.child_token(),
            cancel,
            drain: self.shared.drain.clone(),
            abandon: self.shared.abandon.clone(),
        };
        let run = Run::new(self.deps.clone(), claimed, signals);
        let handle = self.turns.spawn(run.run().instrument(span));
        self.leases.insert(handle.id(), (lease, holder));
    }

    /// Removes a turn that this worker does not run any more: another can be claimed, of the same
    /// session too.
    fn reap(&mut self, joined: Result<(Id, RunOutcome), JoinError>) {
        self.queue_dirty = true;
        match joined {
            Ok((id, outcome)) => {
                let Some((lease, holder)) = self.leases.remove(&id) else { return };
                self.places.give_back(&holder);
                tracing::debug!(turn_id = lease.turn_id.as_str(), ?outcome, "turn left");
                self.shared.left(&lease.turn_id, outcome);
            }
            Err(error) => self.end_panicked(&error),
        }
    }

    /// Ends a turn whose task panicked, as it cannot do so itself.
    fn end_panicked(&mut self, error: &JoinError) {
        let Some((lease, holder)) = self.leases.remove(&error.id()) else { return };
        tracing::error!(turn_id = lease.turn_id.as_str(), %error, "turn has a defect");
        let abandon = self.shared.abandon.clone();
        let turn_writer = TurnWriter::new(self.deps.store.clone(), lease.clone(), abandon);
        let error = TurnError::new(TurnErrorCode::Internal, "the turn's own task broke");
        let end = TurnEnd::Failed(error);
        let handle = self.turns.spawn(async move {
            match turn_writer.commit(move |writer, lease| writer.end_turn(lease, end.clone())).await
            {
                Ok(()) => RunOutcome::Ended,
                Err(_) => RunOutcome::StillOwned,
            }
        });
        self.leases.insert(handle.id(), (lease, holder));
    }
}

/// Waits until then; for ever when there is none. Cancel safe.
pub(super) async fn sleep_until(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then).await,
        None => std::future::pending().await,
    }
}
