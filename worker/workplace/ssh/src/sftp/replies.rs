//! Who waits for which answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;

use super::wire::{Kind, Packet, Reply, Splitter};
use crate::link::{Frames, Inlet};

/// An answer, or why there will be none.
pub(super) type Answer = Result<Reply, String>;

/// The requests of one channel that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Replies {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: HashMap<u32, oneshot::Sender<Answer>>,
    last: u32,
    over: Option<String>,
}

impl Replies {
    /// A new identifier, and where its answer will come.
    ///
    /// # Errors
    /// Why the channel is over.
    pub(super) fn expect(&self) -> Result<(u32, oneshot::Receiver<Answer>), String> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = &inner.over {
            return Err(reason.clone());
        }
        inner.last = inner.last.wrapping_add(1).max(1);
        let (id, (sender, receiver)) = (inner.last, oneshot::channel());
        inner.waiting.insert(id, sender);
        Ok((id, receiver))
    }

    /// The answer to the first packet, which has no identifier: the version.
    pub(super) fn expect_version(&self) -> oneshot::Receiver<Answer> {
        let (sender, receiver) = oneshot::channel();
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).waiting.insert(0, sender);
        receiver
    }

    fn end(&self, reason: &str) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.over.get_or_insert_with(|| reason.to_owned());
        for (_, sender) in inner.waiting.drain() {
            // Nobody may wait any more.
            let _gone = sender.send(Err(reason.to_owned()));
        }
    }
}

/// Hands answers on, on the connection's thread.
pub(super) struct Receiver {
    splitter: Splitter,
    replies: Arc<Replies>,
    inlet: Inlet,
}

impl Receiver {
    pub(super) fn new(replies: Arc<Replies>, inlet: Inlet) -> Self {
        Self { splitter: Splitter::default(), replies, inlet }
    }
}

impl Frames for Receiver {
    fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.splitter.push(bytes);
        while let Some((id, reply)) = self.splitter.next()? {
            let mut inner = self.replies.inner.lock().unwrap_or_else(PoisonError::into_inner);
            let sender = inner.waiting.remove(&id);
            drop(inner);
            let unwanted = match sender {
                Some(sender) => sender.send(Ok(reply)).err(),
                None => Some(Ok(reply)),
            };
            // Whoever opened a file and left cannot close it.
            if let Some(Ok(Reply::Handle(handle))) = unwanted {
                self.inlet.send(Packet::new(Kind::Close, NOBODY).string(&handle).bytes());
            }
        }
        Ok(())
    }

    fn over(&mut self, reason: &str) {
        self.replies.end(reason);
    }
}

/// The identifier of requests whose answer nobody reads.
pub(super) const NOBODY: u32 = u32::MAX;
