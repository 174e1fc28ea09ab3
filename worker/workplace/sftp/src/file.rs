//! An open file: read ahead and written behind, so that distance costs little.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    error::{Error, status},
    packet::{Attributes, Packet, Reply, RequestType},
    requests::{PacketSink, ReplySlot, Requests},
    write_window::WriteWindow,
};

/// Bytes requested before they are needed: the window that OpenSSH gives a channel.
const READ_AHEAD_BYTES: u64 = 2 << 20;

/// How long a server may take to bring a file to its disk.
const FSYNC_TIMEOUT: Duration = Duration::from_secs(300);

/// An open file or folder. Closed when dropped, without waiting.
#[derive(Debug)]
pub struct File<S: PacketSink> {
    requests: Arc<Requests<S>>,
    handle: Bytes,
}

impl<S: PacketSink> File<S> {
    pub(super) const fn new(requests: Arc<Requests<S>>, handle: Bytes) -> Self {
        Self { requests, handle }
    }

    pub(super) fn handle(&self) -> &[u8] {
        &self.handle
    }

    /// `SSH_FXP_FSTAT`.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn stat(&self) -> Result<Attributes, Error> {
        self.requests.attributes(RequestType::Fstat, &self.handle).await
    }

    /// Sets its permission bits.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn set_mode(&self, mode: u32) -> Result<(), Error> {
        let handle = &self.handle;
        let packet = |id| Packet::new(RequestType::Fsetstat, id).string(handle).mode(Some(mode));
        self.requests.perform(packet).await
    }

    /// Gives it to a user and a group.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn set_owner(&self, user: u32, group: u32) -> Result<(), Error> {
        let handle = &self.handle;
        let packet = |id| Packet::new(RequestType::Fsetstat, id).string(handle).owner(user, group);
        self.requests.perform(packet).await
    }

    /// Cuts it off, or fills it up, to this size.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn set_size(&self, size_bytes: u64) -> Result<(), Error> {
        let handle = &self.handle;
        let packet = |id| Packet::new(RequestType::Fsetstat, id).string(handle).size(size_bytes);
        self.requests.perform(packet).await
    }

    /// Brings it to the disk, where the server can.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn sync(&self) -> Result<(), Error> {
        if !self.requests.extensions.fsync {
            return Ok(());
        }
        let synced = self
            .requests
            .perform(|id| Packet::extended(id, b"fsync@openssh.com").string(&self.handle));
        tokio::time::timeout(FSYNC_TIMEOUT, synced).await.map_err(|_| Error::SyncTimeout)?
    }

    /// Reads from byte `from` on. `size` is the file's, as far as is known.
    pub const fn read_from(self, from: u64, size: u64) -> Reader<S> {
        Reader { file: self, next: from, size, queue: VecDeque::new(), ended: false }
    }

    /// Reads a small file whole: at most `limit` bytes, and one more to say that there are.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn read_all(self, size: u64, limit: u64) -> Result<Vec<u8>, Error> {
        let most = limit.saturating_add(1);
        let mut content = Vec::new();
        let mut reader = self.read_from(0, size.min(most));
        while let Some(bytes) = reader.next().await? {
            content.extend_from_slice(&bytes);
            if content.len() as u64 > limit {
                content.truncate(usize::try_from(most).unwrap_or(usize::MAX));
                break;
            }
        }
        Ok(content)
    }

    /// Writes from byte `from` on.
    pub const fn write_from(self, from: u64) -> Writer<S> {
        let window = WriteWindow::new();
        Writer { file: self, next: from, confirmed: from, queue: VecDeque::new(), window }
    }
}

impl<S: PacketSink> Drop for File<S> {
    fn drop(&mut self) {
        self.requests.close(&self.handle);
    }
}

/// Reads a file to its end.
#[derive(Debug)]
pub struct Reader<S: PacketSink> {
    file: File<S>,
    /// The offset of the next request.
    next: u64,
    /// The size it had; beyond it one piece at a time is requested.
    size: u64,
    queue: VecDeque<Piece>,
    ended: bool,
}

#[derive(Debug)]
struct Piece {
    from: u64,
    length: u32,
    slot: ReplySlot,
}

impl<S: PacketSink> Reader<S> {
    /// The next bytes; [`None`] at the end. Cancel safe.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        self.fill()?;
        let Some(piece) = self.queue.front_mut() else { return Ok(None) };
        let reply = piece.slot.reply().await;
        let Some(piece) = self.queue.pop_front() else { return Ok(None) };
        match reply {
            Ok(Reply::Data(data)) if data.is_empty() => Err(Error::NoData),
            Ok(Reply::Data(data)) => {
                let read = u32::try_from(data.len()).unwrap_or(u32::MAX);
                if read > piece.length {
                    return Err(Error::UnexpectedReply);
                }
                if read < piece.length {
                    // A server may send less than was requested; the rest comes first now.
                    let rest = self.request(piece.from + u64::from(read), piece.length - read)?;
                    self.queue.push_front(rest);
                }
                Ok(Some(data))
            }
            Ok(_) => Err(Error::UnexpectedReply),
            Err(Error::Status { code: status::EOF, .. }) => {
                self.ended = true;
                self.queue.clear();
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn fill(&mut self) -> Result<(), Error> {
        let length = self.file.requests.limits.read_bytes;
        while !self.ended {
            let requested: u64 = self.queue.iter().map(|piece| u64::from(piece.length)).sum();
            let ahead = if self.next < self.size { READ_AHEAD_BYTES } else { 1 };
            if requested >= ahead {
                break;
            }
            let piece = self.request(self.next, length)?;
            self.queue.push_back(piece);
            self.next += u64::from(length);
        }
        Ok(())
    }

    fn request(&self, from: u64, length: u32) -> Result<Piece, Error> {
        let File { requests, handle } = &self.file;
        let packet = |id| Packet::new(RequestType::Read, id).string(handle).u64(from).u32(length);
        Ok(Piece { from, length, slot: requests.send(packet)? })
    }
}

/// Writes a file. What was written may not be confirmed for a while.
#[derive(Debug)]
pub struct Writer<S: PacketSink> {
    file: File<S>,
    next: u64,
    confirmed: u64,
    queue: VecDeque<Sent>,
    window: WriteWindow,
}

/// Bytes that the server has not confirmed.
#[derive(Debug)]
struct Sent {
    length: u64,
    at: Instant,
    slot: ReplySlot,
}

impl<S: PacketSink> Writer<S> {
    /// The offset up to which the server has the bytes.
    pub const fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// The file.
    pub const fn file(&self) -> &File<S> {
        &self.file
    }

    /// Adds bytes; waits while the window is full. After an error, and after it was dropped half
    /// way, nothing more may be written.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let most = self.window.piece(self.file.requests.limits.write_bytes) as usize;
            let (piece, after) = rest.split_at(most.min(rest.len()));
            let length = piece.len() as u64;
            self.await_confirmed(self.window.bytes.saturating_sub(length)).await?;
            let File { requests, handle } = &self.file;
            let packet = |id| {
                Packet::new(RequestType::Write, id).string(handle).u64(self.next).string(piece)
            };
            let slot = requests.send(packet)?;
            self.queue.push_back(Sent { length, at: Instant::now(), slot });
            self.next += length;
            rest = after;
        }
        Ok(())
    }

    /// Waits until the server has all of it.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.await_confirmed(0).await
    }

    /// Waits until no more than this is unconfirmed.
    async fn await_confirmed(&mut self, most: u64) -> Result<(), Error> {
        while self.next - self.confirmed > most {
            let Some(sent) = self.queue.front_mut() else { break };
            let reply = sent.slot.reply().await;
            let Some(sent) = self.queue.pop_front() else { break };
            match reply? {
                Reply::Status { .. } => {
                    self.confirmed += sent.length;
                    self.window.confirmed(sent.length, sent.at, Instant::now());
                }
                _ => return Err(Error::UnexpectedReply),
            }
        }
        Ok(())
    }
}
