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
//!    |-- out of time --------> every open call answered -> failed       |
//!    |-- worker drains ------> handed over                              |
//!    |-- open call ----------> place -> start_call -> runs -> finish_call +
//!    |-- open calls that read -> place -> start_call each -> run -> finish_call each +
//!    |-- budget spent -------> left until the next period, or failed
//!    |-- too much to send ---> compacted -------------------------------+
//!    |-- else ---------------> call place -> model is asked -> reply with calls ------+
//!    |                                       \-> reply without -> completed
//!    |-- too many replies, or model or machinery broken -> failed
//!    |-- the model is to be asked later -> left until then
//! anywhere: fenced, or abandoned -> left as it stands in the database
//! in a model call, or a call that another worker can continue: worker drains -> handed over
//! ```
//!
//! A turn that workers died with again and again fails right after its claim, and is only then
//! cleared: nothing of it is touched before.
//!
//! What stands in the database is enough to continue from every arrow.

mod ask;
mod budget;
mod call;
mod compact;
mod ending;
mod kill;
mod load;
mod lost;
mod messages;
mod output;
mod reads;
mod result;
mod summarise;
mod window;

pub(super) use self::reads::SideReads;

use std::{collections::HashSet, ops::ControlFlow, sync::Arc};

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::{compact::Fitting, output::Output};
use super::{
    AgentDeps,
    admission::{OwnPlace, Place},
    context::{Context, estimate},
    repeats::LoopGuard,
    step::{Step, Stop, TurnSnapshot, next_step},
    turn_writer::TurnWriter,
};
use evonic_domain::{Agent, EventKind, Item, Lease, ToolSpec, TurnEnd, TurnError, TurnErrorCode};
use evonic_model::{Model, Tried};
use evonic_store::{Claimed, PendingCall, StoreError, Writer};
use evonic_tools::{Effect, Toolbox, User};
use evonic_workplace::WorkplaceError;

/// How a turn left this worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunOutcome {
    /// It ended.
    Ended,
    /// It waits for the successor.
    HandedOver,
    /// It waits until a time, for whichever worker lives then.
    Waits,
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
    /// What the turn does now must end: it is cancelled, or out of time.
    pub(super) stop: CancellationToken,
    /// The worker drains: hand over at the next boundary.
    pub(super) drain: CancellationToken,
    /// The worker's time to drain is nearly over: hand over what can be repeated, now.
    pub(super) abandon: CancellationToken,
}

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
    /// What the model is sent: what is stored of its session, as far as there is room.
    transcript: Arc<Vec<Item>>,
    /// Where that stands, and what it takes.
    context: Context,
    fitting: Fitting,
    /// Estimate of instructions and tools.
    fixed_tokens: u64,
    /// Workers that died while they had it, since its last committed step.
    takeovers: u32,
    /// Earlier attempts at the present model call, by whichever worker.
    tried: Tried,
    /// How often the turn's calls were made; none where nobody counts.
    guard: Option<LoopGuard>,
    /// Attachments of earlier turns that cannot be shown to the model.
    withheld: Arc<HashSet<String>>,
    place: OwnPlace,
    side_reads: SideReads,
    /// When it has run for as long as it may, over all workers.
    deadline: Instant,
    /// The form that its answer must have.
    output: Output,
    signals: Signals,
}

impl Run {
    /// The run of a turn that this worker has just claimed.
    pub(super) fn new(
        deps: AgentDeps,
        claimed: Claimed,
        signals: Signals,
        place: OwnPlace,
        side_reads: SideReads,
    ) -> Self {
        let Claimed {
            lease,
            turn: _,
            agent,
            interrupted,
            partial_text,
            predecessor,
            ran,
            takeovers,
            faults,
            tried,
            response_format,
            corrections,
        } = claimed;
        let deadline = Instant::now() + deps.settings.turn_timeout.saturating_sub(ran);
        let turn_writer = TurnWriter::new(deps.store.clone(), lease, signals.abandon.clone());
        let specs = deps.tools.registry().specs(agent.tools.as_deref());
        // What only reads is run again, at its place.
        let interrupted = interrupted
            .filter(|pending| !reads::repeats(deps.tools.registry(), &pending.call.name));
        let fixed_tokens = estimate::text(&agent.instructions) + estimate::tools(&specs);
        let void_text = partial_text.then(|| messages::worker_stopped(predecessor));
        Self {
            deps,
            turn_writer,
            agent,
            specs,
            toolbox: None,
            interrupted,
            again: None,
            void_text,
            transcript: Arc::default(),
            context: Context::default(),
            fitting: Fitting::default(),
            fixed_tokens,
            takeovers,
            tried: Tried { faults, since: tried },
            guard: None,
            withheld: Arc::default(),
            place,
            side_reads,
            deadline,
            output: Output::new(response_format, corrections),
            signals,
        }
    }

    /// Runs it until it leaves this worker. What it does when its time is over is stopped.
    pub(super) async fn run(self) -> RunOutcome {
        let (deadline, stop) = (self.deadline, self.signals.stop.clone());
        let steps = self.steps();
        tokio::pin!(steps);
        tokio::select! {
            biased;
            left = &mut steps => return left,
            () = sleep_until(deadline) => stop.cancel(),
        }
        steps.await
    }

    async fn steps(mut self) -> RunOutcome {
        let mut flow = self.load().await;
        loop {
            match flow {
                ControlFlow::Continue(()) => flow = self.step().await,
                ControlFlow::Break(left) => return left,
            }
        }
    }

    /// Takes one step, from boundary to boundary.
    async fn step(&mut self) -> Flow {
        let max_steps = self.deps.settings.max_steps;
        let interrupted = self.interrupted.as_ref();
        let step = next_step(&TurnSnapshot {
            transcript: &self.transcript,
            interrupted,
            effect: interrupted
                .and_then(|pending| self.spec(&pending.call.name))
                .map(|spec| spec.effect),
            stop: self.stop(),
            draining: self.signals.drain.is_cancelled(),
            replies: self.context.replies,
            compacts: self.context.compacts,
            max_steps,
        });
        if let Some(error) = self.lacks_room(&step) {
            return ControlFlow::Break(self.fail(error).await);
        }
        match step {
            Step::Resume(pending) => match self.again.take() {
                Some(again) if !self.signals.stop.is_cancelled() => self.start(again).await,
                _ => self.resume(pending).await,
            },
            Step::Settle(pending) => self.settle(pending).await,
            Step::Call(call) if self.take_place(Place::Work).await => self.call(call).await,
            Step::Ask if self.take_call_place().await => self.fit_and_ask().await,
            Step::Compact if self.take_call_place().await => self.compact_on_request().await,
            // The boundary decides what happened meanwhile.
            Step::Call(_) | Step::Ask | Step::Compact => ControlFlow::Continue(()),
            Step::HandOver => self.hand_over().await,
            Step::Stop(Stop::Cancelled) => ControlFlow::Break(self.end(TurnEnd::Cancelled).await),
            Step::Stop(Stop::OutOfTime) => {
                let error = messages::out_of_time(self.deps.settings.turn_timeout);
                ControlFlow::Break(self.fail(error).await)
            }
            Step::Complete { text } => {
                ControlFlow::Break(self.end(TurnEnd::Completed { text }).await)
            }
            Step::TooManySteps => {
                ControlFlow::Break(self.fail(messages::too_many_steps(max_steps)).await)
            }
        }
    }

    /// Why a step that adds much, or changes something, is not taken: what is left of the disk is for
    /// what is decided.
    fn lacks_room(&self, step: &Step) -> Option<TurnError> {
        let adds = match step {
            Step::Ask => true,
            Step::Call(call) => {
                self.spec(&call.name).is_some_and(|spec| spec.effect != Effect::Read)
            }
            _ => false,
        };
        let error = self.deps.store.out_of_space().filter(|_| adds)?;
        Some(TurnError::new(TurnErrorCode::DiskFloor, error.to_string()))
    }

    /// Adds what was committed to the transcript.
    fn remember(&mut self, item: Item) {
        if let (Some(guard), Item::Assistant { .. }) = (&mut self.guard, &item) {
            guard.replied();
        }
        self.context.push(&item);
        Arc::make_mut(&mut self.transcript).push(item);
    }

    /// Waits for a place; what it holds of another kind is given back. Returns whether it was
    /// given one before the turn must end or the worker drains.
    async fn take_place(&mut self, place: Place) -> bool {
        let Signals { stop, drain, .. } = &self.signals;
        tokio::select! {
            biased;
            () = stop.cancelled() => false,
            () = drain.cancelled() => false,
            () = self.place.take(place) => true,
        }
    }

    /// As [`Run::take_place`], to ask the model; one of this process needs no place but what the
    /// turn has.
    async fn take_call_place(&mut self) -> bool {
        match self.deps.models.get(&self.agent.model) {
            Some(Model::Runbook(_) | Model::Unusable(_)) | None => true,
            Some(_) => self.take_place(Place::Call).await,
        }
    }

    /// Why what the turn does now must end.
    fn stop(&self) -> Option<Stop> {
        let Signals { cancel, stop, .. } = &self.signals;
        let why = if cancel.is_cancelled() { Stop::Cancelled } else { Stop::OutOfTime };
        stop.is_cancelled().then_some(why)
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
