//! A step that asks the model.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use tokio::time::Instant;
use tracing::Instrument;

use super::{Flow, Run, RunOutcome, append, messages, output::Verdict};
use crate::{
    blobs::SessionBlobs,
    coalesce::Coalescer,
    job::{Job, JobEvent},
};
use evonic_domain::{EventKind, Item, ModelCall, TurnError, WaitReason, Waiting};
use evonic_model::{Delta, ModelError, Reply, Request, Tried};
use evonic_shared::error_chain::ErrorChain;
use evonic_store::{NewReply, WaitOutcome};

/// What asking came to; [`None`] when no model of that name is configured.
type Asked = Option<Result<Reply, ModelError>>;

impl Run {
    /// Asks the model, publishes its text as it comes, and commits its reply.
    pub(super) async fn ask(&mut self) -> Flow {
        self.retract().await?;
        if let Some(error) = self.unacceptable() {
            return ControlFlow::Break(self.fail(error).await);
        }
        self.require_budget().await?;
        let mut job = self.start_asking();
        let begun = Instant::now();
        let mut pending = Pending::new(self.deps.settings.coalesce);
        let (stop, abandon) = (self.signals.stop.clone(), self.signals.abandon.clone());
        let result = loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    job.end().await;
                    return ControlFlow::Continue(());
                }
                () = abandon.cancelled() => {
                    job.end().await;
                    return self.hand_over().await;
                }
                () = pending.text.due() => self.publish(&mut pending).await?,
                () = pending.reasoning.due() => self.publish(&mut pending).await?,
                heard = job.next_event() => match heard {
                    JobEvent::Ended(result) => break result,
                    JobEvent::Piece(delta) => self.take_in(delta, &mut pending).await?,
                },
            }
        };
        match result {
            Ok(Some(Ok(reply))) => self.record(reply, pending.take()).await,
            Ok(Some(Err(error))) => self.refused(error, begun.elapsed()).await,
            Ok(None) => {
                let error = messages::model_unknown(&self.agent.model);
                ControlFlow::Break(self.fail(error).await)
            }
            Err(defect) => {
                let message = format!("model {} broke: {}", self.agent.model, defect.message);
                tracing::error!(error = message, "model has a defect");
                ControlFlow::Break(self.fail(messages::internal(message)).await)
            }
        }
    }

    fn start_asking(&self) -> Job<Delta, Asked> {
        let span = tracing::info_span!("chat", gen_ai.request.model = self.agent.model);
        let request = self.request();
        let (models, name) = (self.deps.models.clone(), self.agent.model.clone());
        let stop = self.signals.stop.clone();
        Job::start(|deltas| {
            async move { models.reply(&name, request, deltas, &stop).await }.instrument(span)
        })
    }

    /// What the model is asked.
    pub(super) fn request(&self) -> Request {
        Request {
            instructions: self.agent.instructions.clone(),
            items: Arc::clone(&self.transcript),
            tools: self.specs.clone(),
            response_schema: self.output.schema(),
            max_output_tokens: None,
            blobs: Some(Arc::new(SessionBlobs::new(self.turn_writer.clone()))),
            withheld: Arc::clone(&self.withheld),
            tried: self.tried,
            checks: false,
        }
    }

    async fn take_in(&mut self, delta: Delta, pending: &mut Pending) -> Flow {
        match delta {
            Delta::Text(piece) => pending.text.push(&piece),
            Delta::Reasoning(piece) => {
                // Reasoning after text is rare; the order of the two is kept.
                if pending.text.is_pending() {
                    self.publish(pending).await?;
                }
                pending.reasoning.push(&piece);
            }
            Delta::Retract { reason } => {
                // Text that was not published yet is dropped.
                pending.take();
                if let Some(void) = &mut self.void_text {
                    *void = reason;
                }
                return self.retract().await;
            }
            Delta::Spent(call) => return self.count_spent(call).await,
        }
        if pending.text.is_full() || pending.reasoning.is_full() {
            self.publish(pending).await
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Counts a call that became no reply.
    pub(super) async fn count_spent(&mut self, call: ModelCall) -> Flow {
        self.commit(move |writer, lease| writer.count_call(lease, &call)).await
    }

    /// Commits what is pending. From then on there may be text that only a reply confirms.
    async fn publish(&mut self, pending: &mut Pending) -> Flow {
        let has_text = pending.text.is_pending();
        let events = pending.take();
        self.commit(move |writer, lease| append(writer, lease, &events)).await?;
        if has_text {
            self.void_text = Some("the model is asked again".to_owned());
        }
        ControlFlow::Continue(())
    }

    /// Takes back text that was published and did not become a reply.
    async fn retract(&mut self) -> Flow {
        if let Some(reason) = self.void_text.take() {
            let events = [EventKind::TextRetracted { reason }];
            self.commit(move |writer, lease| append(writer, lease, &events)).await?;
        }
        ControlFlow::Continue(())
    }

    /// Commits a reply, after the last of its text; with it the turn's end when it asks for
    /// nothing, or what is wrong with its form.
    async fn record(&mut self, reply: Reply, last: Vec<EventKind>) -> Flow {
        let Reply { text, tool_calls, usage, carried, model, cost } = reply;
        let then = if tool_calls.is_empty() { self.output.judge(&text) } else { Verdict::GoOn };
        let model = if model.is_empty() { self.agent.model.clone() } else { model };
        let new = NewReply { text, tool_calls, usage, model, cost, carried };
        let item = Item::Assistant {
            text: new.text.clone(),
            tool_calls: new.tool_calls.clone(),
            usage,
            cost,
            model: new.model.clone(),
            carried: new.carried.clone(),
        };
        let what = then.clone();
        let record = self.commit(move |writer, lease| {
            append(writer, lease, &last)?;
            writer.record_reply(lease, new.clone())?;
            what.write(writer, lease)
        });
        record.await?;
        (self.void_text, self.tried) = (None, Tried::default());
        self.fitting.refusals = 0;
        self.remember(item);
        match then {
            Verdict::GoOn => ControlFlow::Continue(()),
            Verdict::AskAgain { note, .. } => {
                self.output.ask_again();
                self.remember(Item::user(note));
                ControlFlow::Continue(())
            }
            Verdict::End(_) => ControlFlow::Break(RunOutcome::Ended),
        }
    }

    /// The model did not reply, and took so long for it.
    pub(super) async fn refused(&mut self, error: ModelError, took: Duration) -> Flow {
        match error {
            // The boundary decides what that means.
            ModelError::Cancelled if self.signals.stop.is_cancelled() => ControlFlow::Continue(()),
            // Shorter, it may do better: the boundary decides how.
            ModelError::TooLong { window, tokens, message, .. } => {
                match self.learn_from_refusal(window, tokens, message) {
                    ControlFlow::Continue(()) => ControlFlow::Continue(()),
                    ControlFlow::Break(message) => {
                        let error = messages::refused_as_too_long(&message);
                        ControlFlow::Break(self.fail(error).await)
                    }
                }
            }
            // Connections are taken by other turns: this one waits for its own, as it waited in
            // the queue, and is asked at the boundary whether it still should.
            ModelError::Exhausted(exhausted) => {
                tokio::select! {
                    () = tokio::time::sleep(exhausted.retry_after) => {}
                    () = self.signals.stop.cancelled() => {}
                    () = self.signals.drain.cancelled() => {}
                }
                ControlFlow::Continue(())
            }
            ModelError::Later { reason, after, faults, message, .. } => {
                self.leave_until(reason, after, message, (faults, took)).await
            }
            // What earlier turns showed is not worth this one.
            ModelError::Attachment { hashes, message, .. } if self.withhold(&hashes) => {
                tracing::warn!(reason = message, "earlier attachments are not shown");
                ControlFlow::Continue(())
            }
            error => {
                let (code, message) = (error.code(), ErrorChain(&error).to_string());
                let failed = TurnError { code, message };
                ControlFlow::Break(self.fail(failed).await)
            }
        }
    }
}

impl Run {
    /// Shows the model no longer those of these attachments that the turn's own message has not;
    /// whether there is one that was shown so far.
    fn withhold(&mut self, hashes: &[String]) -> bool {
        let own = self.own_attachments();
        let is_own = |hash: &String| own.iter().any(|attachment| attachment.sha256 == *hash);
        let is_new = |hash: &&String| !is_own(hash) && !self.withheld.contains(*hash);
        let new: Vec<_> = hashes.iter().filter(is_new).cloned().collect();
        let has_some = !new.is_empty();
        Arc::make_mut(&mut self.withheld).extend(new);
        has_some
    }

    /// Leaves the turn for whoever lives when it is to be asked again: it holds nothing meanwhile.
    async fn leave_until(
        &mut self,
        reason: WaitReason,
        after: Duration,
        message: String,
        (faults, took): (u32, Duration),
    ) -> Flow {
        let void = self.void_text.take();
        let events: Vec<_> =
            void.map(|reason| EventKind::TextRetracted { reason }).into_iter().collect();
        let waiting = Waiting { reason, until: evonic_store::time_after(after), message };
        let (until, why) = (waiting.until.as_str(), waiting.message.as_str());
        tracing::info!(until, reason = reason.name(), why, "turn waits for its model");
        let left = self.commit(move |writer, lease| {
            append(writer, lease, &events)?;
            writer.count_attempt(lease, faults, took)?;
            writer.wait_turn(lease, &waiting)
        });
        ControlFlow::Break(match left.await? {
            WaitOutcome::Waits => RunOutcome::Waits,
            WaitOutcome::Cancelled => RunOutcome::Ended,
        })
    }
}

/// What came of a reply and is not published yet: reasoning before the text that follows it.
struct Pending {
    reasoning: Coalescer,
    text: Coalescer,
}

impl Pending {
    const fn new(window: Duration) -> Self {
        Self { reasoning: Coalescer::new(window), text: Coalescer::new(window) }
    }

    fn take(&mut self) -> Vec<EventKind> {
        let reasoning = self.reasoning.take().map(|text| EventKind::ReasoningDelta { text });
        let text = self.text.take().map(|text| EventKind::TextDelta { text });
        reasoning.into_iter().chain(text).collect()
    }
}
