//! How far a connection is, and when that has taken too long.
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
//! The wire reports bytes, the exchange reports requests and answers, the [`Watchdog`] keeps the
//! time. All three run in the connection's one task.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Instant, Sleep};

/// A client that closed its sending side gets what is answered within this time. Nothing tells
/// it from one that is gone, so no stream and no long wait is kept up for it.
const HALF_CLOSED: Duration = Duration::from_secs(2);

/// How long a connection may stay in each phase.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// From the start, or a later request's first byte, to the end of the headers.
    pub(super) head: Duration,
    /// Between two requests; and for an answer that the client does not take.
    pub(super) idle: Duration,
    /// Between two requests of a draining worker.
    pub(super) linger: Duration,
}

/// What is to be done with a connection whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
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
    /// Told to close once what is written has gone out.
    Leaving,
    /// Everything has gone out; the wire says farewell and bounds that itself.
    Closing,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    /// The request that is answered has come to its end.
    body_ended: bool,
    /// Bytes came after it: the next request has begun.
    pipelined: bool,
    /// When the client closed its sending side.
    half_closed: Option<Instant>,
    /// Since when the client takes nothing.
    stalled: Option<Instant>,
    /// When the worker began to drain.
    draining: Option<Instant>,
}

impl State {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
    }

    fn due(&self, limits: &Limits) -> Option<(Instant, Due)> {
        let phase = match self.phase {
            Phase::Fresh => Some((self.since + limits.head, Due::Close)),
            Phase::Head => Some((self.since + limits.head, Due::Timeout)),
            Phase::Idle => Some((self.since + limits.idle, Due::Close)),
            Phase::Busy => self.half_closed.map(|at| (at + HALF_CLOSED, Due::GiveUp)),
            Phase::Leaving | Phase::Closing => None,
        };
        let stall = self.stalled.map(|at| (at + limits.idle, Due::GiveUp));
        let drain = match self.phase {
            Phase::Fresh | Phase::Idle => {
                self.draining.map(|at| (at.max(self.since) + limits.linger, Due::Close))
            }
            Phase::Head | Phase::Busy | Phase::Leaving | Phase::Closing => None,
        };
        [phase, stall, drain].into_iter().flatten().min_by_key(|(at, _)| *at)
    }
}

/// One connection's progress, shared by the parts of its task.
#[derive(Clone, Debug)]
pub(super) struct Progress(Arc<Mutex<State>>);

impl Progress {
    /// Of a connection that was accepted now.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            phase: Phase::Fresh,
            since: Instant::now(),
            body_ended: true,
            pipelined: false,
            half_closed: None,
            stalled: None,
            draining: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// Bytes came.
    pub(super) fn received(&self) {
        let mut state = self.state();
        match state.phase {
            Phase::Fresh | Phase::Idle => state.enter(Phase::Head),
            Phase::Busy if state.body_ended => state.pipelined = true,
            Phase::Head | Phase::Busy | Phase::Leaving | Phase::Closing => {}
        }
    }

    /// The client closed its sending side. Returns whether the server may be told now: not while
    /// it answers a request that came whole, for it would drop the answer.
    pub(super) fn half_closed(&self) -> bool {
        let mut state = self.state();
        let hide = state.phase == Phase::Busy && state.body_ended;
        if hide && state.half_closed.is_none() {
            state.half_closed = Some(Instant::now());
        }
        !hide
    }

    /// A request's headers are complete.
    pub(super) fn called(&self, body_ended: bool) {
        let mut state = self.state();
        state.enter(Phase::Busy);
        state.body_ended = body_ended;
        state.pipelined = false;
    }

    /// The request's body came to its end.
    pub(super) fn body_ended(&self) {
        self.state().body_ended = true;
    }

    /// Whether the request came whole.
    pub(super) fn is_body_ended(&self) -> bool {
        self.state().body_ended
    }

    /// The answer is written, or given up.
    pub(super) fn answered(&self) {
        let mut state = self.state();
        if state.phase == Phase::Busy {
            let next = if state.pipelined { Phase::Head } else { Phase::Idle };
            state.enter(next);
        }
    }

    /// The client took bytes.
    pub(super) fn wrote(&self) {
        self.state().stalled = None;
    }

    /// The client takes no bytes.
    pub(super) fn stalled(&self) {
        self.state().stalled.get_or_insert_with(Instant::now);
    }

    /// The worker drains.
    pub(super) fn drain(&self) {
        self.state().draining.get_or_insert_with(Instant::now);
    }

    /// The connection is to close once what is written has gone out.
    pub(super) fn leave(&self) {
        self.state().enter(Phase::Leaving);
    }

    /// Everything has gone out, and the end of file after it.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.enter(Phase::Closing);
        state.stalled = None;
    }

    /// Whether a request has begun whose headers have not ended.
    pub(super) fn is_in_head(&self) -> bool {
        self.state().phase == Phase::Head
    }

    /// Whether cutting the connection now would cost its client something.
    pub(super) fn is_under_way(&self) -> bool {
        let state = self.state();
        matches!(state.phase, Phase::Head | Phase::Busy) || state.stalled.is_some()
    }
}

/// Becomes ready when a connection's time is over. Polled after the connection itself, so that
/// it sees every change of phase; a deadline that moved later costs nothing until the old one is
/// reached.
#[derive(Debug)]
pub(super) struct Watchdog {
    progress: Progress,
    limits: Limits,
    sleep: Pin<Box<Sleep>>,
}

impl Watchdog {
    /// Watches this progress.
    pub(super) fn new(progress: Progress, limits: Limits) -> Self {
        let sleep = Box::pin(tokio::time::sleep(limits.head));
        Self { progress, limits, sleep }
    }
}

impl Future for Watchdog {
    type Output = Due;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Due> {
        loop {
            let due = self.progress.state().due(&self.limits);
            match due {
                Some((at, due)) if at <= Instant::now() => return Poll::Ready(due),
                Some((at, _)) if at < self.sleep.deadline() => self.sleep.as_mut().reset(at),
                _ => {}
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let Some((at, _)) = due else { return Poll::Pending };
            self.sleep.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests;
