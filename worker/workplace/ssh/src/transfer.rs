//! Transfers: a channel of their own each, on connections that commands do not use.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use evonic_sftp::Error;

use super::{
    connection::{ChannelSlot, Role},
    files::{self, WriteTarget},
    rewrite::{PRIVATE, Writing},
    sftp::{self, Sftp, Writer, failed, is_open},
    shell::{Remote, SftpLease},
};
use evonic_backend::{
    Class, KeepAnswer, RemotePath, Result, Rewrite, Stage, Upload, WorkplaceError, Written, search,
};

/// Channels kept open for the next transfer.
const MAX_SPARE: usize = 2;

/// A channel for one transfer.
#[derive(Debug)]
pub(super) struct TransferChannel {
    remote: Arc<Remote>,
    pub(super) sftp: Sftp,
    /// Whether nothing else uses the channel.
    is_own: bool,
    _hold: ChannelSlot,
}

impl TransferChannel {
    /// A channel of its own: a spare one, or a new one; where the server lets its connections have
    /// no more channels, the one for small operations.
    pub(super) async fn open(remote: &Arc<Remote>) -> Result<Self> {
        let remote = Arc::clone(remote);
        loop {
            let spare = remote.host.spare.lock().pop();
            let Some(sftp) = spare else { break };
            let hold = sftp.sink().connection().hold();
            if let Some(hold) = hold.filter(|_| is_open(&sftp)) {
                return Ok(Self { remote, sftp, is_own: true, _hold: hold });
            }
        }
        let Some(sftp) = Self::opened(&remote).await? else {
            let SftpLease { sftp, hold } = remote.sftp().await?;
            return Ok(Self { remote, sftp, is_own: false, _hold: hold });
        };
        let connection = sftp.sink().connection();
        let closed = || connection.unreachable(Stage::Sftp, "it is closed");
        let hold = connection.hold().ok_or_else(closed)?;
        sftp.sink().set_idle();
        Ok(Self { remote, sftp, is_own: true, _hold: hold })
    }

    /// A new channel; [`None`] when the server, or the share of the host, lets there be no more.
    async fn opened(remote: &Remote) -> Result<Option<Sftp>> {
        let host = &remote.host;
        let slot = if host.max_connections(Role::Transfers) == 0 {
            host.borrowed(Role::Transfers)
        } else {
            match host.channel_slot(Role::Transfers).await {
                Err(WorkplaceError::Exhausted(_)) => None,
                slot => Some(slot?),
            }
        };
        match slot {
            Some(slot) => sftp::open(slot, host.connect_timeout()).await,
            None => Ok(None),
        }
    }
}

impl Drop for TransferChannel {
    fn drop(&mut self) {
        let mut spare = self.remote.host.spare.lock();
        if self.is_own && spare.len() < MAX_SPARE && is_open(&self.sftp) {
            spare.push(self.sftp.clone());
        }
    }
}

/// See [`evonic_backend::Backend::upload`].
#[derive(Debug)]
pub(super) struct SshUpload {
    writer: Writer,
    part: RemotePath,
    target: WriteTarget,
    shown: String,
    channel: TransferChannel,
}

impl SshUpload {
    /// Opens the unfinished copy, or makes it.
    pub(super) async fn open(
        channel: TransferChannel,
        path: &RemotePath,
        shown: &str,
        id: &str,
    ) -> Result<Self> {
        let sftp = &channel.sftp;
        let target = files::write_target(sftp, path, shown).await?;
        let name = String::from_utf8_lossy(target.path.name()).into_owned();
        let part = files::beside(&target.path, &format!(".{name}.{id}.part"));
        let create = |part| sftp.create(part, Some(PRIVATE));
        let file = match target.existing {
            Some(_) => {
                let rewrite = Rewrite::Whole;
                let writing = Writing { remote: &channel.remote, sftp, shown, rewrite };
                writing.may_be_written(&target).await?;
                match create(part.as_bytes()).await {
                    Err(error) if error.is_denied() => {
                        return Err(writing.unreplaceable(&target, error));
                    }
                    opened => files::checked(sftp, &part, shown, opened).await?,
                }
            }
            None => files::create(sftp, &part, shown, create).await?,
        };
        let found = file.stat().await.map_err(failed(sftp, Stage::Write, shown))?;
        let writer = file.write_from(found.size);
        Ok(Self { writer, part, target, shown: shown.to_owned(), channel })
    }

    /// What the server says of the unfinished copy.
    async fn checked(&self, done: Result<(), Error>) -> Result<()> {
        files::checked(&self.channel.sftp, &self.part, &self.shown, done).await
    }

    async fn flush(&mut self) -> Result<()> {
        let flushed = self.writer.flush().await;
        self.checked(flushed).await
    }

    async fn put_in_place(&self, mode: Option<u32>) -> Result<Written> {
        let Self { target, part, shown, channel, .. } = self;
        let file = self.writer.file();
        let writing = Writing {
            remote: &channel.remote,
            sftp: &channel.sftp,
            shown,
            rewrite: Rewrite::Whole,
        };
        let written = match &target.existing {
            Some(existing) => match writing.keep(target, existing, file, part, mode).await? {
                KeepAnswer::Kept(written) => written,
                KeepAnswer::InPlace => Written::default(),
            },
            None => {
                let given = file.set_mode(mode.unwrap_or(DEFAULT_MODE)).await;
                self.checked(given).await?;
                Written::default()
            }
        };
        let synced = file.sync().await;
        self.checked(synced).await?;
        writing.rename(target, part).await?;
        Ok(written)
    }
}

/// The mode of a new file, unless one is given.
const DEFAULT_MODE: u32 = 0o644;

#[async_trait]
impl Upload for SshUpload {
    fn safe_bytes(&self) -> u64 {
        self.writer.confirmed()
    }

    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let written = self.writer.write(&bytes).await;
        self.checked(written).await
    }

    async fn sha256(&mut self) -> Result<String> {
        self.flush().await?;
        sha256(&self.channel.remote, &self.channel.sftp, &self.part, &self.shown).await
    }

    async fn finish(mut self: Box<Self>, mode: Option<u32>) -> Result<Written> {
        self.flush().await?;
        let placed = self.put_in_place(mode).await;
        if placed.as_ref().is_err_and(|error| error.class() == Class::Permanent) {
            // The first error is reported; that this one may follow from it is not news.
            let _left = self.channel.sftp.remove(self.part.as_bytes()).await;
        }
        placed
    }

    async fn discard(self: Box<Self>) -> Result<()> {
        let sftp = &self.channel.sftp;
        sftp.remove(self.part.as_bytes()).await.map_err(failed(sftp, Stage::Remove, &self.shown))
    }
}

/// See [`evonic_backend::Backend::sha256`]: by the host's own programs if it has them, else by
/// reading the file over the connection.
pub(super) async fn sha256(
    remote: &Remote,
    sftp: &Sftp,
    path: &RemotePath,
    shown: &str,
) -> Result<String> {
    if let Ok(path) = remote.utf8(path)
        && remote.shell_works().await?
        && let Some(hash) = search::sha256(remote, &path).await?
    {
        return Ok(hash);
    }
    files::download(sftp.clone(), (), path, shown, 0).await?.sha256().await
}
