//! One attempt to authenticate: what the server allows, refused, and how its errors are read.

use std::{
    cell::Cell,
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use ssh2::{ErrorCode, Session};

use crate::{
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

/// What a try came to.
pub(super) enum Tried {
    /// The server has enough.
    Done(String),
    /// It was refused, or could not be tried: why. Never with a secret.
    Refused(String),
    /// The key was good, and something more is asked for.
    Partly(String),
}

pub(super) struct Attempt<'a> {
    pub(super) session: &'a Session,
    pub(super) target: &'a Target,
    pub(super) deadline: Instant,
    /// Refusals of the server.
    pub(super) refusals: Cell<u32>,
    /// What was tried, and what came of it.
    pub(super) said: Vec<String>,
    /// Methods that the server allows next.
    pub(super) allowed: BTreeSet<String>,
}

impl<'a> Attempt<'a> {
    pub(super) const fn new(session: &'a Session, target: &'a Target, deadline: Instant) -> Self {
        Self {
            session,
            target,
            deadline,
            refusals: Cell::new(0),
            said: Vec::new(),
            allowed: BTreeSet::new(),
        }
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
    pub(super) fn judge(&self, error: &ssh2::Error, refused: &str) -> Result<Tried> {
        match error.code() {
            ErrorCode::Session(code::AUTHENTICATION_FAILED) => {
                self.refusals.set(self.refusals.get() + 1);
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

    /// The connection ended. After a refusal that is the server's answer: it allows no more tries.
    fn broken(&self, error: &ssh2::Error) -> WorkplaceError {
        let timeout = [code::TIMEOUT, code::SOCKET_TIMEOUT].map(ErrorCode::Session);
        if self.refusals.get() == 0 || timeout.contains(&error.code()) {
            return self.unreachable(error.message());
        }
        self.refusal("the server ended the connection: too many tries (MaxAuthTries)")
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
        WorkplaceError::refused(self.target, Stage::Authenticate, said.join("; "))
    }
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
