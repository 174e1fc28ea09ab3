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
    files::{Files, Root},
};
use evonic_backend::{
    Backend, Change, CommandSpec, Download, Entry, Finished, Found, Lines, Removal, Stat, Upload,
    WorkplaceError,
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
    pub fn new(config: &Config, budget: Budget) -> Result<Self, WorkplaceError> {
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
    pub fn at(
        &self,
        settings: &LocalSettings,
        session: Option<&SessionId>,
    ) -> Result<Self, WorkplaceError> {
        let own = settings.root.as_deref().unwrap_or(self.files.root().path());
        let folder = match session {
            Some(session) if settings.session_folders => own.join(SESSIONS).join(session.as_str()),
            _ => own.to_owned(),
        };
        if folder == self.files.root().path() {
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
    /// given back. Commands go on. For the end of a drain.
    pub async fn idle(&self) {
        self.commands.idle().await;
    }
}

#[async_trait]
impl Backend for Local {
    fn kind(&self) -> WorkplaceKind {
        WorkplaceKind::Local
    }

    async fn home(&self) -> Result<String, WorkplaceError> {
        Ok(self.files.root().path().display().to_string())
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
    ) -> Result<Finished, WorkplaceError> {
        self.commands.run(spec, output, cancel).await
    }

    async fn attach(
        &self,
        command_id: &str,
        from: u64,
        output: mpsc::Sender<Bytes>,
        cancel: &CancellationToken,
    ) -> Result<Finished, WorkplaceError> {
        self.commands.attach(command_id, from, output, cancel).await
    }

    async fn output(
        &self,
        command_id: &str,
        from: u64,
        limit: u64,
    ) -> Result<Bytes, WorkplaceError> {
        self.commands.output(command_id, from, limit).await
    }

    async fn kill(&self, command_id: &str) -> Result<u32, WorkplaceError> {
        self.commands.kill(command_id).await
    }

    fn forget(&self, command_id: &str) {
        self.commands.forget(command_id);
    }

    async fn stat(&self, path: &str) -> Result<Stat, WorkplaceError> {
        self.files.stat(path).await
    }

    async fn read_lines(
        &self,
        path: &str,
        from: u64,
        to: Option<u64>,
        limit: u64,
    ) -> Result<Lines, WorkplaceError> {
        self.files.read_lines(path, from, to, limit).await
    }

    async fn write(&self, path: &str, content: Bytes) -> Result<(), WorkplaceError> {
        self.files.write(path, content.into()).await
    }

    async fn edit(
        &self,
        path: &str,
        limit_bytes: u64,
        change: Change,
    ) -> Result<(), WorkplaceError> {
        self.files.edit(path, limit_bytes, change).await
    }

    async fn list(
        &self,
        path: &str,
        depth: u32,
        limit: u32,
    ) -> Result<(Vec<Entry>, bool), WorkplaceError> {
        self.files.list(path, depth, limit).await
    }

    async fn search(
        &self,
        pattern: &str,
        path: &str,
        glob: Option<&str>,
        limit: u32,
    ) -> Result<Found, WorkplaceError> {
        self.files.search(pattern, path, glob, limit).await
    }

    async fn make_folder(&self, path: &str) -> Result<(), WorkplaceError> {
        self.files.make_folder(path).await
    }

    async fn remove(&self, path: &str, removal: Removal) -> Result<(), WorkplaceError> {
        self.files.remove(path, removal).await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), WorkplaceError> {
        self.files.rename(from, to).await
    }

    async fn download(&self, path: &str, from: u64) -> Result<Download, WorkplaceError> {
        self.files.download(path, from).await
    }

    async fn upload(&self, path: &str, id: &str) -> Result<Box<dyn Upload>, WorkplaceError> {
        self.files.upload(path, id).await
    }

    async fn sha256(&self, path: &str) -> Result<String, WorkplaceError> {
        self.files.sha256(path).await
    }
}
