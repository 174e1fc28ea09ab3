//! Pieces of text, gathered into events of a bearable number.

use std::time::Duration;

use tokio::time::Instant;

/// Bytes at which what was gathered is committed before its time.
const FULL_BYTES: usize = 16 * 1024;

/// Text that waits to be committed as one event.
#[derive(Debug)]
pub(super) struct Gather {
    text: String,
    /// When the first piece came.
    due: Option<Instant>,
    window: Duration,
}

impl Gather {
    /// Gathers for `window` from the first piece on.
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

    /// Takes what was gathered, if anything.
    pub(super) fn take(&mut self) -> Option<String> {
        self.due.take().map(|_| std::mem::take(&mut self.text))
    }

    /// Whether so much was gathered that it should not wait for its time.
    pub(super) const fn is_full(&self) -> bool {
        self.text.len() >= FULL_BYTES
    }

    /// Waits until what was gathered should be committed; for ever while there is nothing.
    /// Cancel safe.
    pub(super) async fn due(&self) {
        match self.due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn the_first_piece_sets_the_time() {
        let mut gather = Gather::new(WINDOW);
        gather.push("");
        assert_eq!(gather.take(), None, "nothing is no event");
        let start = Instant::now();
        gather.push("one ");
        let due = gather.due;
        tokio::task::yield_now().await;
        gather.push("two");
        assert_eq!(gather.due, due, "a later piece put it off");
        gather.due().await;
        assert!(start.elapsed() >= WINDOW, "too early: {:?}", start.elapsed());
        assert_eq!(gather.take().as_deref(), Some("one two"));
        assert_eq!(gather.take(), None);
        let idle = tokio::time::timeout(WINDOW, gather.due()).await;
        assert!(idle.is_err(), "due with nothing gathered");
    }

    #[test]
    fn much_does_not_wait() {
        let mut gather = Gather::new(WINDOW);
        gather.push(&"x".repeat(FULL_BYTES - 1));
        assert!(!gather.is_full());
        gather.push("x");
        assert!(gather.is_full());
        gather.take();
        assert!(!gather.is_full());
    }
}
