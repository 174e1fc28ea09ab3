//! Whether waiting connections are accepted.
//!
//! A running accept loop shortens the queue again and again, however many connections come; a
//! stalled one never does. So a queue is polled while it is not empty, and each poll that finds it
//! shorter than the one before is proof of life.

use std::time::Duration;

use super::{Instant, messages::seconds};

/// Polls within the time in which a queue must shrink: enough to see a busy worker at work, whose
/// queue is now longer, now shorter.
const POLLS: u32 = 8;

/// The accept queues, as last polled.
#[derive(Debug, Default)]
pub(super) struct AcceptQueue {
    queue: Option<Queue>,
    /// No finding before this: the supervisor did not run, and the worker may not yet.
    suspended_until: Instant,
}

#[derive(Debug)]
struct Queue {
    since: Instant,
    waiting: u32,
    poll_at: Instant,
}

impl AcceptQueue {
    /// Forgets the queue: another worker accepts now.
    pub(super) fn clear(&mut self) {
        self.queue = None;
    }

    /// Forgets the queue after the supervisor did not run, and finds nothing before this time.
    pub(super) fn suspend_until(&mut self, until: Instant) {
        self.queue = None;
        self.suspended_until = until;
    }

    /// Records a poll; the finding when the queue has not shrunk for `stall`.
    pub(super) fn polled(&mut self, waiting: u32, now: Instant, stall: Duration) -> Option<String> {
        let since = match &self.queue {
            _ if waiting == 0 => {
                self.queue = None;
                return None;
            }
            Some(queue) if waiting >= queue.waiting => queue.since,
            _ => now,
        };
        self.queue = Some(Queue { since, waiting, poll_at: now + pause(stall) });
        let stalled = now.saturating_sub(since);
        (stalled >= stall && now >= self.suspended_until).then(|| match waiting {
            1 => format!("1 connection has waited {} without being accepted", seconds(stalled)),
            _ => format!(
                "{waiting} connections have waited {} without being accepted",
                seconds(stalled)
            ),
        })
    }

    /// When to poll again; [`None`] when nothing waits.
    pub(super) fn poll_at(&self) -> Option<Instant> {
        self.queue.as_ref().map(|queue| queue.poll_at)
    }

    /// A poll is requested.
    pub(super) fn requested(&mut self, now: Instant, stall: Duration) {
        if let Some(queue) = &mut self.queue {
            queue.poll_at = now + pause(stall);
        }
    }
}

fn pause(stall: Duration) -> Duration {
    (stall / POLLS).max(Duration::from_millis(10))
}
