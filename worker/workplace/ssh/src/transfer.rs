//! Transfers: a channel of their own each, on connections that commands do not use.

use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use evonic_sftp::Error;
use futures_util::{StreamExt, stream};
use sha2::{Digest, Sha256};

use super::{
    files::{self, Target},
    link::{ChannelSlot, Role},
    sftp::{self, Reader, Sftp, Writer, failed, stat_of},
    shell::Remote,
};
use evonic_backend::{Download, RemotePath, Stage, Upload, WorkplaceError, search};

/// Channels that are kept open for the next transfer.
const SPARE: usize = 2;

/// A channel for one transfer.
#[derive(Debug)]
pub(super) struct Lane {
    remote: Arc<Remote>,
    pub(super) sftp: Sftp,
    _visit: ChannelSlot,
}

impl Lane {
    /// A channel that nobody uses now.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub(super) async fn open(remote: &Arc<Remote>) -> Result<Self, WorkplaceError> {
        let remote = Arc::clone(remote);
        loop {
            let spare = remote.host.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(sftp) = spare else { break };
            if let Some(visit) = sftp.sink().link().visit().filter(|_| !sftp.sink().is_over()) {
                return Ok(Self { remote, sftp, _visit: visit });
            }
        }
        let place = remote.host.place(Role::Bulk).await?;
        let link = Arc::clone(place.link());
        let sftp = sftp::open(place).await?;
        let visit = link.visit().ok_or_else(|| link.broke(Stage::Sftp, "it is closed"))?;
        sftp.sink().rests();
        Ok(Self { remote, sftp, _visit: visit })
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let mut spare = self.remote.host.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE && !self.sftp.sink().is_over() {
            spare.push(self.sftp.clone());
        }
    }
}

/// See [`evonic_backend::ChannelSlot::download`].
pub(super) async fn download(
    lane: Lane,
    path: &RemotePath,
    shown: &str,
    from: u64,
) -> Result<Download, WorkplaceError> {
    let (file, found) = files::open(&lane.sftp, path, shown).await?;
    let reader = file.read_from(from, found.size);
    let state = Some(Reading { reader, shown: shown.to_owned(), lane });
    let bytes = stream::unfold(state, |state| async {
        let mut reading = state?;
        match reading.reader.next().await {
            Ok(Some(bytes)) => Some((Ok(bytes), Some(reading))),
            Ok(None) => None,
            Err(error) => {
                Some((Err(failed(&reading.lane.sftp, Stage::Read, &reading.shown)(error)), None))
            }
        }
    });
    Ok(Download { stat: stat_of(&found), bytes: bytes.boxed() })
}

struct Reading {
    /// Closed before its lane is given back.
    reader: Reader,
    shown: String,
    lane: Lane,
}

/// See [`evonic_backend::ChannelSlot::upload`].
#[derive(Debug)]
pub(super) struct SshUpload {
    writer: Writer,
    part: RemotePath,
    target: Target,
    shown: String,
    lane: Lane,
}

impl SshUpload {
    /// Opens the unfinished copy, or makes it.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub(super) async fn open(
        lane: Lane,
        path: &RemotePath,
        shown: &str,
        id: &str,
    ) -> Result<Self, WorkplaceError> {
        let sftp = &lane.sftp;
        let target = files::target(sftp, path, shown).await?;
        let name = String::from_utf8_lossy(target.path.name()).into_owned();
        let part = files::beside(&target.path, &format!(".{name}.{id}.part"));
        // Nobody else reads it before it has the mode that it is to have.
        let create = |part| sftp.create(part, Some(0o600));
        let file = files::create(sftp, &part, shown, create).await?;
        let found = file.stat().await.map_err(failed(sftp, Stage::Write, shown))?;
        let writer = file.write_from(found.size);
        Ok(Self { writer, part, target, shown: shown.to_owned(), lane })
    }

    async fn failed(&self, error: Error) -> WorkplaceError {
        files::write_failed(&self.lane.sftp, &self.part, &self.shown, error).await
    }

    async fn flush(&mut self) -> Result<(), WorkplaceError> {
        match self.writer.flush().await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.failed(error).await),
        }
    }

    async fn put_in_place(&mut self, mode: Option<u32>) -> Result<(), Error> {
        let existing = self.target.existing.as_ref();
        let mode = mode.or(existing.map(|found| found.mode)).unwrap_or(DEFAULT_MODE);
        files::keep(self.writer.file(), existing, Some(mode)).await?;
        self.writer.file().sync().await?;
        self.lane.sftp.rename(self.part.as_bytes(), self.target.path.as_bytes()).await
    }
}

/// Of a new file, when nobody says.
const DEFAULT_MODE: u32 = 0o644;

#[async_trait]
impl Upload for SshUpload {
    fn safe_bytes(&self) -> u64 {
        self.writer.confirmed()
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), WorkplaceError> {
        match self.writer.write(&bytes).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.failed(error).await),
        }
    }

    async fn sha256(&mut self) -> Result<String, WorkplaceError> {
        self.flush().await?;
        sha256(&self.lane.remote, &self.lane.sftp, &self.part, &self.shown).await
    }

    async fn finish(mut self: Box<Self>, mode: Option<u32>) -> Result<(), WorkplaceError> {
        self.flush().await?;
        match self.put_in_place(mode).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.failed(error).await),
        }
    }

    async fn discard(self: Box<Self>) -> Result<(), WorkplaceError> {
        let sftp = &self.lane.sftp;
        sftp.remove(self.part.as_bytes()).await.map_err(failed(sftp, Stage::Remove, &self.shown))
    }
}

/// See [`evonic_backend::ChannelSlot::sha256`]: by the host's own programs if it has them, else by
/// reading the file over the connection.
///
/// # Errors
/// [`WorkplaceError`].
pub(super) async fn sha256(
    remote: &Remote,
    sftp: &Sftp,
    path: &RemotePath,
    shown: &str,
) -> Result<String, WorkplaceError> {
    if let Ok(path) = remote.utf8(path)
        && remote.shell_works().await?
        && let Some(hash) = search::sha256(remote, &path).await?
    {
        return Ok(hash);
    }
    let (file, found) = files::open(sftp, path, shown).await?;
    let mut reader = file.read_from(0, found.size);
    let mut hash = Sha256::new();
    while let Some(bytes) = reader.next().await.map_err(failed(sftp, Stage::Read, shown))? {
        hash.update(&bytes);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
