//! Requests under way, and the replies to them.

use std::{collections::HashMap, fmt::Debug, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{sync::oneshot, time::timeout};

use super::{
    error::{Error, PacketError, status},
    packet::{Attributes, Decoder, Packet, Reply, RequestType},
};

/// How long a server may take to reply. A dead connection is noticed earlier.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

/// The identifier of requests whose reply is not read.
const UNREAD_ID: u32 = u32::MAX;

/// Takes packets to the server, in order. Never waits: who writes bounds what is under way.
pub trait PacketSink: Debug + Send + Sync + 'static {
    /// Sends a packet, soon. One for a channel that is over is dropped.
    fn send(&self, packet: Bytes);
}

/// A reply, or why there is none.
pub(super) type Answer = Result<Reply, Error>;

/// Requests without a reply yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: HashMap<u32, oneshot::Sender<Answer>>,
    last_id: u32,
    closed: Option<String>,
    /// What came before the first packet, its beginning.
    printed: Vec<u8>,
    /// What came beside the packets, its beginning.
    complaint: Vec<u8>,
}

/// Bytes of a complaint that are kept.
const COMPLAINT_BYTES: usize = 400;

impl Pending {
    /// A new identifier, and where its reply arrives.
    fn expect(self: &Arc<Self>) -> Result<(u32, ReplySlot), Error> {
        let mut inner = self.inner.lock();
        if let Some(reason) = &inner.closed {
            return Err(Error::Closed(reason.clone()));
        }
        inner.last_id = inner.last_id.wrapping_add(1).max(1);
        let (id, (sender, receiver)) = (inner.last_id, oneshot::channel());
        inner.waiting.insert(id, sender);
        let pending = Some(Arc::clone(self));
        Ok((id, ReplySlot { receiver, pending }))
    }

    /// Where the first packet arrives: the version, which has no identifier.
    pub(super) fn expect_version(&self) -> ReplySlot {
        let (sender, receiver) = oneshot::channel();
        self.inner.lock().waiting.insert(0, sender);
        ReplySlot { receiver, pending: None }
    }

    /// Whether no reply comes any more.
    pub(super) fn is_closed(&self) -> bool {
        self.inner.lock().closed.is_some()
    }

    /// What the server's side printed before the first packet: text, without control characters.
    pub(super) fn printed(&self) -> String {
        let inner = self.inner.lock();
        let words = [&inner.complaint[..], b" ", &inner.printed].concat();
        drop(inner);
        let words =
            String::from_utf8_lossy(&words).replace(|letter: char| letter.is_control(), " ");
        words.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    pub(super) fn close(&self, reason: &str) {
        let mut inner = self.inner.lock();
        inner.closed.get_or_insert_with(|| reason.to_owned());
        for (_, sender) in inner.waiting.drain() {
            // The caller may be gone.
            let _gone = sender.send(Err(Error::Closed(reason.to_owned())));
        }
    }
}

/// Where the reply to one request arrives.
#[derive(Debug)]
pub(super) struct ReplySlot {
    receiver: oneshot::Receiver<Answer>,
    /// Closed when the reply does not come: a server answers what it still answers in order.
    pending: Option<Arc<Pending>>,
}

impl ReplySlot {
    /// The reply; a status other than `SSH_FX_OK` is an error. When it does not come in time the
    /// channel is over: no other request waits for as long again. Cancel safe.
    pub(super) async fn reply(&mut self) -> Result<Reply, Error> {
        match timeout(REPLY_TIMEOUT, &mut self.receiver).await {
            Ok(Ok(Ok(Reply::Status { code, message }))) if code != status::OK => {
                Err(Error::Status { code, message })
            }
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Error::Closed("the connection broke".to_owned())),
            Err(_) => {
                let late = Error::Timeout(REPLY_TIMEOUT);
                self.pending.iter().for_each(|pending| pending.close(&late.to_string()));
                Err(late)
            }
        }
    }
}

/// Sends requests, and knows what the server takes.
#[derive(Debug)]
pub(super) struct Requests<S> {
    pub(super) sink: S,
    pub(super) pending: Arc<Pending>,
    pub(super) extensions: Extensions,
    pub(super) limits: Limits,
}

/// What the server offers besides the protocol.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extensions {
    pub(super) posix_rename: bool,
    pub(super) fsync: bool,
    pub(super) statvfs: bool,
    pub(super) limits: bool,
}

/// The longest data of one `SSH_FXP_READ` and `SSH_FXP_WRITE`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) read_bytes: u32,
    pub(super) write_bytes: u32,
}

impl Limits {
    /// What every server takes.
    pub(super) const DEFAULT: Self = Self { read_bytes: 32 * 1024, write_bytes: 32 * 1024 };
}

impl<S: PacketSink> Requests<S> {
    /// Sends a request, whose reply arrives later.
    pub(super) fn send(&self, packet: impl FnOnce(u32) -> Packet) -> Result<ReplySlot, Error> {
        let (id, slot) = self.pending.expect()?;
        self.sink.send(packet(id).bytes());
        Ok(slot)
    }

    /// Sends a request and waits for its reply.
    pub(super) async fn ask(&self, packet: impl FnOnce(u32) -> Packet) -> Answer {
        self.send(packet)?.reply().await
    }

    /// Sends a request whose reply is a status.
    pub(super) async fn perform(&self, packet: impl FnOnce(u32) -> Packet) -> Result<(), Error> {
        match self.ask(packet).await? {
            Reply::Status { .. } => Ok(()),
            _ => Err(Error::UnexpectedReply),
        }
    }

    /// `SSH_FXP_STAT` and its like, of a path or a handle.
    pub(super) async fn attributes(
        &self,
        request: RequestType,
        of: &[u8],
    ) -> Result<Attributes, Error> {
        match self.ask(|id| Packet::new(request, id).string(of)).await? {
            Reply::Attributes(found) => Ok(found),
            _ => Err(Error::UnexpectedReply),
        }
    }

    /// `SSH_FXP_REALPATH`.
    pub(super) async fn realpath(&self, path: &[u8]) -> Result<Bytes, Error> {
        let packet = |id| Packet::new(RequestType::Realpath, id).string(path);
        match self.ask(packet).await? {
            Reply::Names(mut names) if names.len() == 1 => Ok(names.swap_remove(0).0),
            _ => Err(Error::UnexpectedReply),
        }
    }

    /// Opens a file or folder.
    pub(super) async fn handle(&self, packet: impl FnOnce(u32) -> Packet) -> Result<Bytes, Error> {
        match self.ask(packet).await? {
            Reply::Handle(handle) => Ok(handle),
            _ => Err(Error::UnexpectedReply),
        }
    }

    /// Closes a handle, without waiting.
    pub(super) fn close(&self, handle: &[u8]) {
        close(&self.sink, handle);
    }
}

fn close(sink: &impl PacketSink, handle: &[u8]) {
    sink.send(Packet::new(RequestType::Close, UNREAD_ID).string(handle).bytes());
}

/// Takes the server's bytes, and hands each reply to who waits for it. Never waits.
#[derive(Debug)]
pub struct Incoming<S> {
    decoder: Decoder,
    pending: Arc<Pending>,
    sink: S,
}

impl<S: PacketSink> Incoming<S> {
    pub(super) fn new(pending: Arc<Pending>, sink: S) -> Self {
        Self { decoder: Decoder::default(), pending, sink }
    }

    /// Takes the next bytes, wherever the transport cut them.
    ///
    /// # Errors
    /// [`PacketError`]; the channel is of no more use then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), PacketError> {
        self.decoder.push(bytes);
        let next = |decoder: &mut Decoder, pending: &Pending| {
            let next = decoder.next();
            pending.inner.lock().printed = decoder.printed().to_vec();
            next
        };
        while let Some((id, reply)) = next(&mut self.decoder, &self.pending)? {
            let sender = self.pending.inner.lock().waiting.remove(&id);
            match (sender, reply) {
                (Some(sender), reply) => {
                    // Whoever opened a file and left cannot close it.
                    if let Err(Ok(Reply::Handle(handle))) = sender.send(Ok(reply)) {
                        close(&self.sink, &handle);
                    }
                }
                (None, Reply::Status { .. }) if id == UNREAD_ID => {}
                (None, _) => return Err(PacketError::Unasked),
            }
        }
        Ok(())
    }

    /// Takes what the server writes beside its packets: for [`crate::Printed`].
    pub fn complain(&mut self, bytes: &[u8]) {
        let kept = &mut self.pending.inner.lock().complaint;
        let room = COMPLAINT_BYTES.saturating_sub(kept.len()).min(bytes.len());
        kept.extend_from_slice(&bytes[..room]);
    }

    /// The channel is over: every request fails with this reason.
    pub fn close(&mut self, reason: &str) {
        self.decoder.end();
        self.pending.inner.lock().printed = self.decoder.printed().to_vec();
        self.pending.close(reason);
    }
}

/// A channel that was never opened has no other end: nobody waits for the deadline of a reply.
impl<S> Drop for Incoming<S> {
    fn drop(&mut self) {
        self.pending.close("the channel is closed");
    }
}
