//! Bytes of one file on their way: read ahead of the writing, and kept until they are safe.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use tokio::sync::mpsc;

use super::progress::ProgressSink;
use evonic_backend::{Backend, Result, Stat, Upload};

/// Pieces that are read ahead.
const AHEAD: usize = 4;

/// Bytes that are kept for a target that lost its connection, so that they need not be read again.
const KEPT_BYTES: u64 = 4 * 1024 * 1024;

/// A file that is being copied. Source and target are opened when they are needed; one that broke
/// is closed, and the other one stays open.
pub(super) struct Pump<'p> {
    pub(super) from: &'p dyn Backend,
    pub(super) from_path: &'p str,
    pub(super) to: &'p dyn Backend,
    pub(super) to_path: &'p str,
    pub(super) id: &'p str,
    /// What the source was when it began.
    pub(super) stat: Stat,
    pub(super) target: Option<Target>,
    pub(super) source: Option<Source>,
    /// Bytes that were sent.
    pub(super) sent: u64,
}

/// The unfinished copy.
pub(super) struct Target {
    pub(super) upload: Box<dyn Upload>,
    /// Bytes that were written, safe or under way.
    written: u64,
}

/// What is being read.
pub(super) struct Source {
    bytes: BoxStream<'static, Result<Bytes>>,
    /// Up to here it was read.
    read: u64,
    /// What was read last, with where each piece begins: not yet written, or not yet safe.
    kept: VecDeque<(u64, Bytes)>,
}

/// How a pass ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// Every byte is written.
    Complete,
    /// The source is not what it was.
    Changed,
}

impl Pump<'_> {
    /// Moves bytes until all are written, or something breaks. After an error it can be called
    /// again: it continues at what is safely there.
    ///
    /// # Errors
    /// [`evonic_backend::WorkplaceError`] of either side.
    pub(super) async fn pass(&mut self, progress: &ProgressSink, before: u64) -> Result<Pass> {
        self.open_target().await?;
        let written = self.target.as_ref().map_or(0, |target| target.written);
        if written == self.stat.size_bytes {
            return Ok(Pass::Complete);
        }
        if !self.open_source(written).await? {
            return Ok(Pass::Changed);
        }
        let (Some(target), Some(source)) = (&mut self.target, &mut self.source) else {
            return Ok(Pass::Changed);
        };
        let size = self.stat.size_bytes;
        let (sender, receiver) = mpsc::channel(AHEAD);
        let (path, sent) = (self.from_path, &mut self.sent);
        let waiting: Vec<(u64, Bytes)> = source.kept.iter().cloned().collect();
        let Source { bytes, read, kept } = source;
        let reading = read_ahead(bytes, read, size, sender);
        let mut writing = Writing { receiver, target, kept, sent, progress, path, before };
        let writing = async { writing.run(waiting).await };
        let (read, wrote) = tokio::join!(reading, writing);
        if wrote.is_err() {
            self.target = None;
        }
        if read.is_err() {
            self.source = None;
        }
        wrote?;
        read?;
        let written = self.target.as_ref().map_or(0, |target| target.written);
        Ok(if written == size { Pass::Complete } else { Pass::Changed })
    }

    /// Removes what is unfinished.
    ///
    /// # Errors
    /// [`evonic_backend::WorkplaceError`].
    pub(super) async fn start_over(&mut self) -> Result<()> {
        self.source = None;
        let upload = match self.target.take() {
            Some(target) => target.upload,
            None => self.to.upload(self.to_path, self.id).await?,
        };
        upload.discard().await
    }

    /// Removes what is unfinished of a copy that failed for good: as far as that can be done.
    pub(super) async fn abandon(&mut self) {
        self.source = None;
        let discarded = match self.target.take() {
            Some(target) => target.upload.discard().await,
            // It may be there from an earlier time, or from before the error.
            None => match self.to.upload(self.to_path, self.id).await {
                Ok(upload) => upload.discard().await,
                Err(error) => Err(error),
            },
        };
        if let Err(error) = discarded {
            tracing::debug!(%error, path = self.to_path, "an unfinished copy is left");
        }
    }

    async fn open_target(&mut self) -> Result<()> {
        if self.target.is_some() {
            return Ok(());
        }
        let mut upload = self.to.upload(self.to_path, self.id).await?;
        if upload.safe_bytes() > self.stat.size_bytes {
            upload.discard().await?;
            upload = self.to.upload(self.to_path, self.id).await?;
        }
        let written = upload.safe_bytes();
        self.target = Some(Target { upload, written });
        Ok(())
    }

    /// Opens the source at what the target lacks, unless that is still kept; returns whether it is
    /// the same.
    async fn open_source(&mut self, written: u64) -> Result<bool> {
        if let Some(source) = &mut self.source {
            let first = source.kept.front().map_or(source.read, |(start, _)| *start);
            if (first..=source.read).contains(&written) {
                source.drop_until(written);
                return Ok(true);
            }
            self.source = None;
        }
        let download = self.from.download(self.from_path, written).await?;
        let is_same = is_same(&download.stat, &self.stat);
        let (bytes, kept) = (download.bytes, VecDeque::new());
        self.source = is_same.then_some(Source { bytes, read: written, kept });
        Ok(is_same)
    }
}

/// Whether a file did not change, as far as its own account goes.
pub(super) fn is_same(now: &Stat, then: &Stat) -> bool {
    let content = |stat: &Stat| (stat.file_type, stat.size_bytes, stat.modified);
    content(now) == content(then)
}

impl Source {
    /// Forgets what stands before this byte.
    fn drop_until(&mut self, byte: u64) {
        while let Some((start, piece)) = self.kept.front_mut() {
            let end = *start + piece.len() as u64;
            if end <= byte {
                self.kept.pop_front();
                continue;
            }
            if *start < byte {
                // Within the piece, whose length is a usize.
                let gone = usize::try_from(byte - *start).unwrap_or(piece.len());
                let _gone = piece.split_to(gone);
                *start = byte;
            }
            break;
        }
    }
}

/// Reads pieces while there is room for them. A piece is only taken from the source when it can be
/// handed on: none is lost when this is dropped.
async fn read_ahead(
    bytes: &mut BoxStream<'static, Result<Bytes>>,
    read: &mut u64,
    size: u64,
    sender: mpsc::Sender<(u64, Bytes)>,
) -> Result<()> {
    while *read < size {
        let Ok(room) = sender.reserve().await else { break };
        let Some(piece) = bytes.next().await else { break };
        let mut piece = piece?;
        piece.truncate(usize::try_from(size - *read).unwrap_or(usize::MAX));
        let start = *read;
        *read += piece.len() as u64;
        room.send((start, piece));
    }
    Ok(())
}

struct Writing<'w> {
    receiver: mpsc::Receiver<(u64, Bytes)>,
    target: &'w mut Target,
    kept: &'w mut VecDeque<(u64, Bytes)>,
    sent: &'w mut u64,
    progress: &'w ProgressSink,
    path: &'w str,
    /// Bytes of the files before this one.
    before: u64,
}

impl Writing<'_> {
    /// Writes what was kept, then what comes, until nothing comes any more.
    async fn run(&mut self, waiting: Vec<(u64, Bytes)>) -> Result<()> {
        let mut result = Ok(());
        for (_, piece) in waiting {
            result = self.write(piece).await;
            if result.is_err() {
                break;
            }
        }
        while result.is_ok() {
            let Some((start, piece)) = self.receiver.recv().await else { break };
            self.kept.push_back((start, piece.clone()));
            result = self.write(piece).await;
            self.release();
        }
        // What was read meanwhile is there for the next pass.
        self.receiver.close();
        while let Some(piece) = self.receiver.recv().await {
            self.kept.push_back(piece);
        }
        result
    }

    async fn write(&mut self, piece: Bytes) -> Result<()> {
        let length = piece.len() as u64;
        self.target.upload.write(piece).await?;
        self.target.written += length;
        *self.sent += length;
        self.progress.moved(self.path, self.before + self.target.written);
        Ok(())
    }

    /// Releases what is safe, and what is too much to keep.
    fn release(&mut self) {
        let safe = self.target.upload.safe_bytes();
        let oldest = self.target.written.saturating_sub(KEPT_BYTES);
        while let Some((start, piece)) = self.kept.front() {
            if *start + piece.len() as u64 > safe.max(oldest) {
                break;
            }
            self.kept.pop_front();
        }
    }
}
