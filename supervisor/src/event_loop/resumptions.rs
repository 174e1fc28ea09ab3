//! How often a signal may say that this process was stopped for a while. Whoever may send one may send
//! them in a loop, and each starts every deadline anew: without a bound no worker would ever be late.

use std::time::Duration;

use crate::policy::Instant;

/// The most that are believed within [`WINDOW`].
const MOST: u32 = 16;

const WINDOW: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
pub(super) struct Resumptions {
    /// When the window began.
    since: Instant,
    count: u32,
}

impl Resumptions {
    /// Whether one more is believed.
    pub(super) fn admit(&mut self, now: Instant) -> bool {
        if now.saturating_sub(self.since) >= WINDOW {
            *self = Self { since: now, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count <= MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_of_them_is_believed_for_a_while_only() {
        let mut resumptions = Resumptions::default();
        let began = Instant::from_secs(1000);
        let admitted = |resumptions: &mut Resumptions, now| {
            (0..1000).filter(|_| resumptions.admit(now)).count()
        };
        assert_eq!(admitted(&mut resumptions, began), 16);
        assert_eq!(admitted(&mut resumptions, began + WINDOW - Duration::from_millis(1)), 0);
        assert_eq!(admitted(&mut resumptions, began + WINDOW), 16);
    }
}
