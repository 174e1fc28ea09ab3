//! A step that makes what is sent smaller, before the model is asked.
//!
//! ```text
//! boundary: model is to be asked
//!    |-- it fits -----------------------> asked
//!    |-- Shorten, LeaveOut -------------> read as it will be, committed -> boundary
//!    |-- Summarise ---> summary asked for -> the same -> boundary
//!    |                            \-> none: from now on left out instead -> boundary
//!    |-- CannotFit ---------------------> failed
//! asked, and refused as too long -------> less room -> boundary
//! ```

use std::ops::ControlFlow;

use super::{Flow, Run, messages};
use crate::context::{
    Context, Estimate, change,
    estimate::{self, scaled},
    load::Loading,
    plan::{Aim, DroppedSummary, Next, Situation, Steps, Summaries},
    shorten::Pointer,
};
use evonic_domain::{
    CompactionKind, ContextView, Item, ItemAddress, ItemRange, NewCompaction, TurnEnd, Usage,
};
use evonic_model::Model;

/// Refusals for length of one request, each answered by a shorter one.
const REFUSALS: u32 = 8;
/// Compactions before one call: each makes what is sent smaller, so this is never reached.
const COMPACTIONS: u32 = 200;
/// Bytes of a transcript that are at least a token.
const TOKEN_BYTES: u64 = 4;
/// What a reply may take of a window at the most, where the model has no limit of its own.
const REPLY_TOKENS: u64 = 4096;
/// Tokens of a summary.
const SUMMARY_TOKENS: std::ops::RangeInclusive<u64> = 64..=1500;
/// What stands around a summary when it is sent.
const SUMMARY_FRAME: u64 = 100;

/// How far the model's next request is.
#[derive(Clone, Debug, Default)]
pub(super) struct Fitting {
    /// A compaction is under way: it goes on to its target.
    pub(super) under_way: bool,
    /// A summary failed: what would be summarised is left out, until the model is asked.
    pub(super) no_summary: bool,
    pub(super) compactions: u32,
    pub(super) refusals: u32,
    /// What the endpoint said when it refused.
    pub(super) refusal: Option<String>,
    /// What it said that it takes, then.
    pub(super) window: Option<u64>,
    /// What was refused was more than this, by our estimate.
    pub(super) most: Option<u64>,
    /// The endpoint was asked how many tokens all of it has.
    pub(super) is_counted: bool,
}

/// What there is room for, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Tokens of a request and its reply together, where they are known.
    pub(super) window: Option<u64>,
    /// The most of a request.
    pub(super) limit: u64,
    /// Of a summary.
    pub(super) summary: u64,
}

impl Run {
    /// What there is room for in a request to this model.
    pub(super) fn room(&self, model: &Model) -> Room {
        let window = self.fitting.window.or_else(|| model.window());
        let bytes = u64::from(self.deps.settings.max_transcript_bytes) / TOKEN_BYTES;
        let reply = |window: u64| match model.max_output_tokens() {
            Some(most) => u64::from(most).min(window / 2),
            None => (window / 4).min(REPLY_TOKENS),
        };
        let fits = window.map_or(bytes, |window| {
            let request = window - reply(window);
            (request - request / 50).saturating_sub(16).min(bytes)
        });
        let limit = self.fitting.most.map_or(fits, |most| fits.min(most));
        let summary = (limit / 8).clamp(*SUMMARY_TOKENS.start(), *SUMMARY_TOKENS.end());
        Room { window, limit, summary }
    }

    /// What is to be done before the model is asked.
    pub(super) fn next_compaction(&self, model: &Model, aim: Aim) -> (Next, Estimate, Room) {
        let room = self.room(model);
        let estimate = self.context.estimate(self.fixed_tokens);
        let runbook = matches!(model, Model::Runbook(_));
        let summaries =
            if self.fitting.no_summary || runbook { Summaries::None } else { Summaries::Made };
        let steps = if runbook { Steps::Needed } else { Steps::Droppable };
        let next = self.situation(estimate, room, aim, summaries, steps).next();
        (next, estimate, room)
    }

    fn situation(
        &self,
        estimate: Estimate,
        room: Room,
        aim: Aim,
        summaries: Summaries,
        steps: Steps,
    ) -> Situation<'_> {
        let Context { turn, view, head_tokens, entries, older, .. } = &self.context;
        // What the endpoint counts beside what is known of, each entry is charged with.
        let sum = self.context.items_tokens() + self.fixed_tokens;
        let implied = estimate.total.saturating_mul(1000) / sum.max(1);
        let scale = estimate.scale.max(implied * 20 / 21);
        let fixed = scaled(self.fixed_tokens, scale);
        let target = fixed + room.limit.saturating_sub(fixed) * 3 / 5;
        Situation {
            entries,
            view,
            turn: *turn,
            scale,
            fixed,
            head: scaled(*head_tokens, scale),
            total: estimate.total,
            limit: room.limit,
            target,
            reserve: room.summary + SUMMARY_FRAME,
            older: *older,
            aim,
            summaries,
            steps,
        }
    }

    /// The next step of a turn whose model is to be asked: a compaction, or the question.
    pub(super) async fn fit_and_ask(&mut self) -> Flow {
        let models = self.deps.models.clone();
        let Some(model) = models.get(&self.agent.model) else { return self.ask().await };
        if self.find_window(model).await.is_break() {
            // The boundary decides what happened meanwhile.
            return ControlFlow::Continue(());
        }
        let aim = if self.fitting.under_way { Aim::Target } else { Aim::Fit };
        let (next, estimate, room) = self.next_compaction(model, aim);
        if next == Next::Fits {
            self.fitting = Fitting {
                under_way: false,
                no_summary: false,
                compactions: 0,
                is_counted: false,
                ..self.fitting.clone()
            };
            return self.ask().await;
        }
        if self.count_what_is_sent(model).await != ControlFlow::Continue(false) {
            return ControlFlow::Continue(());
        }
        self.fitting.under_way = true;
        if next == Next::CannotFit || self.fitting.compactions >= COMPACTIONS {
            let error = self.cannot_fit(estimate, room);
            return ControlFlow::Break(self.fail(error).await);
        }
        self.compact(model, next, estimate, room).await
    }

    /// The next step of a turn that compacts its session.
    pub(super) async fn compact_on_request(&mut self) -> Flow {
        let models = self.deps.models.clone();
        let Some(model) = models.get(&self.agent.model) else {
            let error = messages::model_unknown(&self.agent.model);
            return ControlFlow::Break(self.fail(error).await);
        };
        if self.find_window(model).await.is_break() {
            return ControlFlow::Continue(());
        }
        let (next, estimate, room) = self.next_compaction(model, Aim::LastTurn);
        match next {
            Next::Fits | Next::CannotFit => ControlFlow::Break(self.end(TurnEnd::Compacted).await),
            _ if self.fitting.compactions >= COMPACTIONS => {
                ControlFlow::Break(self.end(TurnEnd::Compacted).await)
            }
            next => self.compact(model, next, estimate, room).await,
        }
    }

    async fn compact(&mut self, model: &Model, next: Next, estimate: Estimate, room: Room) -> Flow {
        let view = ContextView {
            at: self.context.last(),
            scale: Some(u32::try_from(estimate.scale).unwrap_or(u32::MAX)),
            ..self.context.view.clone()
        };
        match next {
            Next::Fits | Next::CannotFit => ControlFlow::Continue(()),
            Next::Shorten { range, shortened } => {
                let view = ContextView { shortened, ..view };
                let kind = CompactionKind::Shortened;
                self.commit_view(kind, range, view, estimate, Made::default()).await
            }
            Next::LeaveOut { through, message, summary } => {
                self.leave_out(view, through, message, summary, estimate).await
            }
            Next::Summarise { end } => self.summarise(model, end, view, estimate, room).await,
        }
    }

    pub(super) async fn leave_out(
        &mut self,
        view: ContextView,
        through: ItemAddress,
        message: Option<ItemAddress>,
        summary: DroppedSummary,
        estimate: Estimate,
    ) -> Flow {
        let first = self.first_after(view.through).await?.unwrap_or(through);
        let (range, view) = change::leave_out(view, first, through, message, summary);
        let kind = CompactionKind::LeftOut;
        self.commit_view(kind, range, view, estimate, Made::default()).await
    }

    /// The first stored item after this one.
    pub(super) async fn first_after(
        &self,
        after: Option<ItemAddress>,
    ) -> Flow<Option<ItemAddress>> {
        let read =
            self.turn_writer.read(move |reader, lease| reader.item_after(&lease.session_id, after));
        match read.await {
            Ok(first) => ControlFlow::Continue(first),
            Err(gave_up) => ControlFlow::Break(self.give_up(gave_up).await),
        }
    }

    /// Commits what is sent from now on, and sends that.
    pub(super) async fn commit_view(
        &mut self,
        kind: CompactionKind,
        range: ItemRange,
        view: ContextView,
        before: Estimate,
        made: Made,
    ) -> Flow {
        let number = self.context.number + 1;
        let (context, items) = self.read_view(Some((number, view.clone()))).await?;
        let tokens_after = context.estimate(self.fixed_tokens).total;
        let Made { model, usage, cost } = made;
        let new =
            NewCompaction { kind, range, tokens_before: before.total, tokens_after, model, view };
        tracing::info!(
            number,
            kind = kind.name(),
            first = %range.first,
            last = %range.last,
            tokens_before = before.total,
            tokens_after,
            "context compacted"
        );
        self.commit(move |writer, lease| writer.compact(lease, number, &new, usage, cost)).await?;
        self.take_view(context, items);
        self.fitting.compactions += 1;
        ControlFlow::Continue(())
    }

    /// Reads what is sent: by the last compaction, or as it will be by this one.
    pub(super) async fn read_view(
        &self,
        view: Option<(u64, ContextView)>,
    ) -> Flow<(Context, Vec<Item>)> {
        let (most, agent_changed) =
            (self.deps.settings.max_transcript_bytes.into(), self.agent.updated_at.clone());
        let pointer = self.pointer();
        let read = self.turn_writer.read(move |reader, lease| {
            let loading = Loading {
                session: lease.session_id.clone(),
                place: reader.turn_place(&lease.turn_id)?,
                most,
                pointer,
                agent_changed: agent_changed.clone(),
            };
            loading.load(reader, view.clone())
        });
        match read.await {
            Ok(loaded) => ControlFlow::Continue(loaded),
            Err(gave_up) => ControlFlow::Break(self.give_up(gave_up).await),
        }
    }

    pub(super) fn take_view(&mut self, context: Context, items: Vec<Item>) {
        self.transcript = std::sync::Arc::new(items);
        self.context = context;
    }

    fn pointer(&self) -> Pointer {
        let reads = self.specs.iter().any(|spec| spec.name == "read_file");
        if reads { Pointer::ReadFile } else { Pointer::None }
    }

    /// The endpoint refused the request as too long: there is less room than was thought. Whether
    /// that leaves anything to be asked is found out at the boundary.
    pub(super) fn learn_from_refusal(
        &mut self,
        window: Option<u64>,
        tokens: Option<u64>,
        message: String,
    ) -> ControlFlow<String> {
        self.fitting.refusals += 1;
        if self.fitting.refusals > REFUSALS {
            return ControlFlow::Break(message);
        }
        self.fitting.refusal = Some(message);
        self.fitting.window = window.or(self.fitting.window);
        self.context.correct(tokens, self.fixed_tokens);
        let models = self.deps.models.clone();
        if let Some(model) = models.get(&self.agent.model) {
            let total = self.context.estimate(self.fixed_tokens).total;
            if total <= self.room(model).limit {
                self.fitting.most = Some(total * 4 / 5);
            }
        }
        ControlFlow::Continue(())
    }

    fn cannot_fit(&self, estimate: Estimate, room: Room) -> evonic_domain::TurnError {
        let scaled = |tokens| scaled(tokens, estimate.scale);
        let instructions = estimate::text(&self.agent.instructions);
        let message = self.transcript.iter().rfind(|item| matches!(item, Item::User { .. }));
        let parts = [
            ("the instructions are", scaled(instructions)),
            ("the tools are", scaled(self.fixed_tokens.saturating_sub(instructions))),
            ("the last message is", scaled(message.map_or(0, estimate::item))),
        ];
        let bytes = self.deps.settings.max_transcript_bytes;
        messages::context_too_large(parts, room, bytes, self.fitting.refusal.as_deref())
    }
}

/// What a compaction took.
#[derive(Clone, Debug, Default)]
pub(super) struct Made {
    pub(super) model: Option<String>,
    pub(super) usage: Usage,
    pub(super) cost: u64,
}
