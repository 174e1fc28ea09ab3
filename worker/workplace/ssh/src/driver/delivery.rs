//! The output of a channel on its way to the reader.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;

use crate::channel::{ChannelState, Output};
use evonic_backend::spool::ScriptOutput;

/// Hands output to a reader, and keeps what the reader has no room for.
pub(super) struct Delivery {
    shared: Arc<ChannelState>,
    output: Option<Output>,
    held: Option<ScriptOutput>,
}

impl Delivery {
    pub(super) const fn new(shared: Arc<ChannelState>, output: Output) -> Self {
        Self { shared, output: Some(output), held: None }
    }

    /// Whether something waits for room.
    pub(super) const fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Hands on what the reader had no room for. Returns whether there is room now.
    pub(super) fn make_room(&mut self) -> bool {
        match self.held.take() {
            Some(said) => self.queue(said),
            None => true,
        }
    }

    fn queue(&mut self, said: ScriptOutput) -> bool {
        let Some(Output::Queue(sender)) = &self.output else { return true };
        let Err(TrySendError::Full(said)) = sender.try_send(said) else { return true };
        // The reader may have made room before it could see this: once more.
        self.shared.stalled.store(true, Ordering::Release);
        match sender.try_send(said) {
            Ok(()) | Err(TrySendError::Closed(_)) => true,
            Err(TrySendError::Full(said)) => {
                self.held = Some(said);
                false
            }
        }
    }

    /// Hands on data of a stream: 0 is standard output, 1 standard error.
    ///
    /// # Errors
    /// What is wrong with the data.
    pub(super) fn deliver(&mut self, stream: i32, bytes: &[u8]) -> Result<(), String> {
        match &mut self.output {
            Some(Output::Queue(_)) => {
                let bytes = Bytes::copy_from_slice(bytes);
                self.queue(if stream == 0 {
                    ScriptOutput::Out(bytes)
                } else {
                    ScriptOutput::Err(bytes)
                });
                Ok(())
            }
            Some(Output::Sink(sink)) if stream == 0 => sink.data(bytes),
            Some(Output::Sink(sink)) => {
                sink.complaint(bytes);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Nothing more comes.
    pub(super) fn close(&mut self, reason: &str) {
        if let Some(Output::Sink(mut sink)) = self.output.take() {
            sink.closed(reason);
        }
    }
}
