//! The event stream of one session (server-sent events).
//!
//! ```text
//!            page is full
//!              +-----+
//!              v     |     page is short              gap, Foreign
//! open ---> CatchUp -+-------------------> Follow ---------------------> CatchUp
//!              |                             |
//!              +----- session gone, turn ended, worker drains -----> Ended
//! ```
//!
//! Each event is sent exactly as it was committed, so a resumed stream is byte for byte the one
//! that was cut. No database handle is held while waiting: a page is read, the handle closes, and
//! then the page is sent as the client takes it.

use std::{fmt::Write, sync::Arc};

use bytes::Bytes;
use evonic_shared::error_chain::ErrorChain;
use futures_util::stream;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use warp::reply::Response;

use crate::{
    caller::Caller,
    event_stream::{self, HEARTBEAT, RETRY_HINT},
    problem::Problem,
    state::ApiState,
    visibility::visible_session,
};
use evonic_domain::{Event, SessionId, TurnId};
use evonic_store::{Notice, StoreError, Subscription};

/// Events that one read of the database brings at the most.
const PAGE: u32 = 64;

/// What the client is still to be sent.
pub(super) struct SessionStream {
    state: Arc<ApiState>,
    session: SessionId,
    /// The last event that was sent.
    cursor: u64,
    /// The stream ends with this turn.
    until: Option<TurnId>,
    news: Subscription,
    deleted: watch::Receiver<()>,
    step: Step,
    /// When the silence has lasted long enough for a heartbeat.
    heartbeat: Instant,
}

enum Step {
    /// The cursor was beyond the end: say where the log really ends.
    Reset,
    CatchUp,
    Follow,
    Ended,
}

/// The result of one read.
struct Page {
    events: Vec<Event>,
    /// There are more in the database.
    more: bool,
    /// The turn that is waited for has ended, and its last event is in this page or before.
    complete: bool,
}

impl SessionStream {
    /// Follows a session after an event. Subscribes before it first reads, so nothing falls
    /// between the two.
    ///
    /// # Errors
    /// 404 when there is no such session for this caller; 422 when the turn is not of this session.
    pub(super) async fn open(
        state: Arc<ApiState>,
        caller: &Caller,
        session: SessionId,
        after: u64,
        until: Option<TurnId>,
    ) -> Result<Self, Problem> {
        let (news, deleted) = (state.app.store.subscribe(&session), state.deleted.subscribe());
        let (id, turn, caller) = (session.clone(), until.clone(), caller.clone());
        let read = state.app.store.read(move |reader| {
            let last = visible_session(reader, &caller, &id)?.last_event;
            let turn = turn.map(|turn| reader.turn(&turn)).transpose()?;
            Ok((last, turn.is_some_and(|turn| turn.session_id != id)))
        });
        let (last, foreign) = read.await?;
        if foreign {
            return Err(Problem::unusable("until_turn", "the turn is of another session"));
        }
        let step = if after > last { Step::Reset } else { Step::CatchUp };
        let heartbeat = Instant::now() + state.app.config.http.sse_heartbeat;
        Ok(Self { state, session, cursor: after.min(last), until, news, deleted, step, heartbeat })
    }

    /// The next bytes; nothing when the stream has ended. Ends only between two events.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let bytes = match self.step {
                Step::Reset => self.reset(),
                Step::CatchUp => self.catch_up().await,
                Step::Follow => self.follow().await,
                Step::Ended => return None,
            };
            if !bytes.is_empty() {
                self.heartbeat = Instant::now() + self.state.app.config.http.sse_heartbeat;
                return Some(bytes.into());
            }
        }
    }

    fn reset(&mut self) -> String {
        self.step = Step::CatchUp;
        let last = self.cursor;
        format!("id: {last}\nevent: reset\ndata: {{\"last_event\":{last}}}\n\n")
    }

    async fn catch_up(&mut self) -> String {
        if self.state.shutdown.draining.is_cancelled() {
            return self.part();
        }
        match self.read_page().await {
            Ok(page) => {
                self.step = match (page.more, page.complete) {
                    (true, _) => Step::CatchUp,
                    (false, true) => Step::Ended,
                    (false, false) => Step::Follow,
                };
                self.send(&page.events)
            }
            Err(StoreError::Exhausted(exhausted)) => {
                let draining = self.state.shutdown.draining.clone();
                let pause = tokio::time::sleep(exhausted.retry_after);
                draining.run_until_cancelled(pause).await;
                String::new()
            }
            Err(StoreError::NotFound { .. } | StoreError::Closed) => self.part(),
            Err(error) => {
                tracing::error!(
                    session_id = %self.session,
                    error = %ErrorChain(&error),
                    "event stream cannot read"
                );
                self.part()
            }
        }
    }

    async fn read_page(&self) -> Result<Page, StoreError> {
        let (id, after, until) = (self.session.clone(), self.cursor, self.until.clone());
        let read = self.state.app.store.read(move |reader| {
            let (events, more) = reader.events(&id, after, PAGE)?;
            let turn = until.map(|turn| reader.turn(&turn)).transpose()?;
            let complete = turn.is_some_and(|turn| turn.state.is_ended());
            Ok(Page { events, more, complete })
        });
        read.await
    }

    async fn follow(&mut self) -> String {
        let draining = self.state.shutdown.draining.clone();
        let notice = timeout_at(self.heartbeat, next_notice(&mut self.news, &mut self.deleted));
        match draining.run_until_cancelled(notice).await {
            Some(Ok(Some(Notice::Events(events)))) => self.take(&events),
            Some(Ok(Some(Notice::Foreign))) => {
                self.step = Step::CatchUp;
                String::new()
            }
            Some(Err(_)) => self.beat().await,
            // The worker drains, or the store is closing.
            None | Some(Ok(None)) => self.part(),
        }
    }

    /// Sends what is new of a notice; goes back to the database when it leaves a gap.
    fn take(&mut self, events: &[Event]) -> String {
        let known = events.partition_point(|event| event.sequence <= self.cursor);
        let new = &events[known..];
        match new.first() {
            Some(first) if first.sequence == self.cursor + 1 => self.send(new),
            Some(_) => {
                self.step = Step::CatchUp;
                String::new()
            }
            None => String::new(),
        }
    }

    /// A heartbeat, if the session is still there: another worker may have deleted it.
    async fn beat(&mut self) -> String {
        let id = self.session.clone();
        let found = self.state.app.store.read(move |reader| reader.session(&id)).await;
        if let Err(StoreError::NotFound { .. }) = found {
            return self.part();
        }
        HEARTBEAT.to_owned()
    }

    /// Renders events in order, up to the last one of the turn that is waited for.
    fn send(&mut self, events: &[Event]) -> String {
        let mut text = String::new();
        for event in events {
            let (number, name, data) = (event.sequence, &event.name, &event.data);
            // Writing to a string cannot fail.
            let _ = write!(text, "id: {number}\nevent: {name}\ndata: {data}\n\n");
            self.cursor = number;
            if self.until.as_ref().is_some_and(|turn| ends_turn(event, turn)) {
                self.step = Step::Ended;
                break;
            }
        }
        text
    }

    /// Ends the stream with a hint when to come back.
    fn part(&mut self) -> String {
        self.step = Step::Ended;
        RETRY_HINT.to_owned()
    }

    pub(super) fn into_response(self) -> Response {
        event_stream::respond(stream::unfold(self, |mut stream| async {
            let bytes = stream.next().await?;
            Some((bytes, stream))
        }))
    }
}

/// The next notice; a deletion is one of those after which the database must be read.
async fn next_notice(news: &mut Subscription, deleted: &mut watch::Receiver<()>) -> Option<Notice> {
    tokio::select! {
        biased;
        notice = news.next() => notice,
        Ok(()) = deleted.changed() => Some(Notice::Foreign),
    }
}

/// Whether this is the last event of a turn.
pub(super) fn ends_turn(event: &Event, turn: &TurnId) -> bool {
    #[derive(serde::Deserialize)]
    struct Of<'a> {
        turn_id: &'a str,
    }
    matches!(event.name.as_str(), "turn.completed" | "turn.failed" | "turn.cancelled")
        && serde_json::from_str::<Of<'_>>(&event.data).is_ok_and(|of| of.turn_id == turn.as_str())
}
