//! The workplace of a session on another machine.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use evonic_shared::config;

use super::{
    files, folders,
    retry::Retry,
    rewrite::Writing,
    sftp::{Sftp, failed, stat_of},
    shell::Remote,
    transfer::{self, SshUpload, TransferChannel},
};
use evonic_backend::{
    Backend, Change, Commands, Download, Entry, Found, Lines, RemotePath, Removal, Result, Rewrite,
    Stage, Stat, Upload, Written,
    batch::{self, SmallFile},
    lines, search,
    spool::Spool,
};
use evonic_domain::WorkplaceKind;

/// See [`Backend`].
#[derive(Clone, Debug)]
pub struct Ssh {
    remote: Arc<Remote>,
    pub(super) spool: Spool,
    settings: config::Ssh,
}

impl Ssh {
    pub(super) fn new(remote: Remote, spool: config::Spool, settings: config::Ssh) -> Self {
        let remote = Arc::new(remote);
        let spool = Spool::new(remote.clone(), spool).sharing(Arc::clone(&remote.host.forgotten));
        Self { spool, remote, settings }
    }

    /// Does what may be done twice, until it is done or fails for good.
    async fn retried<T, F>(
        &self,
        path: &str,
        operation: impl Fn(Sftp, RemotePath) -> F + Send + Sync,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
        T: Send,
    {
        let mut retry = Retry::new(&self.settings);
        loop {
            // The pool has tried what fails here often enough.
            let path = self.remote.resolve(path).await?;
            let lease = self.remote.sftp().await?;
            let error = match operation(lease.sftp.clone(), path).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            drop(lease);
            retry.after(error).await?;
        }
    }
}

#[async_trait]
impl Backend for Ssh {
    fn kind(&self) -> WorkplaceKind {
        WorkplaceKind::Ssh
    }

    async fn home(&self) -> Result<String> {
        Ok(self.remote.home().await?.path().to_string())
    }

    fn commands(&self) -> &dyn Commands {
        &self.spool
    }

    async fn stat(&self, path: &str) -> Result<Stat> {
        self.retried(path, |sftp, whole| async move {
            let found =
                sftp.stat(whole.as_bytes()).await.map_err(failed(&sftp, Stage::Read, path))?;
            Ok(stat_of(&found))
        })
        .await
    }

    async fn read_lines(
        &self,
        path: &str,
        from: u64,
        to: Option<u64>,
        limit: u64,
    ) -> Result<Lines> {
        self.retried(path, |sftp, whole| async move {
            let range = lines::Range { from, to, limit };
            files::download(sftp, (), &whole, path, 0).await?.lines(range).await
        })
        .await
    }

    async fn write(&self, path: &str, content: Bytes, rewrite: Rewrite) -> Result<Written> {
        self.retried(path, |sftp, whole| {
            let (content, remote) = (content.clone(), &*self.remote);
            async move {
                let writing = Writing { remote, sftp: &sftp, shown: path, rewrite };
                writing.write(&whole, &content, None).await
            }
        })
        .await
    }

    async fn edit(
        &self,
        path: &str,
        limit_bytes: u64,
        change: Change,
        rewrite: Rewrite,
    ) -> Result<Written> {
        let whole = self.remote.resolve(path).await?;
        let lease = self.remote.sftp().await?;
        let writing = Writing { remote: &self.remote, sftp: &lease.sftp, shown: path, rewrite };
        writing.edit(&whole, limit_bytes, change).await
    }

    async fn list(&self, path: &str, depth: u32, limit: u32) -> Result<(Vec<Entry>, bool)> {
        let whole = self.remote.resolve(path).await?;
        if let Ok(whole) = self.remote.utf8(&whole)
            && self.remote.shell_works().await?
        {
            return search::list(&*self.remote, &whole, depth, limit).await;
        }
        let list =
            |sftp, whole| async move { folders::list(&sftp, &whole, path, depth, limit).await };
        self.retried(path, list).await
    }

    async fn search(
        &self,
        pattern: &str,
        path: &str,
        glob: Option<&str>,
        limit: u32,
    ) -> Result<Found> {
        let root = self.remote.utf8(&self.remote.base().await?)?;
        let whole = self.remote.utf8(&self.remote.resolve(path).await?)?;
        search::search(&*self.remote, pattern, &root, &whole, glob, limit).await
    }

    async fn make_folder(&self, path: &str) -> Result<()> {
        self.retried(
            path,
            |sftp, whole| async move { folders::make_folders(&sftp, &whole, path).await },
        )
        .await
    }

    async fn remove(&self, path: &str, removal: Removal) -> Result<()> {
        let whole = self.remote.resolve(path).await?;
        let lease = self.remote.sftp().await?;
        folders::remove(&lease.sftp, &whole, path, removal).await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (whole, target) = (self.remote.resolve(from).await?, self.remote.resolve(to).await?);
        let lease = self.remote.sftp().await?;
        let renamed = lease.sftp.rename(whole.as_bytes(), target.as_bytes()).await;
        renamed.map_err(failed(&lease.sftp, Stage::Rename, from))
    }

    async fn download(&self, path: &str, from: u64) -> Result<Download> {
        let whole = self.remote.resolve(path).await?;
        let channel = TransferChannel::open(&self.remote).await?;
        files::download(channel.sftp.clone(), channel, &whole, path, from).await
    }

    async fn upload(&self, path: &str, id: &str) -> Result<Box<dyn Upload>> {
        let whole = self.remote.resolve(path).await?;
        let channel = TransferChannel::open(&self.remote).await?;
        Ok(Box::new(SshUpload::open(channel, &whole, path, id).await?))
    }

    async fn read_batch(&self, folder: &str, paths: &[String]) -> Result<Option<Vec<SmallFile>>> {
        let whole = self.remote.resolve(folder).await?;
        match self.remote.utf8(&whole) {
            Ok(whole) if self.remote.shell_works().await? => {
                batch::read(&*self.remote, &whole, paths).await
            }
            _ => Ok(None),
        }
    }

    async fn write_batch(
        &self,
        folder: &str,
        files: &[SmallFile],
    ) -> Result<Option<HashMap<String, String>>> {
        let whole = self.remote.resolve(folder).await?;
        match self.remote.utf8(&whole) {
            Ok(whole) if self.remote.shell_works().await? => {
                batch::write(&*self.remote, &whole, files).await
            }
            _ => Ok(None),
        }
    }

    async fn sha256(&self, path: &str) -> Result<String> {
        let whole = self.remote.resolve(path).await?;
        let lease = self.remote.sftp().await?;
        transfer::sha256(&self.remote, &lease.sftp, &whole, path).await
    }
}
