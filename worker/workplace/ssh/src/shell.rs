//! The shell of a host, and where the workplace is on it.

use std::{
    io,
    sync::{Arc, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use evonic_shared::kind::Kind;
use tokio::sync::{OnceCell, mpsc};

use super::{
    facts::{self, Facts, ShellFacts},
    link::{ChannelError, ChannelSlot, Link, Role, Stream, unreachable},
    pool::Host,
    sftp::Sftp,
};
use evonic_backend::{
    Home, RemotePath, Stage, WorkplaceError,
    error::Cause,
    spool::{LOGIN_COMMAND, Purpose, Script, ScriptEnd, ScriptOutput, Shell},
};
use evonic_domain::SessionId;
use evonic_handles::Exhausted;

/// Other connections that are tried when the server lets one have no more channels.
const CONNECTIONS: u32 = 8;

/// A host, as the workplace of a session.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) host: Arc<Host>,
    instance: String,
    folder: Option<String>,
    session: Option<SessionId>,
    /// The workplace's folder, once it is known to be there.
    base: OnceCell<RemotePath>,
}

/// SFTP, for small operations of many: a visit to the one channel of the host.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) sftp: Arc<Sftp>,
    _visit: ChannelSlot,
}

impl Remote {
    /// A workplace in this folder, below it in one of this session's own.
    pub(super) const fn new(
        host: Arc<Host>,
        instance: String,
        folder: Option<String>,
        session: Option<SessionId>,
    ) -> Self {
        Self { host, instance, folder, session, base: OnceCell::const_new() }
    }

    /// The host's channel for files; opened if need be, and checked against the login shell.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub(super) async fn desk(&self) -> Result<Desk, WorkplaceError> {
        let mut kept = self.host.files.lock().await;
        for _ in 0..CONNECTIONS {
            let open = kept.as_ref().filter(|sftp| !sftp.is_over());
            if let Some((sftp, visit)) = open.and_then(|sftp| Some((sftp, sftp.link().visit()?))) {
                return Ok(Desk { sftp: Arc::clone(sftp), _visit: visit });
            }
            let place = self.host.place(Role::Files).await?;
            let link = Arc::clone(place.link());
            let mut sftp = Sftp::open(place).await?;
            if let Ok(facts) = self.facts(&link).await? {
                facts.agree(self.host.name(), sftp.home())?;
            }
            sftp.rests();
            self.learn(sftp.home().clone());
            *kept = Some(Arc::new(sftp));
        }
        Err(unreachable(self.host.name(), Stage::Sftp, "connections end as soon as they begin"))
    }

    fn learn(&self, home: Home) {
        *self.host.home.lock().unwrap_or_else(PoisonError::into_inner) = Some(home);
    }

    /// The home, as the host says.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub(super) async fn home(&self) -> Result<Home, WorkplaceError> {
        let known = self.host.home.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(home) = known {
            return Ok(home);
        }
        let refused = match self.desk().await {
            Ok(desk) => return Ok(desk.sftp.home().clone()),
            Err(error) => error,
        };
        // A host without SFTP runs commands all the same.
        if !matches!(&refused, WorkplaceError::Refused { stage: Stage::Sftp, .. }) {
            return Err(refused);
        }
        let place = self.host.place(Role::Commands).await?;
        let facts = self.facts(place.link()).await?;
        let home = Home::reported(&facts.map_err(|said| self.no_shell(said))?.home)?;
        self.learn(home.clone());
        Ok(home)
    }

    /// Whether the login shell runs commands, and if not, why not.
    ///
    /// # Errors
    /// [`WorkplaceError`] when the host cannot be reached.
    pub(super) async fn shell_works(&self) -> Result<bool, WorkplaceError> {
        let place = self.host.place(Role::Commands).await?;
        Ok(self.facts(place.link()).await?.is_ok())
    }

    async fn facts(&self, link: &Arc<Link>) -> Result<Facts, WorkplaceError> {
        let ask = || async {
            let place = link.visit().ok_or_else(|| link.broke(Stage::Script, "it is closed"))?;
            facts::ask(place).await
        };
        link.facts.get_or_try_init(ask).await.cloned()
    }

    /// The workplace's folder, made if it is missing.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub(super) async fn base(&self) -> Result<RemotePath, WorkplaceError> {
        self.base.get_or_try_init(|| self.find_base()).await.cloned()
    }

    async fn find_base(&self) -> Result<RemotePath, WorkplaceError> {
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
    async fn make_folder(&self, path: &RemotePath) -> Result<(), WorkplaceError> {
        let shown = path.to_string();
        match self.desk().await {
            Ok(desk) => super::folders::make_folders(&desk.sftp, path, &shown).await,
            Err(WorkplaceError::Refused { stage: Stage::Sftp, .. }) => {
                let (end, _, said) = self.ask("mkdir -p -- \"$1\"", vec![self.utf8(path)?]).await?;
                match end {
                    ScriptEnd::Exited(0) => Ok(()),
                    _ => Err(failed("make", &shown, io::ErrorKind::Other, &said)),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// A path of this workplace, as the host knows it.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub(super) async fn resolve(&self, path: &str) -> Result<RemotePath, WorkplaceError> {
        let base = self.base().await?;
        let home = self.home().await?;
        self.complete(&home, &base, path).await
    }

    async fn complete(
        &self,
        home: &Home,
        folder: &RemotePath,
        path: &str,
    ) -> Result<RemotePath, WorkplaceError> {
        let Some((user, rest)) = of_user(path) else { return home.resolve(folder, path) };
        // Only letters that no shell touches: the shell is to expand this.
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        let no_user = || failed("resolve", path, io::ErrorKind::NotFound, "there is no such user");
        if !user.chars().all(plain) || user.starts_with('-') {
            return Err(no_user());
        }
        let text = "eval \"h=~$1\"; printf '%s' \"$h\"";
        let (_, said, _) = self.ask(text, vec![user.to_owned()]).await?;
        match Home::reported(&said) {
            Ok(home) => home.resolve(home.path(), &format!("~{rest}")),
            Err(_) => Err(no_user()),
        }
    }

    /// Runs a small script; returns its end and what it said.
    async fn ask(
        &self,
        text: &str,
        arguments: Vec<String>,
    ) -> Result<(ScriptEnd, Vec<u8>, String), WorkplaceError> {
        let text = text.to_owned();
        let script = Script { text, arguments, input: Bytes::new(), purpose: Purpose::Serve };
        let (sender, mut said) = mpsc::channel(1);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let read = async {
            while let Some(said) = said.recv().await {
                match said {
                    ScriptOutput::Out(bytes) => out.extend_from_slice(&bytes),
                    ScriptOutput::Err(bytes) => err.extend_from_slice(&bytes),
                }
            }
        };
        let (end, ()) = tokio::join!(self.script(script, sender), read);
        Ok((end?, out, String::from_utf8_lossy(&err).trim().to_owned()))
    }

    /// A path for scripts, whose arguments are text.
    ///
    /// # Errors
    /// [`WorkplaceError::Refused`] when it is none.
    pub(super) fn utf8(&self, path: &RemotePath) -> Result<String, WorkplaceError> {
        String::from_utf8(path.as_bytes().to_vec()).map_err(|_| {
            let said =
                format!("{path} is no UTF-8: files work there, commands and searches do not");
            self.refused(Stage::Script, said)
        })
    }

    fn refused(&self, stage: Stage, said: String) -> WorkplaceError {
        let host = self.host.name().to_owned();
        WorkplaceError::Refused { host, stage, source: Cause(said) }
    }

    fn no_shell(&self, said: String) -> WorkplaceError {
        let advice = "files work; give the user a shell (chsh) for commands";
        self.refused(Stage::Script, format!("{said}; {advice}"))
    }

    /// A place for a command, on a connection whose login shell is known to work.
    async fn launch(&self) -> Result<(ChannelSlot, ShellFacts), WorkplaceError> {
        let place = self.host.place(Role::Commands).await?;
        let facts = self.facts(place.link()).await?;
        Ok((place, facts.map_err(|said| self.no_shell(said))?))
    }
}

/// `~user` and the rest of a path that begins so.
fn of_user(path: &str) -> Option<(&str, &str)> {
    let named = path.strip_prefix('~')?;
    let end = named.find('/').unwrap_or(named.len());
    (end > 0).then(|| named.split_at(end))
}

fn failed(operation: &'static str, path: &str, kind: io::ErrorKind, said: &str) -> WorkplaceError {
    let source = io::Error::new(kind, said.to_owned());
    WorkplaceError::Path { operation, path: path.to_owned(), source }
}

#[async_trait]
impl Shell for Remote {
    async fn script(
        &self,
        script: Script,
        said: mpsc::Sender<ScriptOutput>,
    ) -> Result<ScriptEnd, WorkplaceError> {
        let input = script.stream();
        for _ in 0..CONNECTIONS {
            let (place, _) = self.launch().await?;
            let mut stream = Stream::exec(place, LOGIN_COMMAND.to_owned(), input.clone());
            while let Some(piece) = stream.next().await {
                if said.send(piece).await.is_err() {
                    // Nobody listens: the channel is closed, as if this were dropped.
                    return Ok(ScriptEnd::Killed);
                }
            }
            match stream.end().await? {
                Ok(end) => return Ok(end),
                Err(ChannelError::Full) => {}
                Err(ChannelError::Refused(said)) => return Err(self.refused(Stage::Script, said)),
                Err(ChannelError::Broken(said)) => {
                    return Err(unreachable(self.host.name(), Stage::Script, said));
                }
            }
        }
        let (kind, limit) = (Kind::Ssh, CONNECTIONS);
        Err(Exhausted { kind, limit, retry_after: std::time::Duration::from_secs(1) }.into())
    }

    async fn spools(&self) -> Result<String, WorkplaceError> {
        let (_place, facts) = self.launch().await?;
        let spools = String::from_utf8(facts.spools).map_err(|_| {
            self.refused(Stage::Home, "its name is no UTF-8: commands cannot run there".to_owned())
        })?;
        if spools.is_empty() {
            let said = "neither the home nor /tmp can keep records of commands: make one of them \
                        writable for the user";
            return Err(self.refused(Stage::Home, said.to_owned()));
        }
        if facts.elsewhere {
            tracing::warn!(
                host = self.host.name(),
                folder = spools,
                "home is not writable; records of commands are kept elsewhere"
            );
        }
        Ok(format!("{spools}/{}", self.instance))
    }

    async fn folder(&self, folder: &str) -> Result<String, WorkplaceError> {
        let path = match folder {
            "" => self.base().await?,
            folder => self.resolve(folder).await?,
        };
        self.utf8(&path)
    }
}
