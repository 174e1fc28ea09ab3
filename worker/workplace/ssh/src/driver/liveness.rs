//! When the peer was last heard, and when it is asked for a sign of life.

use std::time::{Duration, Instant};

use evonic_shared::config;

/// The least pause between two keepalives: libssh2's own.
pub(super) const MIN_KEEPALIVE: Duration = Duration::from_secs(2);

/// The shortest wait.
pub(super) const MIN_WAIT: Duration = Duration::from_millis(1);

pub(super) struct Liveness {
    heard: Instant,
    /// The first keepalive since then.
    unanswered: Option<Instant>,
    /// The next one is not sent before.
    next: Instant,
}

impl Liveness {
    pub(super) fn new(now: Instant) -> Self {
        Self { heard: now, unanswered: None, next: now }
    }

    /// Something came from the peer.
    pub(super) fn hear(&mut self) {
        self.heard = Instant::now();
        self.unanswered = None;
    }

    /// How long to wait at most before the next look.
    ///
    /// # Errors
    /// Why the peer is taken for dead.
    pub(super) fn wait(
        &self,
        settings: &config::Ssh,
        is_stuck: bool,
        now: Instant,
    ) -> Result<Duration, String> {
        let silent = now.saturating_duration_since(self.heard);
        let limit = settings.dead_after.saturating_sub(settings.keepalive_interval);
        let limit = limit.max(settings.dead_after / 2);
        let unanswered = self.unanswered.map(|since| now.saturating_duration_since(since));
        let dead = unanswered.is_some_and(|unanswered| unanswered >= limit)
            || (is_stuck && silent >= settings.dead_after);
        if dead {
            return Err(format!("the host was silent for {} s", silent.as_secs_f32().round()));
        }
        let until_dead = limit.saturating_sub(unanswered.unwrap_or_default()).max(MIN_WAIT);
        if self.is_keepalive_due(settings, now) {
            return Ok(until_dead);
        }
        let next = self.next.saturating_duration_since(now);
        Ok(until_dead.min(settings.keepalive_interval.saturating_sub(silent).max(next)))
    }

    pub(super) fn is_keepalive_due(&self, settings: &config::Ssh, now: Instant) -> bool {
        let silent = now.saturating_duration_since(self.heard);
        silent >= settings.keepalive_interval && now >= self.next
    }

    /// A keepalive is sent now.
    pub(super) fn keepalive_sent(&mut self, settings: &config::Ssh, now: Instant) {
        self.next = now + settings.keepalive_interval.max(MIN_KEEPALIVE);
        self.unanswered.get_or_insert(now);
    }
}
