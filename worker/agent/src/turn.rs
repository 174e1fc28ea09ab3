//! One turn on its way: a state machine whose every step is committed before the next begins.
//!
//! ```text
//! claimed
//!    |
//!    v
//! boundary <------------------------------------------------------------+
//!    |-- interrupted call ---> followed, or found out -> finish_call ---+
//!    |                    \--> outcome unknown -> reported, or started again +
//!    |-- cancel requested ---> every open call answered -> cancelled    |
//!    |-- worker drains ------> handed over                              |
//!    |-- open call ----------> start_call -> runs -> finish_call -------+
//!    |-- else ---------------> model is asked -> reply with calls ------+
//!    |                                       \-> reply without -> completed
//!    |-- too many replies, or model or machinery broken -> failed
//! anywhere: fenced, or abandoned -> left as it stands in the database
//! in a model call, or a call that another worker can continue: worker drains -> handed over
//! ```
//!
//! What stands in the database is enough to continue from every arrow.

mod ask;
mod call;
mod lost;
mod messages;

use std::{ops::ControlFlow, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    AgentDeps,
    step::{Step, TurnSnapshot, next_step},
    turn_writer::{GaveUp, TurnWriter},
};
use evonic_domain::{Agent, EventKind, Item, Lease, ToolCall, ToolSpec, TurnEnd, TurnError};
use evonic_shared::error_chain::ErrorChain;
use evonic_store::{Claimed, PendingCall, StoreError, Writer};
use evonic_tools::{ToolResult, Toolbox, User};
use evonic_workplace::WorkplaceError;

/// How a turn left this worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunOutcome {
    /// It ended.
    Ended,
    /// It waits for the successor.
    HandedOver,
    /// It is another worker's.
    Fenced,
    /// It is still this worker's in the database, until this process is dead.
    StillOwned,
}

/// What a running turn listens to.
#[derive(Clone, Debug)]
pub(super) struct Signals {
    /// A client asked to cancel this turn.
    pub(super) cancel: CancellationToken,
    /// The worker drains: hand over at the next boundary.
    pub(super) drain: CancellationToken,
    /// The worker's time to drain is nearly over: hand over what can be repeated, now.
    pub(super) abandon: CancellationToken,
}

/// Between two attempts to end a turn for which the store is broken.
const BROKEN_PAUSE: Duration = Duration::from_secs(15);

/// Continues with the turn, or leaves it.
type Flow<T = ()> = ControlFlow<RunOutcome, T>;

/// A claimed turn.
#[derive(Debug)]
pub(super) struct Run {
    deps: AgentDeps,
    turn_writer: TurnWriter,
    agent: Agent,
    specs: Vec<ToolSpec>,
    /// The tools at the workplace where they were used last.
    toolbox: Option<(String, Toolbox)>,
    interrupted: Option<PendingCall>,
    /// The interrupted call, when it is to be started a second time.
    again: Option<PendingCall>,
    /// Whether text was published that no step has completed, and why it is void by now.
    void_text: Option<String>,
    transcript: Vec<Item>,
    signals: Signals,
}

impl Run {
    /// The run of a turn that this worker has just claimed.
    pub(super) fn new(deps: AgentDeps, claimed: Claimed, signals: Signals) -> Self {
        let Claimed { lease, turn: _, agent, interrupted, partial_text, predecessor } = claimed;
        let turn_writer = TurnWriter::new(deps.store.clone(), lease, signals.abandon.clone());
        let specs = deps.tools.registry().specs(agent.tools.as_deref());
        let void_text = partial_text.then(|| messages::worker_stopped(predecessor));
        let transcript = Vec::new();
        Self {
            deps,
            turn_writer,
            agent,
            specs,
            toolbox: None,
            interrupted,
            again: None,
            void_text,
            transcript,
            signals,
        }
    }

    /// Runs it until it leaves this worker.
    pub(super) async fn run(mut self) -> RunOutcome {
        let mut flow = self.load().await;
        loop {
            match flow {
                ControlFlow::Continue(()) => flow = self.step().await,
                ControlFlow::Break(left) => return left,
            }
        }
    }

    /// Loads the turn's transcript, and whether it is cancelled.
    async fn load(&mut self) -> Flow {
        // The turn is registered by now: a cancel is either seen here or fires its token.
        let result = self.turn_writer.read(|reader, lease| {
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
        let settings = &self.deps.settings;
        let (max_steps, max_takeovers) = (settings.max_steps, settings.max_takeovers);
        let interrupted = self.interrupted.as_ref();
        let step = next_step(&TurnSnapshot {
            transcript: &self.transcript,
            interrupted,
            effect: interrupted
                .and_then(|pending| self.spec(&pending.call.name))
                .map(|spec| spec.effect),
            cancelled: self.signals.cancel.is_cancelled(),
            draining: self.signals.drain.is_cancelled(),
            max_steps,
            max_takeovers,
        });
        match step {
            Step::Resume(pending) => match self.again.take() {
                Some(again) if !self.signals.cancel.is_cancelled() => self.start(again).await,
                _ => self.resume(pending).await,
            },
            Step::Settle(pending) => self.settle(pending).await,
            Step::Call(call) => self.call(call).await,
            Step::Ask => self.ask().await,
            Step::HandOver => self.hand_over().await,
            Step::Cancel => ControlFlow::Break(self.end(TurnEnd::Cancelled).await),
            Step::Complete { text } => {
                ControlFlow::Break(self.end(TurnEnd::Completed { text }).await)
            }
            Step::TooManySteps => {
                ControlFlow::Break(self.fail(messages::too_many_steps(max_steps)).await)
            }
        }
    }

    /// Commits a call's result, after the last of its output, and remembers it; where `failed` is
    /// given, with the turn's end.
    async fn finish(
        &mut self,
        call: ToolCall,
        result: ToolResult,
        last: Shown,
        failed: Option<TurnError>,
    ) -> Flow {
        let ToolResult { outcome, content } = result;
        let item = Item::ToolResult {
            call_id: call.id.clone(),
            name: call.name.clone(),
            outcome,
            content: content.clone(),
        };
        let ends = failed.is_some();
        if let Some(error) = &failed {
            tracing::warn!(code = error.code.name(), reason = error.message, "turn failed");
        }
        self.commit(move |writer, lease| {
            last.write(writer, lease, &call.id)?;
            writer.finish_call(lease, &call, outcome, content.clone())?;
            let end = failed.clone().map(TurnEnd::Failed);
            end.map_or(Ok(()), |end| writer.end_turn(lease, end))
        })
        .await?;
        self.interrupted = None;
        self.transcript.push(item);
        if ends { ControlFlow::Break(RunOutcome::Ended) } else { ControlFlow::Continue(()) }
    }

    /// The tools at a workplace, for this turn's agent and session.
    async fn toolbox(&mut self, workplace: &str) -> Result<Toolbox, WorkplaceError> {
        if let Some((_, toolbox)) = self.toolbox.as_ref().filter(|(there, _)| there == workplace) {
            return Ok(toolbox.clone());
        }
        let session = self.turn_writer.lease.session_id.clone();
        let user = User { session, others: self.agent.other_workplaces.clone() };
        let toolbox = self.deps.tools.open(workplace, user).await?;
        self.toolbox = Some((workplace.to_owned(), toolbox.clone()));
        Ok(toolbox)
    }

    /// Hands the turn over: at a step boundary, in a model call, which can be repeated, or in a
    /// call that another worker can continue.
    async fn hand_over(&self) -> Flow {
        self.commit(|writer, lease| writer.hand_over(lease)).await?;
        ControlFlow::Break(RunOutcome::HandedOver)
    }

    /// Ends the turn as failed.
    async fn fail(&self, error: TurnError) -> RunOutcome {
        tracing::warn!(code = error.code.name(), reason = error.message, "turn failed");
        self.end(TurnEnd::Failed(error)).await
    }

    /// Ends the turn. The store answers the calls that did not run.
    async fn end(&self, end: TurnEnd) -> RunOutcome {
        match self.try_end(end).await {
            Ok(()) => RunOutcome::Ended,
            Err(gave_up) => self.give_up(gave_up).await,
        }
    }

    async fn try_end(&self, end: TurnEnd) -> Result<(), GaveUp> {
        self.turn_writer.commit(move |writer, lease| writer.end_turn(lease, end.clone())).await
    }

    /// Commits a write of this turn; leaves the turn when that is given up.
    async fn commit<T, F>(&self, write: F) -> Flow<T>
    where
        T: Send + 'static,
        F: Fn(&mut Writer<'_>, &Lease) -> Result<T, StoreError> + Send + Sync + 'static,
    {
        match self.turn_writer.commit(write).await {
            Ok(value) => ControlFlow::Continue(value),
            Err(gave_up) => ControlFlow::Break(self.give_up(gave_up).await),
        }
    }

    /// What becomes of the turn when a write is given up. A store that broke in the middle of it
    /// may take its end, now or later: until then the turn is this worker's, and nothing waits for
    /// its replacement.
    async fn give_up(&self, gave_up: GaveUp) -> RunOutcome {
        let error = match gave_up {
            GaveUp::Fenced => return RunOutcome::Fenced,
            GaveUp::Abandoned => return RunOutcome::StillOwned,
            GaveUp::Broken(error) => ErrorChain(&error).to_string(),
        };
        tracing::error!(error, "store is broken for this turn");
        let end = TurnEnd::Failed(messages::internal(error));
        loop {
            match self.try_end(end.clone()).await {
                Ok(()) => return RunOutcome::Ended,
                Err(GaveUp::Fenced) => return RunOutcome::Fenced,
                Err(GaveUp::Abandoned) => return RunOutcome::StillOwned,
                Err(GaveUp::Broken(_)) => {}
            }
            tokio::select! {
                () = self.signals.abandon.cancelled() => return RunOutcome::StillOwned,
                () = tokio::time::sleep(BROKEN_PAUSE) => {}
            }
        }
    }

    /// A tool, whether or not this agent may call it now.
    fn spec(&self, name: &str) -> Option<&ToolSpec> {
        self.deps.tools.registry().spec(name)
    }
}

/// Pending output of a call, and how far it is shown with it.
#[derive(Clone, Debug, Default)]
struct Shown {
    text: Option<String>,
    output_offset: u64,
}

impl Shown {
    fn write(
        &self,
        writer: &mut Writer<'_>,
        lease: &Lease,
        call_id: &str,
    ) -> Result<(), StoreError> {
        match &self.text {
            Some(text) => writer.show_output(lease, call_id, text.clone(), self.output_offset),
            None => Ok(()),
        }
    }
}

/// Appends events, if there are any.
fn append(writer: &mut Writer<'_>, lease: &Lease, events: &[EventKind]) -> Result<(), StoreError> {
    if events.is_empty() { Ok(()) } else { writer.append(lease, events.to_vec()) }
}

/// A name that no other command ever has.
fn command_id() -> String {
    format!("call_{}", uuid::Uuid::now_v7().simple())
}
