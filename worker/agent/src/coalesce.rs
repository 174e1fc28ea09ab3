//! Pieces of text, coalesced into a few events.

use std::time::Duration;

use tokio::time::Instant;

use crate::queue::sleep_until;

/// Bytes at which the pending text is committed before its time.
const FULL_BYTES: usize = 16 * 1024;

/// Text that waits to be committed as one event.
#[derive(Debug)]
pub(super) struct Coalescer {
    text: String,
    /// When the first piece came.
    due: Option<Instant>,
    window: Duration,
}

impl Coalescer {
    /// Collects for `window` from the first piece on.
    pub(super) const fn new(window: Duration) -> Self {
        Self { text: String::new(), due: None, window }
    }

    /// Adds a piece.
    pub(super) fn push(&mut self, piece: &str) {
        if piece.is_empty() {
            return;
        }
        self.text.push_str(piece);
        self.due.get_or_insert_with(|| Instant::now() + self.window);
    }

    /// Takes the pending text, if anything.
    pub(super) fn take(&mut self) -> Option<String> {
        self.due.take().map(|_| std::mem::take(&mut self.text))
    }

    /// Whether anything is pending.
    pub(super) const fn is_pending(&self) -> bool {
        self.due.is_some()
    }

    /// Whether there is so much that it should not wait for its time.
    pub(super) const fn is_full(&self) -> bool {
        self.text.len() >= FULL_BYTES
    }

    /// Waits until the pending text should be committed; for ever while there is nothing.
    /// Cancel safe.
    pub(super) async fn due(&self) {
        sleep_until(self.due).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn the_first_piece_sets_the_time() {
        let mut coalescer = Coalescer::new(WINDOW);
        coalescer.push("");
        assert_eq!(coalescer.take(), None, "nothing is no event");
        let start = Instant::now();
        coalescer.push("one ");
        let due = coalescer.due;
        tokio::task::yield_now().await;
        coalescer.push("two");
        assert_eq!(coalescer.due, due, "a later piece put it off");
        coalescer.due().await;
        assert!(start.elapsed() >= WINDOW, "too early: {:?}", start.elapsed());
        assert_eq!(coalescer.take().as_deref(), Some("one two"));
        assert_eq!(coalescer.take(), None);
        let idle = tokio::time::timeout(WINDOW, coalescer.due()).await;
        assert!(idle.is_err(), "due with nothing pending");
    }

    #[test]
    fn much_does_not_wait() {
        let mut coalescer = Coalescer::new(WINDOW);
        coalescer.push(&"x".repeat(FULL_BYTES - 1));
        assert!(!coalescer.is_full());
        coalescer.push("x");
        assert!(coalescer.is_full());
        coalescer.take();
        assert!(!coalescer.is_full());
    }
}
