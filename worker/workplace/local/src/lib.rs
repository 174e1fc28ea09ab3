//! The local workplace: a folder of this machine, and commands run in it as the service's user.
//!
//! | Part | Owns |
//! |---|---|
//! | `files` | the gateway of `file` descriptors: paths below the root, writes that are atomic |
//! | `shell` | the gateway of `child` descriptors: scripts, their limits and confinement |
//! | `commands` | the spool of each command of this machine |
//! | [`Protection`] | what protects this machine from commands, for `evonic doctor` |
//!
//! # Invariants
//! - Paths of file operations do not leave a confined root, whatever is renamed or linked
//!   meanwhile: the kernel resolves them.
//! - Commands of a confined root write nowhere else, where the kernel has Landlock. Where it has
//!   not, that is reported, and not tried by other means.
//!
//! # Absent
//! - Knows no other kind of workplace, no session's data and no database.

mod commands;
mod files;
#[cfg(any(test, feature = "testing"))]
pub mod fixture;
mod protection;
mod shell;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use evonic_shared::config::Config;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use self::protection::{Protection, of as protections};
use self::{
    commands::Commands,
    files::{Files, Operation, Root, change, list, search, transfer, write},
};
use evonic_backend::{
    Backend, Change, CommandSpec, Download, Ended, Entry, Finished, Found, Removal, Result, Stat,
    Upload, WorkplaceError, search::rules::Filter, spool::Spool,
};
use evonic_domain::{LocalSettings, SessionId, WorkplaceKind};
use evonic_handles::Budget;

/// The folder of sessions' folders, below the workplace's.
const SESSIONS: &str = "sessions";

/// The local workplace: a folder, and commands run in it as the service's user.
#[derive(Clone, Debug)]
pub struct Local {
    commands: Commands,
    files: Arc<Files>,
    settings: Arc<Config>,
}

impl Local {
    /// The workplace at the configured root, which is made if it is missing. Reads the service's
    /// environment, once. Starts eight threads, which end when the last clone is dropped.
    ///
    /// # Errors
    /// [`WorkplaceError`] when the root cannot be made or is no folder.
    pub fn new(config: &Config, budget: Budget) -> Result<Self> {
        let settings = &config.workplace;
        let root = Arc::new(Root::new(settings.root.clone(), settings.confined)?);
        let files = Files::new(budget.clone(), root).map_err(WorkplaceError::Threads)?;
        let files = Arc::new(files);
        let commands = Commands::new(config, budget, &files)?;
        let settings = Arc::new(config.clone());
        Ok(Self { commands, files, settings })
    }

    /// A local workplace of these settings, for a session; without one, the workplace itself. Its
    /// folders are made if they are missing. Threads and permits are this one's.
    ///
    /// # Errors
    /// [`WorkplaceError`] when a folder cannot be made, or is none.
    pub fn at(&self, settings: &LocalSettings, session: Option<&SessionId>) -> Result<Self> {
        let own = settings.root.as_deref().unwrap_or(self.files.root.path());
        let folder = match session {
            Some(session) if settings.session_folders => own.join(SESSIONS).join(session.as_str()),
            _ => own.to_owned(),
        };
        if folder == self.files.root.path() {
            return Ok(self.clone());
        }
        let files = Arc::new(self.files.at(folder)?);
        let commands = self.commands.at(&files);
        Ok(Self { commands, files, settings: Arc::clone(&self.settings) })
    }

    /// What protects this machine from commands.
    #[must_use]
    pub fn protections(&self) -> Vec<Protection> {
        protection::of(&self.settings)
    }

    /// Waits until every script is over, also those whose future was dropped, and their permits are
    /// given back. Commands keep running. For the end of a drain.
    pub async fn idle(&self) {
        self.commands.launcher.idle().await;
    }
}

#[async_trait]
impl Backend for Local {
    fn kind(&self) -> WorkplaceKind {
        WorkplaceKind::Local
    }

    async fn home(&self) -> Result<String> {
        Ok(self.files.root.path().display().to_string())
    }

    fn spool(&self, command_id: &str) -> Spool {
        self.commands.spool(command_id)
    }

    /// Runs a command. Standard output and error come as one stream, in their order.
    ///
    /// The environment is `PATH`, `LANG`, `TZ` (the service's), `HOME` (the root), `TERM=dumb`,
    /// `EVONIC_CALL` (the command id), `TMPDIR` (a folder of its own, when it is confined), and
    /// what `tools.environment` names. Standard input ends after the given bytes. The limits and
    /// the confinement of `[workplace]` hold from its first instruction on.
    ///
    /// Holds one `child` permit while it is followed.
    async fn run(
        &self,
        spec: CommandSpec,
        output: mpsc::Sender<Bytes>,
        cancel: &CancellationToken,
    ) -> Result<Finished> {
        self.commands.tidy_now_and_then();
        let permit = self.commands.launcher.permit();
        let Some(permit) = cancel.run_until_cancelled(permit).await else {
            return Ok(Finished { ended: Ended::Cancelled, left_behind: 0 });
        };
        let command_id = spec.command_id.clone();
        let spool = self.commands.spool_with(&command_id, Some(permit?));
        let finished = spool.run(spec, output, cancel).await;
        self.commands.finished(&command_id, finished)
    }

    async fn attach(
        &self,
        command_id: &str,
        from: u64,
        output: mpsc::Sender<Bytes>,
        cancel: &CancellationToken,
    ) -> Result<Finished> {
        let finished = self.spool(command_id).attach(command_id, from, output, cancel).await;
        self.commands.finished(command_id, finished)
    }

    async fn kill(&self, command_id: &str) -> Result<u32> {
        let killed = self.spool(command_id).kill(command_id).await;
        if killed.is_ok() {
            self.commands.launcher.end_group(command_id);
        }
        killed
    }

    fn forget(&self, command_id: &str) {
        self.commands.forget(command_id);
    }

    async fn stat(&self, path: &str) -> Result<Stat> {
        self.files.on_thread("look at", path, change::stat).await
    }

    async fn write(&self, path: &str, content: Bytes) -> Result<()> {
        self.files.on_thread("write", path, move |op| write::write(op, &content)).await
    }

    async fn edit(&self, path: &str, limit_bytes: u64, change: Change) -> Result<()> {
        self.files.on_thread("read", path, move |op| write::edit(op, limit_bytes, change)).await
    }

    async fn list(&self, path: &str, depth: u32, limit: u32) -> Result<(Vec<Entry>, bool)> {
        self.files.on_thread("list", path, move |op| list::list(op, depth, limit)).await
    }

    async fn search(
        &self,
        pattern: &str,
        path: &str,
        glob: Option<&str>,
        limit: u32,
    ) -> Result<Found> {
        let (pattern, glob) = (pattern.to_owned(), glob.map(str::to_owned));
        let search = move |op: Operation<'_>| {
            search::search(op, &Filter::new(&pattern, glob.as_deref())?, limit)
        };
        self.files.on_thread("search", path, search).await
    }

    async fn make_folder(&self, path: &str) -> Result<()> {
        self.files.on_thread("make", path, change::make_folder).await
    }

    async fn remove(&self, path: &str, removal: Removal) -> Result<()> {
        self.files.on_thread("remove", path, move |op| change::remove(op, removal)).await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let to = to.to_owned();
        self.files.on_thread("rename", from, move |op| change::rename(op, &to)).await
    }

    async fn download(&self, path: &str, from: u64) -> Result<Download> {
        self.files.download(path, from).await
    }

    async fn upload(&self, path: &str, id: &str) -> Result<Box<dyn Upload>> {
        self.files.upload(path, id).await
    }

    async fn sha256(&self, path: &str) -> Result<String> {
        self.files.on_thread("read", path, transfer::sha256).await
    }
}
