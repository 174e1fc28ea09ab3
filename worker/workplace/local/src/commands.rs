//! Commands of this machine: each has a spool of its own, in a folder that only it may write to.
//!
//! ```text
//! state_dir/spool/MARK/MARK/   the command's record: see `spool`
//!                     /tmp/    its temporary files, when it is confined
//! ```
//!
//! The folder above the record is made before the command is confined, and is the one that its
//! confinement allows: no command reaches another one's record.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use evonic_shared::config::{self, Config};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    files::Files,
    shell::{Launcher, LocalShell},
};
use evonic_backend::{
    CommandSpec, Ended, FileType, Finished, Removal, Unknown, WorkplaceError, spool::Spool,
};
use evonic_handles::{Budget, Permit};

/// How often old records are looked for.
const TIDY: Duration = Duration::from_secs(3600);

/// The most records that are looked at.
const MOST: u32 = 100_000;

/// The commands of one local workplace.
#[derive(Clone, Debug)]
pub(super) struct Commands {
    launcher: Arc<Launcher>,
    files: Arc<Files>,
    /// The folder of all records.
    records: Arc<Files>,
    settings: config::Spool,
    /// When old records were looked for.
    tidied: Arc<Mutex<Option<Instant>>>,
}

impl Commands {
    /// # Errors
    /// [`WorkplaceError`] when the folder of records cannot be made, or there are no threads.
    pub(super) fn new(
        config: &Config,
        budget: Budget,
        files: &Arc<Files>,
    ) -> Result<Self, WorkplaceError> {
        let folder = config.state_dir.join("spool");
        make_private(&folder).map_err(|source| WorkplaceError::Root {
            path: folder.display().to_string(),
            source,
        })?;
        let records = Arc::new(files.confined_at(folder)?);
        let launcher = Arc::new(Launcher::new(config, budget).map_err(WorkplaceError::Threads)?);
        let (files, settings) = (Arc::clone(files), config.spool.clone());
        Ok(Self { launcher, files, records, settings, tidied: Arc::new(Mutex::new(None)) })
    }

    /// The same launcher, threads and records for another folder.
    pub(super) fn at(&self, files: &Arc<Files>) -> Self {
        Self { files: Arc::clone(files), ..self.clone() }
    }

    /// See [`evonic_backend::Backend::run`].
    pub(super) async fn run(
        &self,
        spec: CommandSpec,
        output: mpsc::Sender<Bytes>,
        cancel: &CancellationToken,
    ) -> Result<Finished, WorkplaceError> {
        self.tidy_now_and_then();
        let permit = tokio::select! {
            biased;
            () = cancel.cancelled() => {
                return Ok(Finished { ended: Ended::Cancelled, left_behind: 0 });
            }
            permit = self.launcher.permit() => permit?,
        };
        let command_id = spec.command_id.clone();
        let finished = self.spool_with(&command_id, Some(permit)).run(spec, output, cancel).await;
        self.finished(&command_id, finished)
    }

    /// See [`evonic_backend::Backend::attach`].
    pub(super) async fn attach(
        &self,
        command_id: &str,
        from: u64,
        output: mpsc::Sender<Bytes>,
        cancel: &CancellationToken,
    ) -> Result<Finished, WorkplaceError> {
        let finished = self.spool(command_id).attach(command_id, from, output, cancel).await;
        self.finished(command_id, finished)
    }

    /// See [`evonic_backend::Backend::output`].
    pub(super) async fn output(
        &self,
        command_id: &str,
        from: u64,
        limit: u64,
    ) -> Result<Bytes, WorkplaceError> {
        self.spool(command_id).output(command_id, from, limit).await
    }

    /// See [`evonic_backend::Backend::kill`].
    pub(super) async fn kill(&self, command_id: &str) -> Result<u32, WorkplaceError> {
        let killed = self.spool(command_id).kill(command_id).await;
        if killed.is_ok() {
            self.launcher.end_group(command_id);
        }
        killed
    }

    /// Passes on how a command ended, and ends what it left, unless it may still run.
    fn finished(
        &self,
        command_id: &str,
        finished: Result<Finished, WorkplaceError>,
    ) -> Result<Finished, WorkplaceError> {
        if let Ok(Finished { ended, .. }) = &finished
            && *ended != Ended::Unknown(Unknown::OutOfReach)
        {
            self.launcher.end_group(command_id);
        }
        finished
    }

    /// See [`evonic_backend::Backend::forget`].
    pub(super) fn forget(&self, command_id: &str) {
        let (records, command_id) = (Arc::clone(&self.records), command_id.to_owned());
        self.launcher.tasks().spawn(async move { remove(&records, &command_id).await });
    }

    /// Waits until every script is over, and what was forgotten is removed.
    pub(super) async fn idle(&self) {
        self.launcher.idle().await;
    }

    /// The spool of one command.
    fn spool(&self, command_id: &str) -> Spool<LocalShell> {
        self.spool_with(command_id, None)
    }

    fn spool_with(&self, command_id: &str, permit: Option<Permit>) -> Spool<LocalShell> {
        let own = self.records.root().path().join(command_id);
        let shell =
            LocalShell::new(Arc::clone(&self.launcher), Arc::clone(&self.files), own, permit);
        Spool::new(Arc::new(shell), self.settings.clone())
    }

    /// Looks for old records, once an hour at the most.
    fn tidy_now_and_then(&self) {
        let mut tidied = self.tidied.lock();
        if tidied.is_none_or(|last| last.elapsed() >= TIDY) {
            *tidied = Some(Instant::now());
            let commands = self.clone();
            self.launcher.tasks().spawn(async move {
                if let Err(error) = commands.tidy().await {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "old records of commands cannot be removed");
                }
            });
        }
    }

    /// Removes records that nobody asked for in `spool.keep`, unless their command still runs.
    async fn tidy(&self) -> Result<(), WorkplaceError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let old = now.saturating_sub(self.settings.keep).as_secs();
        let (folders, _) = self.records.list("", 1, MOST).await?;
        for folder in folders.iter().filter(|entry| entry.file_type == FileType::Folder) {
            let command_id = &folder.path;
            // Its time is that of the last name in it: when the command was started.
            let is_old = self.records.stat(command_id).await.is_ok_and(|stat| stat.modified < old);
            if is_old {
                self.spool(command_id).tidy().await?;
                if self.records.stat(&format!("{command_id}/{command_id}")).await.is_err() {
                    remove(&self.records, command_id).await;
                }
            }
        }
        Ok(())
    }
}

async fn remove(records: &Files, command_id: &str) {
    match records.remove(command_id, Removal::All).await {
        Ok(()) => {}
        Err(WorkplaceError::Path { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        // It is old one day, and tried again then.
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::info!(command_id, error, "the record of a command stays for now");
        }
    }
}

/// Makes a folder of which nobody else knows what is in it.
fn make_private(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))
}
