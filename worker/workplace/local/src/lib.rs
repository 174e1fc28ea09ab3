//! The local workplace: a folder of this machine, and commands run in it as the service's user.
//!
//! | Part | Owns |
//! |---|---|
//! | `files` | the gateway of `file` descriptors: paths below the root, writes that are atomic |
//! | `commands` | the gateway of `child` descriptors: runners, their records and limits |
//! | `sandbox`, `user` | what keeps commands inside, and who they are |
//! | [`proc`] | what commands need to be seen of `/proc` |
//! | [`Protection`] | what protects this machine from commands, for `evonic doctor` |
//!
//! # Invariants
//! - Paths of file operations do not leave a confined root, whatever is renamed or linked
//!   meanwhile: the kernel resolves them.
//! - What a person has set for the sandbox never falls back; what the machine can do by itself is
//!   tried, and told.
//!
//! # Absent
//! - Knows no other kind of workplace, no session's data and no database.

mod commands;
mod files;
#[cfg(any(test, feature = "testing"))]
pub mod fixture;
pub mod proc;
mod protection;
mod sandbox;
mod user;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use evonic_shared::config::Config;

pub use self::protection::{Protection, of as protections};
use self::{
    commands::{Commands, Environment},
    files::{Files, Operation, Root, change, list, search, transfer, write},
    sandbox::Reach,
};
use evonic_backend::{
    Backend, Change, Download, Entry, Found, Removal, Result, Rewrite, Stat, Upload,
    WorkplaceError, Written, search::rules::Filter,
};
use evonic_domain::{LocalSettings, SessionId, WorkplaceKind};
use evonic_handles::Budget;
pub use evonic_runner::Level;

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
        let environment = Environment::of_service(&config.tools.environment);
        let reach = Reach::new(config, environment.path());
        let reach = reach.map_err(|problem| WorkplaceError::settings("workplace.user", problem))?;
        let root = Root::new(settings.root.clone(), settings.confined, reach.user)?;
        let files = Files::new(budget.clone(), Arc::new(root)).map_err(WorkplaceError::Threads)?;
        let files = Arc::new(files);
        let commands = Commands::new(config, budget, &files, reach, environment)?;
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
        let root = match session {
            Some(session) if settings.session_folders => {
                let own = self.files.at(own.to_owned())?;
                own.root.below(&Path::new(SESSIONS).join(session.as_str()))?
            }
            _ if own == self.files.root.path() => Root::clone(&self.files.root),
            _ => self.files.root.at(own.to_owned())?,
        };
        let files = Arc::new(self.files.with(root));
        let sandbox = settings.sandbox.map(Into::into);
        let commands = self.commands.at(&files, sandbox, settings.network.map(Into::into));
        Ok(Self { commands, files, settings: Arc::clone(&self.settings) })
    }

    /// Hides these from commands that start from now on, in every local workplace.
    pub fn hide(&self, secrets: impl IntoIterator<Item = PathBuf>) {
        self.commands.launcher.reach.hide(secrets);
    }

    /// What keeps commands of this workplace inside, and what they may reach all the same.
    ///
    /// # Errors
    /// [`WorkplaceError::Settings`] when what is wished for cannot be had: commands are refused.
    pub async fn containment(&self) -> Result<(Level, String)> {
        self.commands.containment(&self.settings.workplace).await
    }

    /// Removes what was made to try a sandbox by workers that are dead.
    pub async fn remove_probes(&self) {
        self.commands.remove_probes().await;
    }

    /// The command ids of all records of this machine.
    pub async fn records(&self) -> Vec<String> {
        self.commands.records().await
    }

    /// Waits until everything here is over, also what nobody waits for any more. Commands keep running. For the end of a drain.
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

    fn commands(&self) -> &dyn evonic_backend::Commands {
        &self.commands
    }

    async fn stat(&self, path: &str) -> Result<Stat> {
        self.files.on_thread("look at", path, change::stat).await
    }

    async fn write(&self, path: &str, content: Bytes, rewrite: Rewrite) -> Result<Written> {
        self.files.on_thread("write", path, move |op| write::write(op, &content, rewrite)).await
    }

    async fn edit(
        &self,
        path: &str,
        limit_bytes: u64,
        change: Change,
        rewrite: Rewrite,
    ) -> Result<Written> {
        let edit = move |op: Operation<'_>| write::edit(op, limit_bytes, change, rewrite);
        self.files.on_thread("read", path, edit).await
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
