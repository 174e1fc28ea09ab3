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

use evonic_shared::config::{self, Config};
use parking_lot::Mutex;

use super::{
    files::{Files, Operation, change, list},
    shell::{Launcher, LocalShell},
};
use evonic_backend::{
    Ended, FileType, Finished, Removal, Result, Stat, Unknown, WorkplaceError, spool::Spool,
};
use evonic_handles::{Budget, Permit};

/// How often old records are looked for.
const TIDY: Duration = Duration::from_secs(3600);

/// The most records that are looked at.
const MOST: u32 = 100_000;

/// The commands of one local workplace.
#[derive(Clone, Debug)]
pub(super) struct Commands {
    pub(super) launcher: Arc<Launcher>,
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
    pub(super) fn new(config: &Config, budget: Budget, files: &Arc<Files>) -> Result<Self> {
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

    /// Passes on how a command ended, and ends what it left, unless it may still run.
    pub(super) fn finished(
        &self,
        command_id: &str,
        finished: Result<Finished>,
    ) -> Result<Finished> {
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
        self.launcher.tasks.spawn(async move { remove(&records, &command_id).await });
    }

    /// The spool of one command.
    pub(super) fn spool(&self, command_id: &str) -> Spool {
        self.spool_with(command_id, None)
    }

    pub(super) fn spool_with(&self, command_id: &str, permit: Option<Permit>) -> Spool {
        let own = self.records.root.path().join(command_id);
        let shell =
            LocalShell::new(Arc::clone(&self.launcher), Arc::clone(&self.files), own, permit);
        Spool::new(Arc::new(shell), self.settings.clone())
    }

    /// Looks for old records, once an hour at the most.
    pub(super) fn tidy_now_and_then(&self) {
        let mut tidied = self.tidied.lock();
        if tidied.is_none_or(|last| last.elapsed() >= TIDY) {
            *tidied = Some(Instant::now());
            let commands = self.clone();
            self.launcher.tasks.spawn(async move {
                if let Err(error) = commands.tidy().await {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "old records of commands cannot be removed");
                }
            });
        }
    }

    /// Removes records older than `spool.keep`, unless their command still runs.
    async fn tidy(&self) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let old = now.saturating_sub(self.settings.keep).as_secs();
        let (folders, _) = self.records.on_thread("list", "", |op| list::list(op, 1, MOST)).await?;
        for folder in folders.iter().filter(|entry| entry.file_type == FileType::Folder) {
            let command_id = &folder.path;
            // Its time is that of the last name in it: when the command was started.
            let is_old = self.stat(command_id).await.is_ok_and(|stat| stat.modified < old);
            if is_old {
                self.spool(command_id).tidy().await?;
                if self.stat(&format!("{command_id}/{command_id}")).await.is_err() {
                    remove(&self.records, command_id).await;
                }
            }
        }
        Ok(())
    }

    async fn stat(&self, path: &str) -> Result<Stat> {
        self.records.on_thread("look at", path, change::stat).await
    }
}

async fn remove(records: &Files, command_id: &str) {
    let remove = |op: Operation<'_>| change::remove(op, Removal::All);
    match records.on_thread("remove", command_id, remove).await {
        Ok(()) => {}
        Err(error) if error.is_missing() => {}
        // It is old one day, and tried again then.
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::info!(command_id, error, "the record of a command stays for now");
        }
    }
}

/// Makes a folder that only its user can read.
fn make_private(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))
}
