//! A summary of a session's oldest items: a model call of its own, whose request cannot be too
//! long, for each piece of them.

use std::{ops::ControlFlow, sync::Arc};

use tokio::time::Instant;
use tracing::Instrument;

use super::{
    Flow, Run,
    compact::{Made, Room},
    messages,
};
use crate::{
    context::{Estimate, change, digest, estimate, plan::DroppedSummary},
    job::{Job, JobEvent},
};
use evonic_domain::{CompactionKind, ContextView, Item, ItemAddress, ModelCall, char_floor};
use evonic_model::{Delta, Model, ModelError, Reply, Request, Tried};
use evonic_shared::error_chain::ErrorChain;

/// Summaries one after the other, above which the oldest items are left out.
const PIECES: u64 = 8;
/// Requests for one summary that are refused as too long.
const REFUSALS: u32 = 3;
/// Tokens of a request to a model whose window is not known.
const UNKNOWN: u64 = 24_000;
/// The smallest piece that is worth a summary, in tokens.
const LEAST: u64 = 100;
/// Bytes of a summary for a token that it may have.
const TOKEN_BYTES: usize = 8;

/// What came of asking.
enum Asked {
    Replied(Box<Reply>),
    Failed(ModelError),
    /// The turn does something else first, or leaves.
    Left(Flow),
}

/// A piece of what is to be summarised.
struct Piece {
    /// The entries before this one.
    end: usize,
    text: String,
}

impl Run {
    /// Asks for a summary of the first piece of the entries before `end`, and commits it.
    pub(super) async fn summarise(
        &mut self,
        model: &Model,
        end: usize,
        view: ContextView,
        before: Estimate,
        room: Room,
    ) -> Flow {
        let name = model.summary_model().unwrap_or(&self.agent.model).to_owned();
        let models = self.deps.models.clone();
        let Some(summary_model) = models.get(&name) else {
            return self.no_summary(&name, "no model of this name is configured").await;
        };
        // What its own replies taught of the agent's model holds for no other one.
        let scale = match name == self.agent.model {
            true => before.scale,
            false => before.scale.max(estimate::UNSCALED),
        };
        let mut most = piece_tokens(summary_model, room, &view, scale);
        let mut refusals = 0;
        loop {
            if most < LEAST {
                return self.no_summary(&name, "its window leaves no room for a record").await;
            }
            let ends = self.ends(end);
            if let Some(through) = self.too_many(&ends, most) {
                return self.leave_out_before(view, through, before).await;
            }
            let piece = self.piece(&ends, most);
            let earlier = view.summary.as_ref().map(|summary| summary.text.as_str());
            let question = digest::question(earlier, &piece.text);
            self.require_budget().await?;
            let begun = Instant::now();
            match self.ask_for_summary(&name, question, room).await {
                Asked::Left(flow) => return flow,
                Asked::Failed(ModelError::TooLong { .. }) if refusals < REFUSALS => {
                    refusals += 1;
                    most /= 2;
                }
                // It waits as the turn's own call would.
                Asked::Failed(error @ (ModelError::Exhausted(_) | ModelError::Later { .. })) => {
                    return self.refused(error, begun.elapsed()).await;
                }
                Asked::Failed(error) => {
                    let why = ErrorChain(&error).to_string();
                    return self.no_summary(&name, &why).await;
                }
                Asked::Replied(mut reply) => {
                    if reply.model.is_empty() {
                        reply.model = name;
                    }
                    return self.take_summary(*reply, piece.end, view, before, room).await;
                }
            }
        }
    }

    /// Places up to `end` before which whole turns or steps end.
    fn ends(&self, end: usize) -> Vec<usize> {
        let entries = &self.context.entries;
        let is_end = |&place: &usize| {
            let (Some(before), Some(after)) = (entries.get(place - 1), entries.get(place)) else {
                return place == end;
            };
            let other_turn = before.address.turn != after.address.turn;
            let step = before.address.turn == self.context.turn
                && before.address.item > 0
                && matches!(after.kind, crate::context::EntryKind::Reply);
            place == end || other_turn || step
        };
        (1..=end).filter(is_end).collect()
    }

    fn items(&self, from: usize, to: usize) -> impl Iterator<Item = &Item> + Clone {
        self.transcript[self.context.head + from..self.context.head + to].iter()
    }

    /// The place before which everything is left out, where there would be too many pieces.
    fn too_many(&self, ends: &[usize], most: u64) -> Option<usize> {
        let (mut from, mut sizes) = (0, Vec::new());
        for &to in ends {
            let size = estimate::text(&digest::render(self.items(from, to), item_bytes(most)));
            sizes.push((to, size.min(most)));
            from = to;
        }
        let mut room = most.saturating_mul(PIECES);
        for (index, (_, size)) in sizes.iter().enumerate().rev() {
            match room.checked_sub(*size) {
                Some(left) => room = left,
                None => return Some(sizes[index].0),
            }
        }
        None
    }

    /// As many whole turns or steps as there is room for; the first one whatever it has.
    fn piece(&self, ends: &[usize], most: u64) -> Piece {
        let mut whole = None;
        for &end in ends {
            let text = digest::render(self.items(0, end), item_bytes(most));
            if estimate::text(&text) > most {
                break;
            }
            whole = Some(Piece { end, text });
        }
        whole.unwrap_or_else(|| {
            let end = ends.first().copied().unwrap_or(1);
            Piece { end, text: digest::digest(self.items(0, end), most) }
        })
    }

    async fn leave_out_before(&mut self, view: ContextView, end: usize, before: Estimate) -> Flow {
        let (through, message) = self.behind(end);
        self.leave_out(view, through, message, DroppedSummary::Kept, before).await
    }

    /// The last item before a place, and the running turn's message where that is within it.
    fn behind(&self, end: usize) -> (ItemAddress, Option<ItemAddress>) {
        let through = self.context.entries[end - 1].address;
        let within = through.turn == self.context.turn;
        (through, within.then_some(ItemAddress { turn: through.turn, item: 0 }))
    }

    async fn take_summary(
        &mut self,
        reply: Reply,
        end: usize,
        view: ContextView,
        before: Estimate,
        room: Room,
    ) -> Flow {
        let Reply { text, model, usage, cost, .. } = reply;
        let mut text = text.trim().to_owned();
        let most = usize::try_from(room.summary).unwrap_or(usize::MAX).saturating_mul(TOKEN_BYTES);
        text.truncate(char_floor(&text, most));
        if text.is_empty() {
            let call = ModelCall { model: model.clone(), usage, cost };
            self.commit(move |writer, lease| writer.count_call(lease, &call)).await?;
            return self.no_summary(&model, "it is empty").await;
        }
        let (through, message) = self.behind(end);
        let first = self.first_after(None).await?.unwrap_or(through);
        let (range, view) = change::summarise(view, first, through, message, text);
        let made = Made { model: Some(model), usage, cost };
        self.commit_view(CompactionKind::Summarised, range, view, before, made).await
    }

    /// There is no summary: what it would stand for is left out. A turn that was asked for one
    /// fails, with nothing changed.
    async fn no_summary(&mut self, model: &str, why: &str) -> Flow {
        tracing::warn!(model, reason = why, "no summary");
        if self.context.compacts {
            let error = messages::no_summary(model, why);
            return ControlFlow::Break(self.fail(error).await);
        }
        self.fitting.no_summary = true;
        // What another endpoint was tried for is not taken from the patience with the agent's own.
        if model != self.agent.model && self.tried != Tried::default() {
            self.commit(|writer, lease| writer.forget_attempts(lease)).await?;
            self.tried = Tried::default();
        }
        ControlFlow::Continue(())
    }

    async fn ask_for_summary(&mut self, name: &str, question: String, room: Room) -> Asked {
        let request = Request {
            instructions: digest::INSTRUCTIONS.to_owned(),
            items: Arc::new(vec![Item::user(question)]),
            max_output_tokens: Some(u32::try_from(room.summary).unwrap_or(u32::MAX)),
            tried: self.tried,
            ..Request::default()
        };
        let span = tracing::info_span!("summarise", gen_ai.request.model = name);
        let (models, model, cancel) =
            (self.deps.models.clone(), name.to_owned(), self.signals.stop.clone());
        let mut job: Job<Delta, Option<Result<Reply, ModelError>>> = Job::start(|deltas| {
            async move { models.reply(&model, request, deltas, &cancel).await }.instrument(span)
        });
        let (stop, abandon) = (self.signals.stop.clone(), self.signals.abandon.clone());
        let result = loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    job.end().await;
                    return Asked::Left(ControlFlow::Continue(()));
                }
                () = abandon.cancelled() => {
                    job.end().await;
                    return Asked::Left(self.hand_over().await);
                }
                heard = job.next_event() => match heard {
                    JobEvent::Ended(result) => break result,
                    JobEvent::Piece(Delta::Spent(call)) => {
                        if let ControlFlow::Break(left) = self.count_spent(call).await {
                            job.end().await;
                            return Asked::Left(ControlFlow::Break(left));
                        }
                    }
                    // A summary is shown when it is whole.
                    JobEvent::Piece(_) => {}
                },
            }
        };
        match result {
            Ok(Some(Ok(reply))) => Asked::Replied(Box::new(reply)),
            Ok(Some(Err(ModelError::Cancelled))) if stop.is_cancelled() => {
                Asked::Left(ControlFlow::Continue(()))
            }
            Ok(Some(Err(error))) => Asked::Failed(error),
            Ok(None) => Asked::Left(ControlFlow::Continue(())),
            Err(defect) => {
                let message = format!("model {name} broke: {}", defect.message);
                tracing::error!(error = message, "model has a defect");
                Asked::Left(ControlFlow::Break(self.fail(messages::internal(message)).await))
            }
        }
    }
}

/// The most tokens of a piece, by our estimate: what the model's window leaves beside the summary so
/// far and the one to come.
fn piece_tokens(model: &Model, room: Room, view: &ContextView, scale: u64) -> u64 {
    let window = model.window().map_or(UNKNOWN, |window| window.saturating_sub(room.summary));
    let fits = window.min(room.limit).saturating_mul(1000) / scale.max(1) * 17 / 20;
    let earlier = view.summary.as_ref().map_or(0, |summary| estimate::text(&summary.text));
    fits.saturating_sub(earlier).saturating_sub(digest::FRAME)
}

/// Bytes of an item in a piece of so many tokens.
fn item_bytes(most: u64) -> usize {
    usize::try_from(most / 2).unwrap_or(usize::MAX).clamp(200, 4000)
}
