//! The phase of a connection, and when it has taken too long.
//!
//! ```text
//!          first byte          headers complete          answer written
//! Fresh ----------------> Head ----------------> Busy ------------------> Idle
//!   |                      ^                                             |   |
//!   |                      +---------------- first byte -----------------+   |
//!   |  time over                                                             |
//!   +------------> Leaving ---- end of file sent ----> Closing <--(from Busy)
//! ```
//!
//! The stream reports bytes, the request service reports requests and answers, [`TimeoutWatch`] keeps
//! the time. All three run in the connection's one task.

mod timeout_watch;

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

pub(super) use self::timeout_watch::TimeoutWatch;
use crate::{
    places::{Activity, Place},
    request_framing::BodyLength,
};

/// A client that closed its sending side looks like one that is gone. It gets what is answered
/// within this time, and what it takes without a pause of this time.
const HALF_CLOSED_LIMIT: Duration = Duration::from_secs(2);

/// The same for who follows or waits: only what is there already is sent.
const LEFT_LIMIT: Duration = Duration::from_millis(500);

/// How long a connection may stay in a phase.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// From the start, or a later request's first byte, to the end of the headers.
    pub(super) head: Duration,
    /// Between two requests; and for an answer that the client does not take.
    pub(super) idle: Duration,
    /// Between two requests of a draining worker.
    pub(super) linger: Duration,
}

/// What to do with a connection whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeoutAction {
    /// Nothing is under way: close it in order.
    Close,
    /// A request began and its headers do not end: 408.
    Timeout,
    /// The client takes no answer or is gone: cut it.
    GiveUp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Fresh,
    Head,
    Busy,
    Idle,
    /// To close once what is written has gone out.
    Leaving,
    /// Everything has gone out; the stream lingers, and bounds that itself.
    Closing,
}

#[derive(Debug)]
struct State {
    /// None for a connection from inside.
    place: Option<Arc<Place>>,
    phase: Phase,
    since: Instant,
    /// Of the request that came last, until the stream takes it.
    body_length: Option<BodyLength>,
    /// The request that is answered has come whole.
    body_ended: bool,
    /// The answer waits for something to happen: a stream of events, or a long wait.
    waits: bool,
    /// hyper may still write some of the answer.
    answering: bool,
    /// Bytes came after it: the next request began.
    pipelined: bool,
    /// When the client closed its sending side while it was answered, or last took something after
    /// that.
    half_closed: Option<Instant>,
    /// Since when the client reads nothing.
    stalled: Option<Instant>,
    /// When the worker began to drain.
    draining: Option<Instant>,
}

impl State {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
        self.report();
    }

    /// Tells the place what the connection does.
    fn report(&self) {
        let activity = match self.phase {
            Phase::Leaving | Phase::Closing => Activity::Idle,
            // Also of an answer that is over, and not yet with the client.
            _ if self.stalled.is_some() => Activity::Stalled,
            Phase::Fresh => Activity::Fresh,
            Phase::Head => Activity::Begun,
            Phase::Busy => Activity::Busy,
            Phase::Idle => Activity::Idle,
        };
        if let Some(place) = &self.place {
            place.set(activity);
        }
    }

    fn next_timeout(&self, timeouts: &Timeouts) -> Option<(Instant, TimeoutAction)> {
        let phase = match self.phase {
            Phase::Fresh => Some((self.since + timeouts.head, TimeoutAction::Close)),
            Phase::Head => Some((self.since + timeouts.head, TimeoutAction::Timeout)),
            Phase::Idle => Some((self.since + timeouts.idle, TimeoutAction::Close)),
            Phase::Busy => {
                let limit = if self.waits { LEFT_LIMIT } else { HALF_CLOSED_LIMIT };
                self.half_closed.map(|at| (at.max(self.since) + limit, TimeoutAction::GiveUp))
            }
            Phase::Leaving | Phase::Closing => None,
        };
        let stall = self.stalled.map(|at| (at + timeouts.idle, TimeoutAction::GiveUp));
        let drain = match self.phase {
            Phase::Fresh | Phase::Idle => {
                self.draining.map(|at| (at.max(self.since) + timeouts.linger, TimeoutAction::Close))
            }
            Phase::Head | Phase::Busy | Phase::Leaving | Phase::Closing => None,
        };
        [phase, stall, drain].into_iter().flatten().min_by_key(|(at, _)| *at)
    }
}

/// Shared by the parts of one connection's task.
#[derive(Clone, Debug)]
pub(super) struct ConnectionTimers(Arc<Mutex<State>>);

impl ConnectionTimers {
    /// Of a connection that was just accepted, and its place, if it has one.
    pub(super) fn new(place: Option<Arc<Place>>) -> Self {
        Self(Arc::new(Mutex::new(State {
            place,
            phase: Phase::Fresh,
            since: Instant::now(),
            body_length: None,
            body_ended: true,
            waits: false,
            answering: false,
            pipelined: false,
            half_closed: None,
            stalled: None,
            draining: None,
        })))
    }

    /// Bytes came.
    pub(super) fn received(&self) {
        let mut state = self.0.lock();
        match state.phase {
            Phase::Fresh | Phase::Idle => state.enter(Phase::Head),
            Phase::Busy if state.body_ended => state.pipelined = true,
            Phase::Head | Phase::Busy | Phase::Leaving | Phase::Closing => {}
        }
    }

    /// The client closed its sending side.
    pub(super) fn half_closed(&self) {
        let mut state = self.0.lock();
        if state.phase == Phase::Busy {
            state.half_closed.get_or_insert_with(Instant::now);
        }
    }

    /// A request's headers are complete.
    pub(super) fn called(&self, length: BodyLength) {
        let mut state = self.0.lock();
        state.enter(Phase::Busy);
        state.body_length = Some(length);
        state.body_ended = length == BodyLength::Exact(0);
        state.waits = false;
        state.answering = true;
        state.pipelined = false;
    }

    /// How the body of the request that came last is delimited; once for each.
    pub(super) fn take_body_length(&self) -> Option<BodyLength> {
        self.0.lock().body_length.take()
    }

    /// The answer is to wait for something to happen.
    pub(super) fn waits(&self) {
        self.0.lock().waits = true;
    }

    /// The request's body came to its end.
    pub(super) fn body_ended(&self) {
        self.0.lock().body_ended = true;
    }

    /// Whether the request came whole.
    pub(super) fn is_body_ended(&self) -> bool {
        self.0.lock().body_ended
    }

    /// The answer is written, or given up.
    pub(super) fn answered(&self) {
        let mut state = self.0.lock();
        if state.phase == Phase::Busy {
            let next = if state.pipelined { Phase::Head } else { Phase::Idle };
            state.enter(next);
        }
    }

    pub(super) fn wrote(&self) {
        let mut state = self.0.lock();
        if state.half_closed.is_some() && !state.waits {
            state.half_closed = Some(Instant::now());
        }
        if state.stalled.take().is_some() {
            state.report();
        }
    }

    /// All that was written has gone out.
    pub(super) fn flushed(&self) {
        let mut state = self.0.lock();
        state.answering &= state.phase == Phase::Busy;
    }

    /// The client reads nothing.
    pub(super) fn stalled(&self) {
        let mut state = self.0.lock();
        if state.stalled.is_none() {
            state.stalled = Some(Instant::now());
            state.report();
        }
    }

    pub(super) fn drain(&self) {
        self.0.lock().draining.get_or_insert_with(Instant::now);
    }

    /// The connection is to close once what is written has gone out.
    pub(super) fn leave(&self) {
        self.0.lock().enter(Phase::Leaving);
    }

    /// Everything has gone out, and the end of file after it.
    pub(super) fn close(&self) {
        let mut state = self.0.lock();
        state.enter(Phase::Closing);
        state.stalled = None;
    }

    /// Whether a request is answered.
    pub(super) fn is_busy(&self) -> bool {
        self.0.lock().phase == Phase::Busy
    }

    /// Whether what hyper writes belongs to the answer of a request.
    pub(super) fn is_answering(&self) -> bool {
        self.0.lock().answering
    }

    /// Whether a request has begun whose headers have not ended.
    pub(super) fn is_in_head(&self) -> bool {
        self.0.lock().phase == Phase::Head
    }

    /// Whether cutting the connection now would cost its client something.
    pub(super) fn is_under_way(&self) -> bool {
        let state = self.0.lock();
        matches!(state.phase, Phase::Head | Phase::Busy) || state.stalled.is_some()
    }
}

#[cfg(test)]
mod tests;
