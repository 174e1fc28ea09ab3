//! The queue workers: one claimer takes turns from the store, as many at once as are configured,
//! and each runs in a task of its own.

mod look;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    task::{Id, JoinError, JoinSet},
    time::Instant,
};
use tracing::Instrument;

use self::look::{Among, Found, Look, Seen};
use super::{
    AgentDeps,
    admission::{Admission, Admitted, OwnPlace, Wish},
    alarm::Alarm,
    fairness::Holder,
    state::QueueState,
    turn::{Run, RunOutcome, SideReads, Signals},
    turn_writer::TurnWriter,
};
use evonic_domain::{TurnEnd, TurnError, TurnErrorCode};
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

/// Wishes for a place that may be unread; more wait to be sent.
const WISHES: usize = 16;

/// Claims turns and runs them.
#[derive(Debug)]
pub(super) struct Claimer {
    shared: Arc<QueueState>,
    deps: AgentDeps,
    pings: mpsc::Receiver<Ping>,
    turns: JoinSet<RunOutcome>,
    admission: Admission,
    wishes: (mpsc::Sender<Wish>, mpsc::Receiver<Wish>),
    /// Whether the queue changed since nobody was found in it who could be claimed.
    queue_dirty: bool,
    /// Whether somebody waited in it nevertheless, for want of a place.
    left_waiting: bool,
    /// When the first of the turns that wait until a time can be claimed.
    alarm: Alarm,
    /// Whether waits of before the machine's last start were looked at.
    waits_resumed: bool,
    /// After which place turns that wait for a budget are still to be looked at again.
    recheck: Option<u64>,
    side_reads: SideReads,
    backoff: Backoff,
    retry: Option<Instant>,
}

impl Claimer {
    pub(super) fn new(
        shared: Arc<QueueState>,
        deps: AgentDeps,
        pings: mpsc::Receiver<Ping>,
    ) -> Self {
        let admission = Admission::new(&deps.settings, deps.model_handles);
        let side_reads = SideReads::new(deps.file_handles);
        Self {
            shared,
            deps,
            pings,
            turns: JoinSet::new(),
            admission,
            wishes: mpsc::channel(WISHES),
            queue_dirty: true,
            left_waiting: false,
            alarm: Alarm::default(),
            waits_resumed: false,
            // A worker of before may have died in the middle of it.
            recheck: Some(0),
            side_reads,
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
            if !draining && self.queue_dirty && self.admission.has_room() {
                self.claim().await;
                continue;
            }
            // Who waits for a place while the worker drains hands over.
            if !draining {
                self.admission.grant_work();
            }
            tokio::select! {
                biased;
                Some(ping) = self.pings.recv() => self.answer(ping),
                Some(joined) = self.turns.join_next_with_id() => self.reap(joined),
                Some(wish) = self.wishes.1.recv() => self.wished(wish),
                () = drain.cancelled(), if !draining => {}
                () = self.shared.wake.notified() => self.queue_dirty = true,
                () = sleep_until(self.retry) => (self.retry, self.queue_dirty) = (None, true),
                () = self.alarm.rings() => self.queue_dirty = true,
            }
        }
    }

    /// Answers who asks whether the claimer lives, and sees whether time went on in some other way
    /// than a timer knows.
    fn answer(&mut self, ping: Ping) {
        // Who asked may have stopped waiting.
        let _ = ping.send(());
        self.queue_dirty |= self.alarm.is_late() || self.deps.store.wants_budget_recheck();
    }

    fn wished(&mut self, wish: Wish) {
        let freed = self.admission.wished(wish);
        self.queue_dirty |= freed && self.left_waiting;
    }

    /// Claims one turn and starts it, or lets one go on. Who gets the place is chosen within the
    /// claim's transaction.
    async fn claim(&mut self) {
        let stepped = self.alarm.clock_stepped();
        if self.deps.store.take_budget_recheck() || (stepped && self.recheck.is_none()) {
            self.recheck = Some(0);
        }
        let is_low = self.deps.store.is_low_on_space();
        let look = Look {
            generation: self.shared.generation.number(),
            snapshot: self.admission.snapshot(),
            among: if is_low { Among::Cancelled } else { Among::All },
            is_first: !self.waits_resumed,
            stepped,
            recheck: self.recheck,
        };
        let store = self.deps.store.clone();
        let claim = store.write(move |writer| look.run(writer));
        let mut claim = std::pin::pin!(claim);
        let mut freed = false;
        let seen = loop {
            tokio::select! {
                biased;
                // A database that lets nobody write makes no dead claimer, and keeps no model
                // from being asked.
                Some(ping) = self.pings.recv() => drop(ping.send(())),
                Some(wish) = self.wishes.1.recv() => freed |= self.admission.wished(wish),
                seen = &mut claim => break seen,
            }
        };
        let Seen { queued, last, found, recheck } = match seen {
            Ok(seen) => seen,
            Err(error) => return self.postpone(&error),
        };
        (self.waits_resumed, self.recheck) = (true, recheck);
        self.backoff.reset();
        self.admission.looked(&queued, last);
        match found {
            Found::Claimed(claimed, holder) => self.start(*claimed, holder),
            Found::Returning(turn) => self.admission.grant(&turn),
            Found::Nobody(next) => {
                self.alarm.set(next);
                self.left_waiting = !queued.is_empty();
                // A place that was freed meanwhile was none when it was looked.
                self.queue_dirty = recheck.is_some() || (freed && self.left_waiting);
                if is_low {
                    self.retry = Some(Instant::now() + ROOM_PAUSE);
                }
            }
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
        let place = OwnPlace::claimed(self.wishes.0.clone());
        let run = Run::new(self.deps.clone(), claimed, signals, place, self.side_reads.clone());
        let handle = self.turns.spawn(run.run().instrument(span));
        self.admission.begin(handle.id(), lease, holder);
    }

    /// Removes a turn that this worker does not run any more: another can be claimed, of the same
    /// session too.
    fn reap(&mut self, joined: Result<(Id, RunOutcome), JoinError>) {
        self.queue_dirty = true;
        match joined {
            Ok((id, outcome)) => {
                let Some(admitted) = self.admission.ended(id) else { return };
                let turn = &admitted.lease.turn_id;
                tracing::debug!(turn_id = turn.as_str(), ?outcome, "turn left");
                self.shared.left(turn, outcome);
                self.admission.left(&admitted);
            }
            Err(error) => self.end_panicked(&error),
        }
    }

    /// Ends a turn whose task panicked, as it cannot do so itself.
    fn end_panicked(&mut self, error: &JoinError) {
        let Some(admitted) = self.admission.ended(error.id()) else { return };
        let Admitted { lease, .. } = &admitted;
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
        self.admission.goes_on(handle.id(), admitted);
    }
}

/// Waits until then; for ever when there is none. Cancel safe.
pub(super) async fn sleep_until(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then).await,
        None => std::future::pending().await,
    }
}
