//! When the first of the turns that wait until a time can be claimed.

use std::time::Duration;

use tokio::time::Instant;

use crate::queue::sleep_until;

/// The wall's clock was set where it and the uptime are so far from where they were.
const STEP: Duration = Duration::from_secs(2);

/// Rings once, at a time by the machine's uptime. While nothing waits it costs nothing.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    set: Option<Set>,
    /// The wall's time at the machine's start, when it was set last; none where nothing waited.
    start: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Set {
    /// By a clock that stops while the machine sleeps.
    timer: Instant,
    /// By one that does not.
    uptime: Duration,
}

impl Alarm {
    /// Sets it, for so much later than now, or not at all.
    pub(super) fn set(&mut self, time: Option<Duration>) {
        let uptime = evonic_store::uptime();
        self.set = time.map(|time| Set { timer: Instant::now() + time, uptime: uptime + time });
        self.start = time.map(|_| start(uptime));
    }

    /// Waits until it rings; for ever where it is not set. Cancel safe.
    pub(super) async fn rings(&mut self) {
        sleep_until(self.set.map(|set| set.timer)).await;
        self.set = None;
    }

    /// Whether it should have rung but for a timer that stood still, or the wall's clock was set.
    pub(super) fn is_late(&self) -> bool {
        self.set.is_some_and(|set| evonic_store::uptime() >= set.uptime) || self.clock_stepped()
    }

    /// Whether the wall's clock was set since the alarm was, also where that rang meanwhile.
    pub(super) fn clock_stepped(&self) -> bool {
        self.start.is_some_and(|then| start(evonic_store::uptime()).abs_diff(then) > STEP)
    }
}

/// The wall's time at the machine's start, as both clocks say now.
fn start(uptime: Duration) -> Duration {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap_or_default().saturating_sub(uptime)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOT_YET: Duration = Duration::from_millis(50);

    async fn rang(alarm: &mut Alarm) -> bool {
        tokio::time::timeout(NOT_YET, alarm.rings()).await.is_ok()
    }

    #[tokio::test]
    async fn it_rings_once_and_at_its_time() {
        let mut alarm = Alarm::default();
        assert!(!rang(&mut alarm).await && !alarm.is_late() && !alarm.clock_stepped());
        alarm.set(Some(Duration::from_secs(3600)));
        assert!(!rang(&mut alarm).await && !alarm.is_late() && !alarm.clock_stepped());
        alarm.set(Some(Duration::ZERO));
        assert!(alarm.is_late(), "a timer that stood still rings at the next ping");
        assert!(rang(&mut alarm).await);
        assert!(!rang(&mut alarm).await && !alarm.is_late());
    }

    #[tokio::test]
    async fn a_clock_that_is_set_is_noticed() {
        let mut alarm = Alarm::default();
        for step in [Duration::ZERO, 2 * STEP] {
            alarm.set(Some(Duration::from_secs(3600)));
            if let Some(start) = &mut alarm.start {
                *start += step;
            }
            assert_eq!(
                (alarm.is_late(), alarm.clock_stepped()),
                (!step.is_zero(), !step.is_zero())
            );
        }
        // It rings for another reason before anybody asks.
        alarm.set(Some(Duration::ZERO));
        if let Some(start) = &mut alarm.start {
            *start += 2 * STEP;
        }
        assert!(rang(&mut alarm).await && alarm.clock_stepped());
        alarm.set(None);
        assert!(!alarm.clock_stepped());
    }
}
