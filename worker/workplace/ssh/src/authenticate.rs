//! Proving who we are, in the configured order.
//!
//! libssh2's facts that shape this: another try after a success hangs, so every try is followed by
//! a look at whether it was enough. A refusal does not tell whether it was a partial success; only
//! the list of ways that the server allows next does, and asking for it costs one of the few tries
//! that servers allow (`MaxAuthTries`, 6). So it is asked for at the beginning, and again only when
//! none of the allowed ways is left.

mod agent;
mod interactive;
mod key;

use std::{
    cell::Cell,
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use ssh2::{ErrorCode, Session};

use super::{
    deadline::{left, millis},
    secret,
    target::Target,
};
use evonic_backend::{Stage, WorkplaceError, error::Cause};
use evonic_domain::SshAuth;

/// Codes of libssh2 (`libssh2.h`) that `ssh2` has no names for.
mod code {
    pub(super) const SOCKET_SEND: i32 = -7;
    pub(super) const TIMEOUT: i32 = -9;
    pub(super) const SOCKET_DISCONNECT: i32 = -13;
    pub(super) const PASSWORD_EXPIRED: i32 = -15;
    pub(super) const FILE: i32 = -16;
    pub(super) const AUTHENTICATION_FAILED: i32 = -18;
    /// Also: the signature was good, and more is asked for.
    pub(super) const PUBLICKEY_UNVERIFIED: i32 = -19;
    pub(super) const SOCKET_TIMEOUT: i32 = -30;
    pub(super) const SOCKET_RECV: i32 = -43;
    pub(super) const BAD_SOCKET: i32 = -45;
    pub(super) const KEYFILE_AUTH_FAILED: i32 = -48;
}

/// What a try came to.
enum Tried {
    /// The server has enough.
    Done(String),
    /// It was refused, or could not be tried: why. Not a word of a secret.
    Refused(String),
    /// The key was good, and something more is asked for.
    Partly(String),
}

/// Authenticates. Returns how: `key /home/me/.ssh/id_ed25519`.
///
/// # Errors
/// [`WorkplaceError::Refused`] that names every way that was tried, why it was refused, and what
/// the server allows; [`WorkplaceError::Unreachable`] when the connection broke before anything was
/// refused; [`WorkplaceError::Settings`] for a secret that cannot be read.
pub(super) fn authenticate(
    session: &Session,
    target: &Target,
    deadline: Instant,
) -> Result<String, WorkplaceError> {
    let mut attempt = Attempt {
        session,
        target,
        deadline,
        refusals: Cell::new(0),
        said: Vec::new(),
        allowed: BTreeSet::new(),
    };
    if attempt.ask()? {
        return Ok("nothing was asked for".to_owned());
    }
    let mut ways = target.authenticate.clone();
    // Whether something was tried since the server last said what it allows.
    let mut tried = false;
    loop {
        let next = ways.iter().position(|&way| attempt.allowed.contains(method(way)));
        let Some(next) = next else {
            // None is left of those allowed: after a partial success others are.
            let before = attempt.allowed.clone();
            if !tried || ways.is_empty() {
                return Err(attempt.refused(&ways));
            }
            if attempt.ask()? {
                return Ok("more than one way".to_owned());
            }
            if attempt.allowed == before {
                return Err(attempt.refused(&ways));
            }
            tried = false;
            continue;
        };
        let way = ways.remove(next);
        tried = true;
        let outcome = attempt.try_way(way);
        // Whatever the call said: the session knows.
        if session.authenticated() {
            return Ok(match outcome {
                Ok(Tried::Done(how) | Tried::Partly(how)) => how,
                Ok(Tried::Refused(_)) | Err(_) => method(way).to_owned(),
            });
        }
        match outcome? {
            Tried::Done(said) | Tried::Refused(said) => {
                attempt.said.push(format!("{}: {said}", name(way)));
            }
            Tried::Partly(said) => {
                // libssh2 says the same when the connection broke: asking tells.
                if attempt.ask()? {
                    return Ok(said);
                }
                attempt.said.push(format!("{}: {said}", name(way)));
                tried = false;
            }
        }
    }
}

struct Attempt<'a> {
    session: &'a Session,
    target: &'a Target,
    deadline: Instant,
    /// How often the server said no.
    refusals: Cell<u32>,
    /// What was tried, and what came of it.
    said: Vec<String>,
    /// Methods that the server allows next.
    allowed: BTreeSet<String>,
}

impl Attempt<'_> {
    /// Asks the server what it allows. Returns true when it is content already.
    fn ask(&mut self) -> Result<bool, WorkplaceError> {
        self.hurry()?;
        // `ssh2` panics when the list is no UTF-8: a hostile server's.
        let asked = catch_unwind(AssertUnwindSafe(|| {
            self.session.auth_methods(&self.target.user).map(str::to_owned)
        }));
        match asked {
            Ok(Ok(_)) | Err(_) if self.session.authenticated() => Ok(true),
            Ok(Ok(list)) => {
                self.allowed = list.split(',').map(str::to_owned).collect();
                Ok(false)
            }
            Ok(Err(_)) if self.session.authenticated() => Ok(true),
            Ok(Err(error)) => Err(self.broken(&error)),
            Err(_) => {
                self.said.push("the server's list of methods is no text".to_owned());
                Err(self.refused(&[]))
            }
        }
    }

    fn try_way(&mut self, way: SshAuth) -> Result<Tried, WorkplaceError> {
        match way {
            SshAuth::Agent => agent::try_agent(self),
            SshAuth::Key => key::try_keys(self),
            SshAuth::Password => self.try_password(),
            SshAuth::KeyboardInteractive => interactive::try_interactive(self),
        }
    }

    fn try_password(&mut self) -> Result<Tried, WorkplaceError> {
        let Some(source) = &self.target.password else {
            return Ok(Tried::Refused("settings.password is not set".to_owned()));
        };
        let password = secret::read(source, "settings.password")?;
        self.hurry()?;
        match self.session.userauth_password(&self.target.user, password.expose()) {
            Ok(()) => Ok(Tried::Done("password".to_owned())),
            Err(error) if error.code() == ErrorCode::Session(code::PASSWORD_EXPIRED) => {
                Ok(Tried::Refused(format!(
                    "the password has expired; log in as {} and change it",
                    self.target.user
                )))
            }
            Err(error) => self.judge(&error, "the password is wrong"),
        }
    }

    /// What an error of a try means: a refusal in these words, or the end of the connection.
    fn judge(&self, error: &ssh2::Error, refused: &str) -> Result<Tried, WorkplaceError> {
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
    fn hurry(&self) -> Result<(), WorkplaceError> {
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
        WorkplaceError::Unreachable {
            host: self.target.to_string(),
            stage: Stage::Authenticate,
            source: Cause(said.to_owned()),
        }
    }

    /// Nothing is left to try.
    fn refused(&self, untried: &[SshAuth]) -> WorkplaceError {
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
        WorkplaceError::Refused {
            host: self.target.to_string(),
            stage: Stage::Authenticate,
            source: Cause(said.join("; ")),
        }
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

/// SSH's name of a way (RFC 4252, RFC 4256).
fn method(way: SshAuth) -> &'static str {
    match way {
        SshAuth::Agent | SshAuth::Key => "publickey",
        SshAuth::Password => "password",
        SshAuth::KeyboardInteractive => "keyboard-interactive",
    }
}

/// Our name of it, as in the settings.
fn name(way: SshAuth) -> &'static str {
    match way {
        SshAuth::Agent => "agent",
        SshAuth::Key => "key",
        SshAuth::Password => "password",
        SshAuth::KeyboardInteractive => "keyboard_interactive",
    }
}
