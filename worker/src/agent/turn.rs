//! One turn on its way: a state machine whose every step is committed before the next begins.
//!
//! ```text
//! claimed
//!    |
//!    v
//! boundary <------------------------------------------------------------+
//!    |-- interrupted change -> killed, answered as unknown -------------+
//!    |-- cancel requested ---> every open call answered -> cancelled    |
//!    |-- worker drains ------> handed over                              |
//!    |-- open call ----------> start_call -> runs -> finish_call -------+
//!    |-- else ---------------> model is asked -> reply with calls ------+
//!    |                                       \-> reply without -> completed
//!    |-- too many replies, or model or machinery broken -> failed
//! anywhere: fenced, or let go of -> left as it stands in the database
//! ```
//!
//! What stands in the database is enough to go on from every arrow; nothing else is kept.

mod ask;
mod call;
mod words;

use std::ops::ControlFlow;

use tokio_util::sync::CancellationToken;

use super::{
    Bench,
    commit::{Desk, GaveUp},
    sentence,
    step::{Standing, Step, next_step},
};
use crate::{
    domain::{Agent, EventKind, Item, Lease, Outcome, ToolCall, TurnEnd, TurnError},
    store::{Claimed, PendingCall, StoreError, Writer},
    tools::{Effect, ToolSpec},
};

/// How a turn left this worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// It ended.
    Ended,
    /// It waits for the successor, at a step boundary.
    HandedOver,
    /// It is another worker's.
    Fenced,
    /// It is still this worker's in the database, until this process is dead.
    Kept,
}

/// What a running turn listens to.
#[derive(Clone, Debug)]
pub(super) struct Signals {
    /// A client asked to cancel this turn.
    pub(super) cancel: CancellationToken,
    /// The worker drains: hand over at the next boundary.
    pub(super) drain: CancellationToken,
    /// The worker's patience is nearly over: hand over what can be repeated, now.
    pub(super) let_go: CancellationToken,
}

/// Goes on with the turn, or leaves it.
type Flow<T = ()> = ControlFlow<Left, T>;

/// A claimed turn.
#[derive(Debug)]
pub(super) struct Run {
    bench: Bench,
    desk: Desk,
    agent: Agent,
    specs: Vec<ToolSpec>,
    interrupted: Option<PendingCall>,
    /// Whether text was published that no step has completed, and why it is void by now.
    void_text: Option<String>,
    transcript: Vec<Item>,
    signals: Signals,
}

impl Run {
    /// The run of a turn that this worker has just claimed.
    pub(super) fn new(bench: Bench, claimed: Claimed, signals: Signals) -> Self {
        let Claimed { lease, turn: _, agent, interrupted, partial_text, predecessor } = claimed;
        let desk = Desk::new(bench.store.clone(), lease, signals.let_go.clone());
        let specs = bench.tools.specs(agent.tools.as_deref());
        let void_text = partial_text.then(|| words::worker_stopped(predecessor));
        let transcript = Vec::new();
        Self { bench, desk, agent, specs, interrupted, void_text, transcript, signals }
    }

    /// Runs it until it leaves this worker.
    pub(super) async fn run(mut self) -> Left {
        let mut flow = self.read_up().await;
        loop {
            match flow {
                ControlFlow::Continue(()) => flow = self.step().await,
                ControlFlow::Break(left) => return left,
            }
        }
    }

    /// Reads where the turn stands.
    async fn read_up(&mut self) -> Flow {
        // The queue knows the turn by now: a cancel is either seen here or told to its token.
        let result = self.desk.read(|reader, lease| {
            let cancels = reader.cancels(std::slice::from_ref(&lease.turn_id))?;
            Ok((reader.transcript(&lease.turn_id)?, !cancels.is_empty()))
        });
        let (transcript, cancelled) = match result.await {
            Ok(read) => read,
            Err(gave_up) => return ControlFlow::Break(self.give_up(gave_up).await),
        };
        self.transcript = transcript;
        if cancelled {
            self.signals.cancel.cancel();
        }
        ControlFlow::Continue(())
    }

    /// Takes one step, from boundary to boundary.
    async fn step(&mut self) -> Flow {
        let max_steps = self.bench.settings.max_steps;
        let interrupted = self.interrupted.as_ref();
        let step = next_step(&Standing {
            transcript: &self.transcript,
            interrupted,
            effect: interrupted.and_then(|pending| self.effect(&pending.call.name)),
            cancelled: self.signals.cancel.is_cancelled(),
            draining: self.signals.drain.is_cancelled(),
            max_steps,
        });
        match step {
            Step::Settle(pending) => self.settle(pending).await,
            Step::Call(call) => self.call(call).await,
            Step::Ask => self.ask().await,
            Step::HandOver => self.hand_over().await,
            Step::Cancel => ControlFlow::Break(self.end(TurnEnd::Cancelled).await),
            Step::Complete { text } => {
                ControlFlow::Break(self.end(TurnEnd::Completed { text }).await)
            }
            Step::TooManySteps => {
                ControlFlow::Break(self.fail(words::too_many_steps(max_steps)).await)
            }
        }
    }

    /// Answers a call whose worker died while it ran: what is left of it is killed, and the agent
    /// is told precisely what is known.
    async fn settle(&mut self, pending: PendingCall) -> Flow {
        let killed = self.bench.tools.clear(&pending.mark).await;
        tracing::info!(call_id = pending.call.id, killed, "interrupted call settled");
        self.finish(pending.call, Outcome::Unknown, words::unknown_outcome(killed), Vec::new())
            .await
    }

    /// Commits a call's result, after the last of its output, and remembers it.
    async fn finish(
        &mut self,
        call: ToolCall,
        outcome: Outcome,
        content: String,
        last: Vec<EventKind>,
    ) -> Flow {
        let item = Item::ToolResult {
            call_id: call.id.clone(),
            name: call.name.clone(),
            outcome,
            content: content.clone(),
        };
        self.commit(move |writer, lease| {
            append(writer, lease, &last)?;
            writer.finish_call(lease, &call, outcome, content.clone())
        })
        .await?;
        self.interrupted = None;
        self.transcript.push(item);
        ControlFlow::Continue(())
    }

    /// Hands the turn over: at a step boundary, or in a model call, which can be repeated.
    async fn hand_over(&self) -> Flow {
        self.commit(|writer, lease| writer.hand_over(lease)).await?;
        ControlFlow::Break(Left::HandedOver)
    }

    /// Ends the turn as failed.
    async fn fail(&self, error: TurnError) -> Left {
        tracing::warn!(code = error.code, reason = error.message, "turn failed");
        self.end(TurnEnd::Failed(error)).await
    }

    /// Ends the turn. The store answers the calls that did not run.
    async fn end(&self, end: TurnEnd) -> Left {
        match self.try_end(end).await {
            Ok(()) => Left::Ended,
            Err(gave_up) => self.give_up(gave_up).await,
        }
    }

    async fn try_end(&self, end: TurnEnd) -> Result<(), GaveUp> {
        self.desk.commit(move |writer, lease| writer.end_turn(lease, end.clone())).await
    }

    /// Commits a write of this turn; leaves the turn when that is given up.
    async fn commit<T, F>(&self, write: F) -> Flow<T>
    where
        T: Send + 'static,
        F: Fn(&mut Writer<'_>, &Lease) -> Result<T, StoreError> + Send + Sync + 'static,
    {
        match self.desk.commit(write).await {
            Ok(value) => ControlFlow::Continue(value),
            Err(gave_up) => ControlFlow::Break(self.give_up(gave_up).await),
        }
    }

    /// What becomes of the turn when a write is given up. A store that broke in the middle of it
    /// may still take its end.
    async fn give_up(&self, gave_up: GaveUp) -> Left {
        let error = match gave_up {
            GaveUp::Fenced => return Left::Fenced,
            GaveUp::LetGo => return Left::Kept,
            GaveUp::Broken(error) => sentence(&error),
        };
        tracing::error!(error, "store is broken for this turn");
        let end = TurnEnd::Failed(words::internal(error));
        match self.try_end(end).await {
            Ok(()) => Left::Ended,
            Err(GaveUp::Fenced) => Left::Fenced,
            Err(GaveUp::LetGo | GaveUp::Broken(_)) => Left::Kept,
        }
    }

    /// What a tool does to the world, whether or not this agent may call it now.
    fn effect(&self, name: &str) -> Option<Effect> {
        self.bench.tools.specs(None).iter().find(|spec| spec.name == name).map(|spec| spec.effect)
    }
}

/// Appends events, if there are any.
fn append(writer: &mut Writer<'_>, lease: &Lease, events: &[EventKind]) -> Result<(), StoreError> {
    if events.is_empty() { Ok(()) } else { writer.append(lease, events.to_vec()) }
}
