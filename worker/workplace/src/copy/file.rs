//! One file, from its first byte to its name.

use tokio::try_join;

use super::{
    copying::Copying,
    error::CopyError,
    progress::{Progress, ProgressSink},
    pump::{Pass, Pump, is_same},
    retry::{Retry, retried},
};
use evonic_backend::{Class, FileType, Result, Stat, WorkplaceError};

/// How often a file that changes meanwhile is begun.
const BEGINNINGS: u32 = 2;

/// A file to copy.
pub(super) struct File<'f> {
    pub(super) copying: &'f Copying,
    pub(super) progress: &'f ProgressSink,
    pub(super) from: &'f str,
    pub(super) to: &'f str,
    /// Bytes of the files before it.
    pub(super) before: u64,
}

/// A file that is at its target.
pub(super) struct Copied {
    /// Its size.
    pub(super) bytes: u64,
    /// Bytes that were sent for it.
    pub(super) sent: u64,
}

impl File<'_> {
    /// Copies it, unless it is there already.
    ///
    /// # Errors
    /// [`CopyError`].
    pub(super) async fn copy(&self) -> Result<Copied, CopyError> {
        let mut sent = 0;
        for _ in 0..BEGINNINGS {
            let stat = self.stat().await?;
            let bytes = stat.size_bytes;
            let hash = match self.is_there(&stat).await? {
                Some(hash) => Some(hash),
                None => self.begin(stat, &mut sent).await?,
            };
            if let Some(sha256) = hash {
                self.progress.moved(self.from, self.before + bytes);
                let checked = Progress::Checked { path: self.from.to_owned(), sha256 };
                self.progress.send(checked).await;
                return Ok(Copied { bytes, sent });
            }
        }
        Err(CopyError::Changing { path: self.from.to_owned() })
    }

    async fn stat(&self) -> Result<Stat, CopyError> {
        let Copying { from, .. } = self.copying;
        retried(self.progress, || from.stat(self.from)).await.map_err(at(self.from))
    }

    /// The hash of a file that needs no copying: the target's size, mode and hash are its own.
    async fn is_there(&self, stat: &Stat) -> Result<Option<String>, CopyError> {
        let Copying { to, .. } = self.copying;
        let there = retried(self.progress, || {
            Box::pin(async {
                match to.stat(self.to).await {
                    Ok(there) => Ok(Some(there)),
                    Err(error) if error.class() == Class::Transient => Err(error),
                    // Its error is reported when it is written.
                    Err(_) => Ok(None),
                }
            })
        });
        let same = |there: &Stat| {
            there.file_type == FileType::File
                && (there.size_bytes, there.mode) == (stat.size_bytes, stat.mode)
        };
        match there.await.map_err(at(self.to))? {
            Some(there) if same(&there) => self.is_copied(stat).await,
            _ => Ok(None),
        }
    }

    /// The hash that source and target have in common.
    async fn is_copied(&self, stat: &Stat) -> Result<Option<String>, CopyError> {
        let Copying { from, to, .. } = self.copying;
        let theirs = || async {
            match to.sha256(self.to).await {
                Err(error) if error.class() == Class::Permanent => Ok(String::new()),
                hash => hash,
            }
        };
        let hashes = retried(self.progress, || {
            Box::pin(async { try_join!(from.sha256(self.from), theirs()) })
        });
        let (ours, theirs) = hashes.await.map_err(at(self.from))?;
        let now = self.stat().await?;
        Ok((ours == theirs && is_same(&now, stat)).then_some(ours))
    }

    /// Copies it once; its hash, or nothing when it changed meanwhile.
    async fn begin(&self, stat: Stat, sent: &mut u64) -> Result<Option<String>, CopyError> {
        let Copying { from, to, id, .. } = self.copying;
        let mode = stat.mode;
        let mut pump = Pump {
            from: from.as_ref(),
            from_path: self.from,
            to: to.as_ref(),
            to_path: self.to,
            id,
            stat: stat.clone(),
            target: None,
            source: None,
            sent: 0,
        };
        let hash = self.fill(&mut pump).await;
        *sent += pump.sent;
        if hash.as_ref().is_err_and(|error| !error.goes_on()) {
            pump.abandon().await;
        }
        let Some(hash) = hash? else {
            let mut retry = Retry::new(self.progress);
            while let Err(error) = pump.start_over().await {
                retry.wait(error).await.map_err(at(self.to))?;
            }
            return Ok(None);
        };
        let Some(target) = pump.target.take() else { return Ok(None) };
        drop(pump.source.take());
        match target.upload.finish(Some(mode)).await {
            Ok(written) => {
                for note in written.notes() {
                    self.progress.send(Progress::Noted { path: self.to.to_owned(), note }).await;
                }
                Ok(Some(hash))
            }
            // Whether it got its name only the target shows.
            Err(error) if error.class() == Class::Transient => {
                Retry::new(self.progress).wait(error).await.map_err(at(self.to))?;
                match self.is_there(&stat).await? {
                    Some(hash) => Ok(Some(hash)),
                    None => Box::pin(self.begin(stat, sent)).await,
                }
            }
            Err(error) => Err(at(self.to)(error)),
        }
    }

    /// Streams what the target lacks and compares both; the hash that they have in common, or
    /// nothing when the source changed.
    async fn fill(&self, pump: &mut Pump<'_>) -> Result<Option<String>, CopyError> {
        let mut retry = Retry::new(self.progress);
        let mut furthest = 0;
        loop {
            let passed = match pump.pass(self.progress, self.before).await {
                Ok(Pass::Changed) => return Ok(None),
                Ok(Pass::Complete) => self.compare(pump).await,
                Err(error) => Err(error),
            };
            match passed {
                Ok(hash) => return Ok(hash),
                Err(error) => {
                    if pump.sent > furthest {
                        furthest = pump.sent;
                        retry.reset();
                    }
                    retry.wait(error).await.map_err(at(self.from))?;
                }
            }
        }
    }

    async fn compare(&self, pump: &mut Pump<'_>) -> Result<Option<String>> {
        let Some(target) = &mut pump.target else { return Ok(None) };
        let (ours, theirs) = tokio::join!(pump.from.sha256(self.from), target.upload.sha256());
        if theirs.is_err() {
            pump.target = None;
        }
        let (ours, theirs) = (ours?, theirs?);
        let now = pump.from.stat(self.from).await?;
        Ok((ours == theirs && is_same(&now, &pump.stat)).then_some(ours))
    }
}

/// An error of a workplace at a path.
pub(super) fn at(path: &str) -> impl FnOnce(WorkplaceError) -> CopyError + use<> {
    let path = path.to_owned();
    move |source| CopyError::Backend { path, source }
}
