//! A host, and where the workplace is on it.

mod script;

use std::{
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;

use super::{
    connection::{ChannelSlot, Connection, Role},
    facts,
    flight::Flight,
    pool::Host,
    sftp::{self, Sftp},
    shell_facts::Facts,
};
use evonic_backend::{
    Home, RemotePath, Result, Stage, WorkplaceError,
    spool::{Gathered, Purpose, Script, ScriptEnd, gather},
};
use evonic_domain::SessionId;

/// Other connections that are tried when the server lets one have no more channels.
const MAX_CONNECTIONS: u32 = 8;

/// A connection of this age, whose login shell runs no commands, is not asked for lists again.
const SHELL_AGE: Duration = Duration::from_secs(10);

/// The most that is kept of each output of a small script.
const MAX_OUTPUT_BYTES: usize = 64 * 1024;

/// A host, as the workplace of a session.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) host: Arc<Host>,
    instance: String,
    folder: Option<String>,
    session: Option<SessionId>,
    /// The workplace's folder, once it is known to be there; it is looked for once at a time.
    base: OnceLock<RemotePath>,
    finding_base: Flight<RemotePath>,
}

/// The host's channel for small operations on files, which is not closed meanwhile.
#[derive(Debug)]
pub(super) struct SftpLease {
    pub(super) sftp: Sftp,
    pub(super) hold: ChannelSlot,
}

impl Remote {
    /// A workplace in this folder, below it in one of this session's own.
    pub(super) fn new(
        host: Arc<Host>,
        instance: String,
        folder: Option<String>,
        session: Option<SessionId>,
    ) -> Self {
        let (base, finding_base) = Default::default();
        Self { host, instance, folder, session, base, finding_base }
    }

    /// The host's channel for files; opened if need be, and checked against the login shell.
    pub(super) async fn sftp(&self) -> Result<SftpLease> {
        for _ in 0..MAX_CONNECTIONS {
            let kept = self.host.files.lock().clone();
            let open = match kept.filter(sftp::is_open) {
                Some(sftp) if sftp.sink().connection().is_usable() => sftp,
                _ => self.host.opening_files.join(self.open_sftp()).await?,
            };
            if let Some(hold) = open.sink().connection().hold() {
                return Ok(SftpLease { sftp: open, hold });
            }
        }
        Err(self.no_connection())
    }

    /// The login shell first: a server may let a connection have one channel at a time.
    async fn open_sftp(&self) -> Result<Sftp> {
        for _ in 0..MAX_CONNECTIONS {
            let slot = self.host.channel_slot(Role::Files).await?;
            let connection = Arc::clone(slot.connection());
            let opened = async {
                let facts = self.facts(&connection).await?;
                Ok((facts, sftp::open(slot, self.host.connect_timeout()).await?))
            };
            let (facts, sftp) = match opened.await {
                Ok((facts, Some(sftp))) => (facts, sftp),
                Ok((_, None)) => continue,
                Err(error) => match self.host.judged(&connection, error) {
                    WorkplaceError::Unreachable { stage: Stage::Session, .. } => continue,
                    error => return Err(error),
                },
            };
            let home = sftp::home(&sftp)?;
            if let Ok(facts) = facts {
                let agreed = facts.agree(self.host.name(), &home);
                agreed.inspect_err(|_| connection.refused(Duration::ZERO))?;
            }
            sftp.sink().set_idle();
            self.host.served();
            self.learn(home);
            *self.host.files.lock() = Some(sftp.clone());
            return Ok(sftp);
        }
        Err(self.no_connection())
    }

    fn no_connection(&self) -> WorkplaceError {
        let said = "connections end as soon as they begin";
        WorkplaceError::unreachable(self.host.name(), Stage::Sftp, said)
    }

    fn learn(&self, home: Home) {
        *self.host.home.lock() = Some(home);
    }

    /// The home, as the host reports it.
    pub(super) async fn home(&self) -> Result<Home> {
        let known = self.host.home.lock().clone();
        if let Some(home) = known {
            return Ok(home);
        }
        let refused = match self.sftp().await {
            Ok(lease) => return sftp::home(&lease.sftp),
            Err(error) => error,
        };
        // A host without SFTP runs commands all the same.
        if !matches!(&refused, WorkplaceError::Refused { stage: Stage::Sftp, .. }) {
            return Err(refused);
        }
        let (_slot, facts) = self.launch().await?;
        let home = Home::from_shell(&facts.home)?;
        self.learn(home.clone());
        Ok(home)
    }

    /// Whether the login shell runs commands.
    ///
    /// # Errors
    /// [`WorkplaceError`] when the host cannot be reached.
    pub(super) async fn shell_works(&self) -> Result<bool> {
        let slot = self.host.channel_slot(Role::Commands).await?;
        let facts = self.facts(slot.connection()).await?;
        if facts.is_err() {
            // The account may get another shell.
            slot.connection().refused(SHELL_AGE);
        }
        Ok(facts.is_ok())
    }

    /// What the login shell reports. That it runs no command, or has no place for their records, is
    /// not remembered.
    async fn facts(&self, connection: &Arc<Connection>) -> Result<Facts> {
        if let Some(known) = connection.facts() {
            return Ok(Ok(known));
        }
        let ask = async {
            let closed = || connection.unreachable(Stage::Script, "it is closed");
            let facts = facts::ask(connection.hold().ok_or_else(closed)?).await?;
            if let Ok(facts) = &facts
                && !facts.spools.is_empty()
            {
                connection.learn(facts);
            }
            Ok(facts)
        };
        connection.asking.join(ask).await
    }

    /// The workplace's folder, made if it is missing.
    pub(super) async fn base(&self) -> Result<RemotePath> {
        if let Some(base) = self.base.get() {
            return Ok(base.clone());
        }
        let base = self.finding_base.join(self.find_base()).await?;
        Ok(self.base.get_or_init(|| base).clone())
    }

    async fn find_base(&self) -> Result<RemotePath> {
        let home = self.home().await?;
        let mut base = match &self.folder {
            Some(folder) => self.complete(&home, home.path(), folder).await?,
            None => home.path().clone(),
        };
        if let Some(session) = &self.session {
            base = base.join(format!("sessions/{session}").as_bytes());
        }
        if &base != home.path() {
            self.make_folder(&base).await?;
        }
        Ok(base)
    }

    /// By SFTP; by the shell on a host that has none.
    async fn make_folder(&self, path: &RemotePath) -> Result<()> {
        let shown = path.to_string();
        match self.sftp().await {
            Ok(lease) => super::folders::make_folders(&lease.sftp, path, &shown).await,
            Err(WorkplaceError::Refused { stage: Stage::Sftp, .. }) => {
                let (end, said) = self.ask("mkdir -p -- \"$1\"", vec![self.utf8(path)?]).await?;
                match end {
                    ScriptEnd::Exited(0) => Ok(()),
                    _ => {
                        Err(WorkplaceError::path("make", shown, io::Error::other(said.complaint())))
                    }
                }
            }
            Err(error) => Err(error),
        }
    }

    /// A path of this workplace, as the host knows it.
    pub(super) async fn resolve(&self, path: &str) -> Result<RemotePath> {
        let base = self.base().await?;
        let home = self.home().await?;
        self.complete(&home, &base, path).await
    }

    async fn complete(&self, home: &Home, folder: &RemotePath, path: &str) -> Result<RemotePath> {
        let Some((user, rest)) = of_user(path) else { return home.resolve(folder, path) };
        // Only letters that no shell touches: the shell is to expand this.
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        let no_user = || {
            let source = io::Error::new(io::ErrorKind::NotFound, "there is no such user");
            WorkplaceError::path("resolve", path, source)
        };
        if !user.chars().all(plain) || user.starts_with('-') {
            return Err(no_user());
        }
        let text = "eval \"h=~$1\"; printf '%s' \"$h\"";
        let (_, said) = self.ask(text, vec![user.to_owned()]).await?;
        match Home::from_shell(&said.stdout) {
            Ok(home) => home.resolve(home.path(), &format!("~{rest}")),
            Err(_) => Err(no_user()),
        }
    }

    /// Runs a small script.
    async fn ask(&self, text: &str, arguments: Vec<String>) -> Result<(ScriptEnd, Gathered)> {
        let text = text.to_owned();
        let script = Script { text, arguments, input: Bytes::new(), purpose: Purpose::Serve };
        gather(self, script, MAX_OUTPUT_BYTES).await
    }

    /// A path for scripts, whose arguments are text.
    ///
    /// # Errors
    /// [`WorkplaceError::Refused`] when it is none.
    pub(super) fn utf8(&self, path: &RemotePath) -> Result<String> {
        String::from_utf8(path.as_bytes().to_vec()).map_err(|_| {
            let files = if self.has_files() { "files work there, " } else { "" };
            let said = format!("{path} is no UTF-8: {files}commands and searches do not");
            self.refused(Stage::Script, said)
        })
    }

    /// Whether SFTP is open.
    fn has_files(&self) -> bool {
        self.host.files.lock().as_ref().is_some_and(sftp::is_open)
    }

    fn refused(&self, stage: Stage, said: impl Into<String>) -> WorkplaceError {
        WorkplaceError::refused(self.host.name(), stage, said)
    }

    fn no_shell(&self, said: String) -> WorkplaceError {
        let files = if self.has_files() { "files work; " } else { "" };
        let advice = "give the user a shell (chsh) for commands";
        self.refused(Stage::Script, format!("{said}; {files}{advice}"))
    }
}

/// `~user` and the rest of a path that begins so.
fn of_user(path: &str) -> Option<(&str, &str)> {
    let named = path.strip_prefix('~')?;
    let end = named.find('/').unwrap_or(named.len());
    (end > 0).then(|| named.split_at(end))
}
