//! A command's output on its two ways: into the result, and shown as it comes.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::editor::Editor;
use crate::{output::Live, screen::Screen};

/// After so long without a word an editor waits for keys.
const SILENCE: Duration = Duration::from_secs(5);

/// Where a command's output goes.
pub(super) struct OutputSink<'c> {
    screen: Screen,
    live: Live<'c>,
    /// How many bytes of it have come.
    pub(super) offset: u64,
    editor: Editor,
    /// Ends the command.
    stop: CancellationToken,
    waited_for_keys: bool,
}

/// A command's output as a result has it.
pub(super) struct Output {
    pub(super) text: String,
    /// Whether it was ended because it waited for keys.
    pub(super) waited_for_keys: bool,
}

impl<'c> OutputSink<'c> {
    /// Keeps at most this many bytes; `stop` ends the command.
    pub(super) fn new(max_bytes: usize, live: Live<'c>, stop: CancellationToken) -> Self {
        Self {
            screen: Screen::new(max_bytes),
            live,
            offset: 0,
            editor: Editor::default(),
            stop,
            waited_for_keys: false,
        }
    }

    /// Takes what comes. Ends a command that waits for keys.
    pub(super) async fn take_in(&mut self, mut pieces: mpsc::Receiver<Bytes>) {
        loop {
            let piece = if self.editor.waits() && !self.waited_for_keys {
                let Ok(piece) = tokio::time::timeout(SILENCE, pieces.recv()).await else {
                    self.waited_for_keys = !self.stop.is_cancelled();
                    self.stop.cancel();
                    continue;
                };
                piece
            } else {
                pieces.recv().await
            };
            let Some(piece) = piece else { return };
            self.offset += piece.len() as u64;
            self.look(&piece);
            self.live.push(&piece).await;
        }
    }

    /// Takes a piece for the result alone.
    pub(super) fn look(&mut self, piece: &[u8]) {
        self.editor.look(piece);
        self.screen.push(piece);
    }

    pub(super) async fn end(self) -> Output {
        self.live.end().await;
        Output { text: self.screen.end(), waited_for_keys: self.waited_for_keys }
    }
}
