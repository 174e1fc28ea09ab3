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
    AgentDeps, Shared,
    commit::Desk,
    turn::{Left, Run, Signals},
};
use evonic_domain::{Lease, TurnEnd, TurnError, TurnErrorCode};
use evonic_store::{Claimed, StoreError};

/// The pause after a claim that the store refused; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A question whether the claimer lives.
pub(super) type Ping = oneshot::Sender<()>;

/// Claims turns and runs them.
#[derive(Debug)]
pub(super) struct Claimer {
    shared: Arc<Shared>,
    bench: AgentDeps,
    pings: mpsc::Receiver<Ping>,
    turns: JoinSet<Left>,
    leases: HashMap<Id, Lease>,
    /// Whether the queue may hold a turn that was not looked for yet.
    curious: bool,
    pause: Duration,
    retry: Option<Instant>,
}

impl Claimer {
    pub(super) fn new(shared: Arc<Shared>, bench: AgentDeps, pings: mpsc::Receiver<Ping>) -> Self {
        Self {
            shared,
            bench,
            pings,
            turns: JoinSet::new(),
            leases: HashMap::new(),
            curious: true,
            pause: FIRST_PAUSE,
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
            if !draining && self.curious && self.has_room() {
                self.claim().await;
                continue;
            }
            tokio::select! {
                biased;
                Some(ping) = self.pings.recv() => answer(ping),
                Some(joined) = self.turns.join_next_with_id() => self.reap(joined),
                () = drain.cancelled(), if !draining => {}
                () = self.shared.wake.notified() => self.curious = true,
                () = at(self.retry) => self.look_again(),
            }
        }
    }

    fn has_room(&self) -> bool {
        self.turns.len() < self.bench.settings.workers as usize
    }

    fn look_again(&mut self) {
        self.retry = None;
        self.curious = true;
    }

    /// Claims one turn and starts it.
    async fn claim(&mut self) {
        let generation = self.shared.generation.number();
        match self.bench.store.write(move |writer| writer.claim_turn(generation)).await {
            Ok(Some(claimed)) => self.start(claimed),
            Ok(None) => self.curious = false,
            Err(error) => self.put_off(&error),
        }
    }

    fn put_off(&mut self, error: &StoreError) {
        let retry_ms = self.pause.as_millis();
        tracing::warn!(error = error as &dyn std::error::Error, retry_ms, "no turn can be claimed");
        self.curious = false;
        self.retry = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    fn start(&mut self, claimed: Claimed) {
        self.pause = FIRST_PAUSE;
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
        let signals = Signals {
            cancel: self.shared.roster.enter(lease.turn_id.clone()),
            drain: self.shared.drain.clone(),
            let_go: self.shared.let_go.clone(),
        };
        let run = Run::new(self.bench.clone(), claimed, signals);
        let handle = self.turns.spawn(run.run().instrument(span));
        self.leases.insert(handle.id(), lease);
    }

    /// Strikes off a turn that left. Its place is free, and so is its session.
    fn reap(&mut self, joined: Result<(Id, Left), JoinError>) {
        self.curious = true;
        match joined {
            Ok((id, left)) => {
                let Some(lease) = self.leases.remove(&id) else { return };
                tracing::debug!(turn_id = lease.turn_id.as_str(), ?left, "turn left");
                self.shared.left(&lease.turn_id, left);
            }
            Err(error) => self.bury(&error),
        }
    }

    /// Ends a turn whose own task broke: nobody else will.
    fn bury(&mut self, error: &JoinError) {
        let Some(lease) = self.leases.remove(&error.id()) else { return };
        tracing::error!(turn_id = lease.turn_id.as_str(), %error, "turn has a defect");
        let let_go = self.shared.let_go.clone();
        let desk = Desk::new(self.bench.store.clone(), lease.clone(), let_go);
        let end = TurnEnd::Failed(TurnError {
            code: TurnErrorCode::Internal,
            message: "the turn's own task broke".to_owned(),
        });
        let handle = self.turns.spawn(async move {
            match desk.commit(move |writer, lease| writer.end_turn(lease, end.clone())).await {
                Ok(()) => Left::Ended,
                Err(_) => Left::Kept,
            }
        });
        self.leases.insert(handle.id(), lease);
    }
}

fn answer(ping: Ping) {
    // Who asked may have stopped waiting.
    let _ = ping.send(());
}

/// Waits until then; for ever without a then.
async fn at(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then).await,
        None => std::future::pending().await,
    }
}
