//! The event stream of one session (server-sent events).
//!
//! ```text
//!            page is full
//!              +-----+
//!              v     |     page is short              gap, Foreign
//! open ---> CatchUp -+-------------------> Follow ---------------------> CatchUp
//!            ^ |                             |
//!  last piece| | a long event                |
//!            Long --+                        |
//!             ^-----+ piece                  |
//!              |                             |
//!              +----- session gone, turn ended, worker drains, key ended -----> Ended
//! ```
//!
//! Each event is sent exactly as it was committed, so a resumed stream is byte for byte the one
//! that was cut. No database handle is held while waiting: a page is read, the handle closes, and
//! then the page is sent as the client takes it. A client that takes nothing costs one page at the
//! most, and the few events that the store keeps for it: a long event is read in pieces.

mod rendering;

use std::sync::Arc;

use bytes::Bytes;
use evonic_shared::error_chain::ErrorChain;
use futures_util::stream;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use warp::reply::Response;

pub(super) use self::rendering::ends_turn;
use self::rendering::{END, begin, long_ends_turn, render};
use crate::{
    caller::Caller,
    event_stream::{self, HEARTBEAT, RETRY_HINT},
    keyring::KeyWatch,
    open_streams::OpenStream,
    problem::Problem,
    state::ApiState,
    visibility::visible_session,
};
use evonic_domain::{Event, SessionId, TurnId};
use evonic_store::{AfterPage, EventPage, LongEvent, Notice, StoreError, Subscription};

/// Events that one read of the database brings at the most.
const PAGE: u32 = 64;

/// Bytes of their data, or of a piece of a long one's.
const PAGE_BYTES: usize = 128 * 1024;

/// What the client is still to be sent.
pub(super) struct SessionStream {
    state: Arc<ApiState>,
    session: SessionId,
    /// The last event that was sent.
    cursor: u64,
    /// Up to which event the client knows that pieces were folded.
    folded: u64,
    /// The stream ends with this turn.
    until: Option<TurnId>,
    news: Subscription,
    deleted: watch::Receiver<()>,
    /// Of the key that it was opened with.
    watched: KeyWatch,
    _counted: OpenStream,
    step: Step,
    /// When the silence has lasted long enough for a heartbeat.
    heartbeat: Instant,
}

/// Why the log does not go on behind the client's cursor.
#[derive(Clone, Copy, Debug)]
enum ResetReason {
    /// There is no such event.
    Ahead,
    /// Pieces of the step that it is in the middle of are gone.
    Folded,
}

impl ResetReason {
    const fn name(self) -> &'static str {
        match self {
            Self::Ahead => "ahead",
            Self::Folded => "folded",
        }
    }
}

enum Step {
    /// The cursor was beyond the end of the log, or pieces after it were folded: say where the log
    /// goes on.
    Reset(ResetReason),
    CatchUp,
    /// In the middle of an event, so many bytes into its data.
    Long(LongEvent, u64),
    Follow,
    Ended,
}

impl SessionStream {
    /// Follows a session after an event. Subscribes before it first reads, so nothing falls
    /// between the two.
    ///
    /// # Errors
    /// 404 when there is no such session for this caller, or no such turn in it; 429 when the key
    /// has too many streams.
    pub(super) async fn open(
        state: Arc<ApiState>,
        caller: &Caller,
        session: SessionId,
        after: u64,
        until: Option<TurnId>,
    ) -> Result<Self, Problem> {
        let counted = state.streams.open(&caller.identity)?;
        let watched = state.keyring.watch(caller.key());
        let (news, deleted) = (state.app.store.subscribe(&session), state.deleted.subscribe());
        let (id, turn, caller) = (session.clone(), until.clone(), caller.clone());
        let read = state.app.store.read(move |reader| {
            visible_session(reader, &caller, &id)?;
            let bounds = reader.log_bounds(&id)?;
            if let Some(turn) = turn {
                // Of another session it is as if it were not there.
                let found = reader.turn(&turn)?;
                if found.session_id != id {
                    return Err(StoreError::not_found("turn", &turn));
                }
            }
            let is_folded = after > 0 && after < bounds.folded;
            let cursor = if is_folded { reader.step_end(&id, after)? } else { after };
            Ok((bounds, is_folded, cursor.min(bounds.last)))
        });
        let (bounds, is_folded, cursor) = read.await?;
        let step = match is_folded {
            true => Step::Reset(ResetReason::Folded),
            false if after > bounds.last => Step::Reset(ResetReason::Ahead),
            false => Step::CatchUp,
        };
        let heartbeat = Instant::now() + state.app.config.http.sse_heartbeat;
        let _counted = counted;
        Ok(Self {
            state,
            session,
            cursor,
            folded: bounds.folded,
            until,
            news,
            deleted,
            watched,
            _counted,
            step,
            heartbeat,
        })
    }

    /// The next bytes; nothing when the stream has ended. Ends only between two events, unless its
    /// session or its key is gone.
    async fn next(&mut self) -> Option<Bytes> {
        let key_ended = self.watched.ended();
        loop {
            if matches!(self.step, Step::Ended) {
                return None;
            }
            let bytes = key_ended.run_until_cancelled(self.advance()).await?;
            if !bytes.is_empty() {
                self.heartbeat = Instant::now() + self.state.app.config.http.sse_heartbeat;
                return Some(bytes.into());
            }
        }
    }

    async fn advance(&mut self) -> Vec<u8> {
        match &self.step {
            Step::Reset(reason) => {
                let reason = *reason;
                self.reset(reason).into()
            }
            Step::CatchUp => self.catch_up().await.into(),
            Step::Long(event, sent) => {
                let (event, sent) = (event.clone(), *sent);
                self.send_piece(event, sent).await
            }
            Step::Follow => self.follow().await.into(),
            Step::Ended => Vec::new(),
        }
    }

    fn reset(&mut self, reason: ResetReason) -> String {
        self.step = Step::CatchUp;
        let (last, reason) = (self.cursor, reason.name());
        format!(
            "id: {last}\nevent: reset\n\
             data: {{\"last_event\":{last},\"reason\":\"{reason}\"}}\n\n"
        )
    }

    /// Whether events are missing in front of this one that the client does not know of.
    fn is_gap(&self, before: u64, next: u64) -> bool {
        next > before + 1 && before >= self.folded && before > 0
    }

    /// The log was folded while the client read it: it goes on from the step that it is in.
    async fn go_back(&mut self) -> Result<(), StoreError> {
        let (id, cursor) = (self.session.clone(), self.cursor);
        let read = self.state.app.store.read(move |reader| {
            Ok((reader.log_bounds(&id)?.folded, reader.step_end(&id, cursor)?))
        });
        let (folded, end) = read.await?;
        (self.folded, self.cursor) = (folded.max(cursor + 1), end);
        self.step = Step::Reset(ResetReason::Folded);
        Ok(())
    }

    async fn catch_up(&mut self) -> String {
        if self.state.shutdown.draining.is_cancelled() {
            return self.part();
        }
        match self.read_page().await {
            Ok((page, complete)) => {
                let mut before = self.cursor;
                for next in page.sequences() {
                    if self.is_gap(before, next) {
                        return match self.go_back().await {
                            Ok(()) => String::new(),
                            Err(error) => self.cannot_read(error).await.to_owned(),
                        };
                    }
                    before = next;
                }
                let text = self.send(&page.events);
                if matches!(self.step, Step::Ended) {
                    return text;
                }
                self.step = match page.next {
                    AfterPage::Long(event) => {
                        let begin = begin(event.sequence, &event.name);
                        self.step = Step::Long(event, 0);
                        return text + &begin;
                    }
                    AfterPage::More => Step::CatchUp,
                    AfterPage::End if complete => Step::Ended,
                    AfterPage::End => Step::Follow,
                };
                text
            }
            Err(error) => self.cannot_read(error).await.to_owned(),
        }
    }

    /// Sends a piece of a long event.
    async fn send_piece(&mut self, event: LongEvent, sent: u64) -> Vec<u8> {
        let (id, sequence) = (self.session.clone(), event.sequence);
        let read = self
            .state
            .app
            .store
            .read(move |reader| reader.event_piece(&id, sequence, sent, PAGE_BYTES));
        let mut piece = match read.await {
            Ok(piece) => piece,
            Err(error) => {
                // Nothing ends the event: its client forgets what it has of it.
                self.cannot_read(error).await;
                return Vec::new();
            }
        };
        let sent = sent + piece.len() as u64;
        if sent < event.bytes && !piece.is_empty() {
            self.step = Step::Long(event, sent);
            return piece;
        }
        piece.extend(END.as_bytes());
        self.cursor = event.sequence;
        let is_last = self.until.as_ref().is_some_and(|turn| long_ends_turn(&event, turn));
        self.step = if is_last { Step::Ended } else { Step::CatchUp };
        piece
    }

    /// Waits for a handle, or ends the stream. Returns what ends it between two events.
    async fn cannot_read(&mut self, error: StoreError) -> &'static str {
        match error {
            StoreError::Exhausted(exhausted) => {
                let draining = self.state.shutdown.draining.clone();
                let pause = tokio::time::sleep(exhausted.retry_after);
                draining.run_until_cancelled(pause).await;
                return "";
            }
            StoreError::NotFound { .. } | StoreError::Closed => {}
            error => tracing::error!(
                session_id = %self.session,
                error = %ErrorChain(&error),
                "event stream cannot read"
            ),
        }
        self.step = Step::Ended;
        RETRY_HINT
    }

    /// A page, and whether the turn that is waited for has ended: its last event is then in this
    /// page or before, or follows.
    async fn read_page(&self) -> Result<(EventPage, bool), StoreError> {
        let (id, after, until) = (self.session.clone(), self.cursor, self.until.clone());
        let read = self.state.app.store.read(move |reader| {
            let page = reader.event_page(&id, after, PAGE, PAGE_BYTES)?;
            let turn = until.map(|turn| reader.turn(&turn)).transpose()?;
            Ok((page, turn.is_some_and(|turn| turn.state.is_ended())))
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
            render(&mut text, event);
            self.cursor = event.sequence;
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
