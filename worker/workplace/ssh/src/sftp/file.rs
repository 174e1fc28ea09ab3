//! An open file of a host: read ahead and written behind, so that distance costs little.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{sync::oneshot, time::Instant};

use super::{
    Attributes, Fault, Sftp, answer,
    behind::Behind,
    done,
    replies::Answer,
    status,
    wire::{Kind, Packet, Reply},
};

/// Bytes that are asked for before they are needed: what OpenSSH lets a channel have under way.
const AHEAD_BYTES: u64 = 2 << 20;

/// How long a server may take to bring a file to its disk.
const FSYNC: Duration = Duration::from_secs(300);

/// An open file, or folder. Closed when dropped, without waiting.
#[derive(Debug)]
pub(crate) struct File {
    sftp: Arc<Sftp>,
    handle: Bytes,
}

impl File {
    pub(super) const fn new(sftp: Arc<Sftp>, handle: Bytes) -> Self {
        Self { sftp, handle }
    }

    pub(super) fn handle(&self) -> &[u8] {
        &self.handle
    }

    /// What it is.
    pub(crate) async fn stat(&self) -> Result<Attributes, Fault> {
        self.sftp.attributes(Kind::Fstat, &self.handle).await
    }

    /// Sets its permission bits.
    pub(crate) async fn set_mode(&self, mode: u32) -> Result<(), Fault> {
        let packet = |id| Packet::new(Kind::Fsetstat, id).string(&self.handle).mode(Some(mode));
        done(self.sftp.ask(packet)).await
    }

    /// Gives it to a user and a group.
    pub(crate) async fn set_owner(&self, user: u32, group: u32) -> Result<(), Fault> {
        let packet = |id| Packet::new(Kind::Fsetstat, id).string(&self.handle).owner(user, group);
        done(self.sftp.ask(packet)).await
    }

    /// Brings it to the disk, where the server can.
    pub(crate) async fn sync(&self) -> Result<(), Fault> {
        if !self.sftp.can.fsync {
            return Ok(());
        }
        let asked = self.sftp.ask(|id| {
            Packet::new(Kind::Extended, id).string(b"fsync@openssh.com").string(&self.handle)
        });
        let late = |_| Fault::Broken("the file did not reach the disk in time".to_owned());
        tokio::time::timeout(FSYNC, done(asked)).await.map_err(late)?
    }

    /// Reads from byte `from` on.
    pub(crate) fn read_from(self, from: u64, size: u64) -> Reader {
        Reader { file: self, next: from, size, queue: VecDeque::new(), ended: false }
    }

    /// Writes from byte `from` on.
    pub(crate) const fn write_from(self, from: u64) -> Writer {
        Writer { file: self, next: from, safe: from, queue: VecDeque::new(), behind: Behind::new() }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.sftp.close(&self.handle);
    }
}

/// Reads a file from its beginning, or from a byte, to its end.
#[derive(Debug)]
pub(crate) struct Reader {
    file: File,
    /// What is asked for next.
    next: u64,
    /// The size it had; beyond it one piece at a time is asked for.
    size: u64,
    queue: VecDeque<Piece>,
    ended: bool,
}

#[derive(Debug)]
struct Piece {
    from: u64,
    length: u32,
    answer: oneshot::Receiver<Answer>,
}

impl Reader {
    /// The next bytes; [`None`] at the end. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        self.fill()?;
        let Some(piece) = self.queue.front_mut() else { return Ok(None) };
        let reply = answer(&mut piece.answer).await;
        let Some(piece) = self.queue.pop_front() else { return Ok(None) };
        match reply {
            Ok(Reply::Data(data)) if data.is_empty() => {
                Err(Fault::Broken("the server sends nothing".to_owned()))
            }
            Ok(Reply::Data(data)) => {
                let read = u32::try_from(data.len()).unwrap_or(u32::MAX);
                if read < piece.length {
                    // Less than was asked for is allowed; the rest comes first now.
                    let rest = self.ask(piece.from + u64::from(read), piece.length - read)?;
                    self.queue.push_front(rest);
                }
                Ok(Some(data))
            }
            Ok(other) => Err(other.unexpected()),
            Err(Fault::Status { code: status::EOF, .. }) => {
                self.ended = true;
                self.queue.clear();
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }

    fn fill(&mut self) -> Result<(), Fault> {
        let length = self.file.sftp.can.read_bytes;
        while !self.ended {
            let under_way: u64 = self.queue.iter().map(|piece| u64::from(piece.length)).sum();
            let enough =
                if self.next < self.size { under_way >= AHEAD_BYTES } else { under_way > 0 };
            if enough {
                break;
            }
            let piece = self.ask(self.next, length)?;
            self.queue.push_back(piece);
            self.next += u64::from(length);
        }
        Ok(())
    }

    fn ask(&self, from: u64, length: u32) -> Result<Piece, Fault> {
        let asked = self
            .file
            .sftp
            .ask(|id| Packet::new(Kind::Read, id).string(&self.file.handle).u64(from).u32(length));
        Ok(Piece { from, length, answer: asked.map_err(Fault::Broken)? })
    }
}

/// Writes a file. What is written may be under way for a while.
#[derive(Debug)]
pub(crate) struct Writer {
    file: File,
    next: u64,
    safe: u64,
    queue: VecDeque<Sent>,
    behind: Behind,
}

/// Bytes on their way to the server.
#[derive(Debug)]
struct Sent {
    length: u64,
    at: Instant,
    answer: oneshot::Receiver<Answer>,
}

impl Writer {
    /// Bytes that the server has.
    pub(crate) const fn safe(&self) -> u64 {
        self.safe
    }

    /// The file.
    pub(crate) const fn file(&self) -> &File {
        &self.file
    }

    /// Adds bytes; waits while too many are under way. After an error, and after it was dropped
    /// half way, nothing more may be written.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let most = self.behind.piece(self.file.sftp.can.write_bytes) as usize;
            let (piece, after) = rest.split_at(most.min(rest.len()));
            let length = piece.len() as u64;
            self.settle(self.behind.bytes.saturating_sub(length)).await?;
            let asked = self.file.sftp.ask(|id| {
                Packet::new(Kind::Write, id).string(&self.file.handle).u64(self.next).string(piece)
            });
            let answer = asked.map_err(Fault::Broken)?;
            self.queue.push_back(Sent { length, at: Instant::now(), answer });
            self.next += length;
            rest = after;
        }
        Ok(())
    }

    /// Waits until the server has all of it.
    pub(crate) async fn flush(&mut self) -> Result<(), Fault> {
        self.settle(0).await
    }

    /// Waits until no more than this is under way.
    async fn settle(&mut self, most: u64) -> Result<(), Fault> {
        while self.next - self.safe > most {
            let Some(Sent { length, at, answer: asked }) = self.queue.front_mut() else { break };
            let (length, at) = (*length, *at);
            let reply = answer(asked).await;
            self.queue.pop_front();
            match reply? {
                Reply::Status { .. } => {
                    self.safe += length;
                    self.behind.confirmed(length, at, Instant::now());
                }
                other => return Err(other.unexpected()),
            }
        }
        Ok(())
    }
}

impl Sftp {
    /// Reads a small file whole: at most `limit` bytes, and one more to say that there are.
    pub(crate) async fn read_all(
        self: &Arc<Self>,
        file: File,
        size: u64,
        limit: u64,
    ) -> Result<Vec<u8>, Fault> {
        let mut content = Vec::new();
        let mut reader = file.read_from(0, size.min(limit.saturating_add(1)));
        while let Some(bytes) = reader.next().await? {
            content.extend_from_slice(&bytes);
            if content.len() as u64 > limit {
                content.truncate(usize::try_from(limit.saturating_add(1)).unwrap_or(usize::MAX));
                break;
            }
        }
        Ok(content)
    }
}
