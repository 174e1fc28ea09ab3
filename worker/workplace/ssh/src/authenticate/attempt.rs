//! One attempt to authenticate: what the server allows, refused, and how its errors are read.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::Instant,
};

use ssh2::{ErrorCode, Session};

use crate::{
    connect::StepObserver,
    deadline::{left, millis},
    target::Target,
};
use evonic_backend::{Result, Stage, WorkplaceError};
use evonic_domain::SshAuth;

/// Codes of libssh2 (`libssh2.h`) that `ssh2` has no names for.
pub(super) mod code {
    pub(in super::super) const SOCKET_SEND: i32 = -7;
    pub(in super::super) const TIMEOUT: i32 = -9;
    pub(in super::super) const SOCKET_DISCONNECT: i32 = -13;
    pub(in super::super) const PASSWORD_EXPIRED: i32 = -15;
    pub(in super::super) const FILE: i32 = -16;
    pub(in super::super) const AUTHENTICATION_FAILED: i32 = -18;
    /// Also: the signature was good, and more is asked for.
    pub(in super::super) const PUBLICKEY_UNVERIFIED: i32 = -19;
    pub(in super::super) const SOCKET_TIMEOUT: i32 = -30;
    pub(in super::super) const SOCKET_RECV: i32 = -43;
    pub(in super::super) const BAD_SOCKET: i32 = -45;
    pub(in super::super) const KEYFILE_AUTH_FAILED: i32 = -48;
}

/// Methods that a server may name, and bytes of a name (RFC 4251, 6).
const METHODS: usize = 32;
const METHOD_BYTES: usize = 64;

/// Refusals that are risked: servers end the connection with the sixth (`MaxAuthTries`).
const MOST_REFUSALS: u32 = 5;

/// Characters of a server's words that are told.
const WORDS: usize = 400;

/// What a try came to.
pub(super) enum Tried {
    /// The server has enough.
    Done(String),
    /// It was refused, or could not be tried: why. Never with a secret.
    Refused(String),
    /// The key was good, and something more is asked for.
    Partly(String),
    /// It was refused, which was told already.
    Told,
}

pub(super) struct Attempt<'a> {
    pub(super) session: &'a Session,
    pub(super) target: &'a Target,
    pub(super) deadline: Instant,
    observer: &'a mut dyn StepObserver,
    /// Refusals of the server.
    refusals: u32,
    /// What was tried, and what came of it.
    pub(super) said: Vec<String>,
    /// What is being tried, and what would be after it.
    trying: Option<String>,
    later: Vec<String>,
    /// Passwords that are tried later.
    passwords: u32,
    /// The server's words before the first try.
    greeting: Option<String>,
    /// Methods that the server allows next.
    pub(super) allowed: BTreeSet<String>,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        session: &'a Session,
        target: &'a Target,
        deadline: Instant,
        observer: &'a mut dyn StepObserver,
    ) -> Self {
        Self {
            session,
            target,
            deadline,
            observer,
            refusals: 0,
            said: Vec::new(),
            trying: None,
            later: Vec::new(),
            passwords: 0,
            greeting: None,
            allowed: BTreeSet::new(),
        }
    }

    /// These ways come after the one that is tried now.
    pub(super) fn set_later(&mut self, ways: &[SshAuth]) {
        let is_password =
            |way: &&SshAuth| matches!(way, SshAuth::Password | SshAuth::KeyboardInteractive);
        self.passwords = u32::try_from(ways.iter().filter(is_password).count()).unwrap_or(0);
        self.later = ways.iter().map(|&way| name(way).to_owned()).collect();
        self.trying = None;
    }

    /// This is tried now.
    pub(super) fn trying(&mut self, what: String) {
        self.trying = Some(what);
    }

    /// Takes down what came of what is being tried.
    pub(super) fn note(&mut self, said: String) {
        let what = self.trying.take().map_or_else(String::new, |what| format!("key {what}: "));
        self.said.push(what + &said);
    }

    /// Whether one more key may be refused before the server ends the connection.
    pub(super) fn may_try_key(&self) -> bool {
        self.refusals + self.passwords.min(2) < MOST_REFUSALS
    }

    /// The server refused something.
    pub(super) fn count_refusal(&mut self) {
        self.refusals += 1;
    }

    /// The server does not accept the key of this file.
    pub(super) fn key_refused(&mut self, key: &Path) {
        self.observer.key_refused(key);
    }

    /// What the server says beside its answers (RFC 4252, 5.4), when it is not its greeting.
    fn server_message(&self) -> Option<String> {
        let words = message_of(self.session)?;
        (self.greeting.as_ref() != Some(&words)).then_some(words)
    }

    /// Asks the server what it allows. Returns true when it is content already.
    pub(super) fn ask_methods(&mut self) -> Result<bool> {
        self.set_timeout()?;
        // `ssh2` panics when the list is no UTF-8: a hostile server's.
        let asked = catch_unwind(AssertUnwindSafe(|| {
            self.session.auth_methods(&self.target.user).map(str::to_owned)
        }));
        match asked {
            _ if self.session.authenticated() => Ok(true),
            Ok(Ok(list)) => {
                let short = |name: &&str| name.len() <= METHOD_BYTES;
                self.allowed =
                    list.split(',').filter(short).take(METHODS).map(str::to_owned).collect();
                if self.refusals == 0 && self.said.is_empty() {
                    self.greeting = message_of(self.session);
                }
                Ok(false)
            }
            Ok(Err(error)) => Err(self.broken(&error)),
            Err(_) => {
                self.said.push("the server's list of methods is no text".to_owned());
                Err(self.refused(&[]))
            }
        }
    }

    /// What an error of a try means: a refusal with this advice, or the end of the connection.
    pub(super) fn judge(&mut self, error: &ssh2::Error, refused: &str) -> Result<Tried> {
        match error.code() {
            ErrorCode::Session(code::AUTHENTICATION_FAILED) => {
                self.count_refusal();
                Ok(Tried::Refused(format!("refused; {refused}")))
            }
            ErrorCode::Session(code::PUBLICKEY_UNVERIFIED) => {
                Ok(Tried::Partly("accepted, and more is asked for".to_owned()))
            }
            _ if is_broken(error) => Err(self.broken(error)),
            _ => Ok(Tried::Refused(error.message().to_owned())),
        }
    }

    /// Gives libssh2 the time that is left.
    pub(super) fn set_timeout(&self) -> Result<()> {
        let left = left(self.deadline);
        if left.as_millis() == 0 {
            return Err(self.unreachable("no time is left"));
        }
        self.session.set_timeout(millis(left));
        Ok(())
    }

    /// The connection ended. After a refusal that is the server's answer: it allows no more tries;
    /// and so it is when the server said why.
    fn broken(&self, error: &ssh2::Error) -> WorkplaceError {
        let timeout = [code::TIMEOUT, code::SOCKET_TIMEOUT].map(ErrorCode::Session);
        if timeout.contains(&error.code()) {
            return self.unreachable(error.message());
        }
        let mut at = String::new();
        if let Some(trying) = &self.trying {
            at = format!(" at {trying}");
        }
        if self.server_message().is_some() {
            return self.refusal(&format!("the server ended the connection{at}"));
        }
        if self.refusals == 0 {
            return self.unreachable(error.message());
        }
        let mut end = format!(
            "the server ended the connection{at} after {} refusals: too many tries (MaxAuthTries)",
            self.refusals
        );
        if !self.later.is_empty() {
            end.push_str(&format!("; not tried: {}", self.later.join(", ")));
        }
        self.refusal(&end)
    }

    fn unreachable(&self, said: &str) -> WorkplaceError {
        WorkplaceError::unreachable(self.target, Stage::Authenticate, said)
    }

    /// Nothing is left to try.
    pub(super) fn refused(&self, untried: &[SshAuth]) -> WorkplaceError {
        let allowed: Vec<&str> = self.allowed.iter().map(String::as_str).collect();
        let mut end = format!("the server allows {}", allowed.join(", "));
        for &way in untried {
            end.push_str(&format!("; {} was not tried: it is not allowed", name(way)));
        }
        self.refusal(&end)
    }

    fn refusal(&self, end: &str) -> WorkplaceError {
        let mut said = self.said.clone();
        said.push(end.to_owned());
        said.extend(self.server_message().map(|words| format!("the server says: {words}")));
        WorkplaceError::refused(self.target, Stage::Authenticate, said.join("; "))
    }
}

/// The server's last words beside its answers, as one line.
fn message_of(session: &Session) -> Option<String> {
    let words = session.userauth_banner().ok().flatten()?;
    let words: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    (!words.is_empty()).then(|| words.chars().take(WORDS).collect())
}

/// Whether the connection itself is at its end.
fn is_broken(error: &ssh2::Error) -> bool {
    let ErrorCode::Session(code) = error.code() else { return false };
    [
        code::SOCKET_SEND,
        code::TIMEOUT,
        code::SOCKET_DISCONNECT,
        code::SOCKET_TIMEOUT,
        code::SOCKET_RECV,
        code::BAD_SOCKET,
    ]
    .contains(&code)
}

/// The name of a method in the settings.
pub(super) fn name(way: SshAuth) -> &'static str {
    match way {
        SshAuth::Agent => "agent",
        SshAuth::Key => "key",
        SshAuth::Password => "password",
        SshAuth::KeyboardInteractive => "keyboard_interactive",
    }
}
