//! Whether waiting connections are accepted.
//!
//! An accept loop that runs shortens the queue again and again, however many connections come.
//! One that stands never does. So a queue is looked at as long as it is not empty, and each look
//! that finds it shorter than the one before is proof of life.

use std::time::Duration;

use super::{Instant, wording::seconds};

/// Looks at a queue within the time in which it must shrink: enough that a busy worker is seen
/// at work, whose queue is now longer, now shorter.
const LOOKS: u32 = 8;

/// What is known of the accept queues.
#[derive(Debug, Default)]
pub(super) struct AcceptQueue {
    standing: Option<Standing>,
}

#[derive(Debug)]
struct Standing {
    since: Instant,
    waiting: u32,
    look_at: Instant,
}

impl AcceptQueue {
    /// Forgets the queue: who was to accept has changed.
    pub(super) fn clear(&mut self) {
        self.standing = None;
    }

    /// A look at the queue; the finding when it has stood for `stall`.
    pub(super) fn seen(&mut self, waiting: u32, now: Instant, stall: Duration) -> Option<String> {
        let since = match &self.standing {
            _ if waiting == 0 => {
                self.standing = None;
                return None;
            }
            Some(standing) if waiting >= standing.waiting => standing.since,
            _ => now,
        };
        self.standing = Some(Standing { since, waiting, look_at: now + pause(stall) });
        let stood = now.saturating_sub(since);
        (stood >= stall).then(|| match waiting {
            1 => format!("1 connection has waited {} without being accepted", seconds(stood)),
            _ => format!(
                "{waiting} connections have waited {} without being accepted",
                seconds(stood)
            ),
        })
    }

    /// When to look again; [`None`] when nothing waits.
    pub(super) fn look_at(&self) -> Option<Instant> {
        self.standing.as_ref().map(|standing| standing.look_at)
    }

    /// A look is asked for.
    pub(super) fn asked(&mut self, now: Instant, stall: Duration) {
        if let Some(standing) = &mut self.standing {
            standing.look_at = now + pause(stall);
        }
    }
}

fn pause(stall: Duration) -> Duration {
    (stall / LOOKS).max(Duration::from_millis(10))
}
