//! Keeps the time of one connection.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep};

use super::{ConnectionTimers, TimeoutAction, Timeouts};

/// Ready when a connection's time is over. Polled after the connection itself, so that
/// it sees every change of phase; a deadline that moved later costs nothing until the old one is
/// reached.
#[derive(Debug)]
pub(crate) struct TimeoutWatch {
    timers: ConnectionTimers,
    timeouts: Timeouts,
    sleep: Pin<Box<Sleep>>,
}

impl TimeoutWatch {
    pub(crate) fn new(timers: ConnectionTimers, timeouts: Timeouts) -> Self {
        let sleep = Box::pin(tokio::time::sleep(timeouts.head));
        Self { timers, timeouts, sleep }
    }
}

impl Future for TimeoutWatch {
    type Output = TimeoutAction;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TimeoutAction> {
        loop {
            let next = self.timers.0.lock().next_timeout(&self.timeouts);
            match next {
                Some((at, action)) if at <= Instant::now() => return Poll::Ready(action),
                Some((at, _)) if at < self.sleep.deadline() => self.sleep.as_mut().reset(at),
                _ => {}
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let Some((at, _)) = next else { return Poll::Pending };
            self.sleep.as_mut().reset(at);
        }
    }
}
