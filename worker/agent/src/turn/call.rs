//! A step that runs a tool, or continues a call that another worker began.

use std::{ops::ControlFlow, time::Duration};

use tokio::time::Instant;
use tracing::Instrument;

use super::{
    Flow, Run, RunOutcome, Shown, command_id,
    kill::{KILL_TIMEOUT, kill, kill_orphan, runs_on},
    lost::with_rerun_note,
    messages,
};
use crate::{
    coalesce::Coalescer,
    job::{Defect, Job, JobEvent},
    step::unanswered,
};
use evonic_domain::{Outcome, ToolCall};
use evonic_shared::error_chain::ErrorChain;
use evonic_store::PendingCall;
use evonic_tools::{Answer, Effect, Ending, Loss, Piece, ToolResult, Toolbox};

/// How long a cancelled tool may take to stop by itself before it is cut off: with the writes
/// around it, a cancel takes less than a second.
const CANCEL_TIMEOUT: Duration = Duration::from_millis(700);
/// A command that has just been started is given this long to be under way before its turn is
/// handed over: a worker that looks for it too early finds nothing, and must not start it then.
const LAUNCH_TIME: Duration = Duration::from_millis(500);

/// A call that runs here.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) pending: PendingCall,
    toolbox: Toolbox,
    effect: Effect,
    ending: Ending,
    /// Whether another worker began it.
    resumes: bool,
}

impl Running {
    /// A call that only reads, and has just been started.
    pub(super) const fn read(pending: PendingCall, toolbox: Toolbox) -> Self {
        let (effect, ending) = (Effect::Read, Ending::WithWorker);
        Self { pending, toolbox, effect, ending, resumes: false }
    }
}

/// How a call ended in this worker.
pub(super) enum End {
    /// With an answer, or a panic.
    Answered(Result<Answer, Defect>, Shown),
    /// This worker does not run the turn any more.
    Left(RunOutcome),
    /// Another worker continues it.
    HandOver,
}

impl Run {
    /// Runs a call of the agent's last reply, and with it those after it that only read as it does.
    pub(super) async fn call(&mut self, call: ToolCall) -> Flow {
        if let Some(reads) = self.next_reads() {
            return self.read(reads).await;
        }
        if !self.specs.iter().any(|spec| spec.name == call.name) {
            let tools = self.specs.iter().map(|spec| spec.name.as_str());
            let content = messages::no_such_tool(&call.name, tools);
            let start = PendingCall::new(call.clone(), &command_id(), &self.agent.workplace);
            self.commit(move |writer, lease| writer.start_call(lease, &start)).await?;
            return self.finish(call, ToolResult::error(content), Shown::default(), None).await;
        }
        let workplace = self.agent.workplace.clone();
        self.start(PendingCall::new(call, &command_id(), &workplace)).await
    }

    /// Commits that a call is about to run, and runs it.
    pub(super) async fn start(&mut self, pending: PendingCall) -> Flow {
        self.reserve(&pending).await;
        let start = pending.clone();
        self.commit(move |writer, lease| writer.start_call(lease, &start)).await?;
        let first = self.interrupted.take();
        if let (Some(first), Ok(toolbox)) = (first, self.toolbox(&pending.workplace).await) {
            toolbox.forget(&first.command_id);
        }
        self.execute(pending, false).await
    }

    /// Leaves a trace of a command before its call is committed: a successor that finds no more than
    /// that knows that it never began. What is wrong with the workplace, the call itself will say.
    async fn reserve(&mut self, pending: &PendingCall) {
        if self.spec(&pending.call.name).is_none_or(|spec| spec.ending != Ending::Own) {
            return;
        }
        if let Ok(toolbox) = self.toolbox(&pending.workplace).await
            && let Err(error) = toolbox.reserve(&pending.command_id).await
        {
            let command_id = pending.command_id.as_str();
            tracing::debug!(command_id, error, "a command leaves no trace before it is started");
        }
    }

    /// Continues a call that another worker began, where it was begun.
    pub(super) async fn resume(&mut self, pending: PendingCall) -> Flow {
        // Of reads that ran side by side the one that comes first is known by the transcript.
        let comes_first =
            unanswered(&self.transcript).first().is_some_and(|first| first.id == pending.call.id);
        let reads = self.spec(&pending.call.name).is_some_and(|spec| spec.effect == Effect::Read);
        if reads && !comes_first {
            self.interrupted = None;
            return ControlFlow::Continue(());
        }
        tracing::info!(
            call_id = pending.call.id,
            command_id = pending.command_id,
            output_offset = pending.output_offset,
            "continuing an interrupted call"
        );
        self.execute(pending, true).await
    }

    /// Answers a call whose tool is gone, and kills what is left of it.
    pub(super) async fn settle(&mut self, pending: PendingCall) -> Flow {
        let killed = match self.toolbox(&pending.workplace).await {
            Ok(toolbox) => kill(&toolbox, &pending.command_id).await,
            Err(error) => Err(ErrorChain(&error).to_string()),
        };
        let loss = match killed {
            Ok(_) => Loss::because(format!("there is no tool {} any more", pending.call.name)),
            Err(error) => Loss { why: error, runs_on: true, ..Loss::default() },
        };
        self.lost(pending, loss, Shown::default()).await
    }

    /// Kills the command of a turn that has ended, and says that its record is not needed.
    pub(super) async fn clear(&mut self, workplace: &str, command_id: &str) {
        match self.toolbox(workplace).await {
            Ok(toolbox) => {
                kill_orphan(&toolbox, command_id).await;
                toolbox.forget(command_id);
            }
            Err(error) => runs_on(command_id, &ErrorChain(&error).to_string()),
        }
    }

    async fn execute(&mut self, pending: PendingCall, resumes: bool) -> Flow {
        let Some(spec) = self.spec(&pending.call.name) else {
            return self.settle(pending).await;
        };
        let (effect, ending) = (spec.effect, spec.ending);
        let toolbox = match self.toolbox(&pending.workplace).await {
            Ok(toolbox) => toolbox,
            Err(error) if resumes => {
                let why = format!("its workplace cannot be opened ({})", ErrorChain(&error));
                let loss = Loss { why, runs_on: true, ..Loss::default() };
                return self.lost(pending, loss, Shown::default()).await;
            }
            Err(error) => {
                let result = ToolResult::from(error);
                return self.finish(pending.call, result, Shown::default(), None).await;
            }
        };
        let running = Running { pending, toolbox, effect, ending, resumes };
        let end = self.attend(&running).await;
        self.ended(running, end).await
    }

    /// Commits what a call came to in this worker.
    pub(super) async fn ended(&mut self, running: Running, end: End) -> Flow {
        let Running { pending, toolbox, effect, .. } = running;
        match end {
            End::Answered(Ok(Answer::Known(result)), last) => {
                let (command_id, result) =
                    (pending.command_id.clone(), with_rerun_note(&pending, effect, result));
                self.finish(pending.call, result, last, None).await?;
                toolbox.forget(&command_id);
                ControlFlow::Continue(())
            }
            End::Answered(Ok(Answer::Lost(loss)), last) => self.lost(pending, loss, last).await,
            End::Answered(Err(defect), last) => {
                let message = format!("tool {} broke: {}", pending.call.name, defect.message);
                tracing::error!(call_id = pending.call.id, error = message, "tool has a defect");
                kill_orphan(&toolbox, &pending.command_id).await;
                let content = messages::TOOL_DEFECT.to_owned();
                let result = ToolResult { outcome: Outcome::Unknown, content };
                self.finish(pending.call, result, last, None).await?;
                ControlFlow::Break(self.fail(messages::internal(message)).await)
            }
            End::Left(left) => {
                // A turn that failed with the store leaves no command behind.
                if left == RunOutcome::Ended {
                    kill_orphan(&toolbox, &pending.command_id).await;
                }
                ControlFlow::Break(left)
            }
            End::HandOver => self.hand_over().await,
        }
    }

    /// Runs or follows a call and shows its output as it comes, until it ends or must be stopped.
    pub(super) async fn attend(&self, running: &Running) -> End {
        let mut job = self.job(running);
        let mut pending_text = Coalescer::new(self.deps.settings.coalesce);
        let mut output_offset = running.pending.output_offset;
        let (overdue, leaves) = (self.overdue(running.ending), self.leaves(running));
        tokio::pin!(overdue, leaves);
        let answer = loop {
            let publish = tokio::select! {
                biased;
                () = &mut overdue => {
                    job.end().await;
                    break Ok(cut_off(running).into());
                }
                end = &mut leaves => {
                    job.end().await;
                    return end;
                }
                () = pending_text.due() => true,
                heard = job.next_event() => match heard {
                    JobEvent::Ended(answer) => break answer,
                    JobEvent::Piece(piece) => {
                        pending_text.push(&piece.text);
                        output_offset = piece.output_offset;
                        pending_text.is_full()
                    }
                },
            };
            if publish {
                let (shown, id) = (
                    Shown { text: pending_text.take(), output_offset },
                    running.pending.call.id.clone(),
                );
                let shown = self.commit(move |writer, lease| shown.write(writer, lease, &id));
                if let ControlFlow::Break(left) = shown.await {
                    job.end().await;
                    return End::Left(left);
                }
            }
        };
        End::Answered(answer, Shown { text: pending_text.take(), output_offset })
    }

    fn job(&self, running: &Running) -> Job<Piece, Answer> {
        let Running { pending, toolbox, resumes, .. } = running;
        let (pending, toolbox, resumes) = (pending.clone(), toolbox.clone(), *resumes);
        let span = tracing::info_span!(
            "execute_tool",
            gen_ai.tool.name = pending.call.name,
            gen_ai.tool.call.id = pending.call.id
        );
        let stop = self.signals.stop.clone();
        Job::start(|output| {
            async move {
                let PendingCall { call, command_id, output_offset, .. } = &pending;
                let output_offset = resumes.then_some(*output_offset);
                toolbox.run(call, command_id, output_offset, output, &stop).await
            }
            .instrument(span)
        })
    }

    /// Waits until a call that is to stop is cut off.
    fn overdue(&self, ending: Ending) -> impl Future<Output = ()> + use<> {
        let stop = self.signals.stop.clone();
        let timeout = if ending == Ending::Own { KILL_TIMEOUT } else { CANCEL_TIMEOUT };
        async move {
            stop.cancelled().await;
            tokio::time::sleep(timeout).await;
        }
    }

    /// Waits until the turn leaves this worker in the middle of a call: at once when another
    /// worker can continue it; when the time to drain is nearly over if it can be repeated; and
    /// then without being handed over if it cannot: its next owner must know that it does not run
    /// here any more.
    fn leaves(&self, running: &Running) -> impl Future<Output = End> + use<> {
        let signals = self.signals.clone();
        let repeats = self.deps.tools.registry().on_lost(&running.pending.call.name)
            == evonic_shared::config::Lost::Retry;
        let at_once = match running.ending {
            Ending::Own => true,
            Ending::GoesOn => repeats,
            Ending::WithWorker => false,
        };
        let hands_over = at_once || (running.effect == Effect::Read && repeats);
        let begun = Instant::now();
        let launched = if running.resumes { begun } else { begun + LAUNCH_TIME };
        async move {
            if at_once {
                signals.drain.cancelled().await;
                tokio::time::sleep_until(launched).await;
            }
            // What is being killed is soon over.
            if !at_once || signals.stop.is_cancelled() {
                signals.abandon.cancelled().await;
            }
            if hands_over { End::HandOver } else { End::Left(RunOutcome::StillOwned) }
        }
    }
}

/// Result of a call that did not heed its cancel.
fn cut_off(running: &Running) -> ToolResult {
    let content = match running.ending {
        Ending::Own => messages::kill_unsaid(&running.pending.command_id),
        Ending::GoesOn | Ending::WithWorker => messages::CANCELLED_HARD.to_owned(),
    };
    ToolResult { outcome: Outcome::Cancelled, content }
}
