//! Authentication by the configured methods, in their order.
//!
//! What libssh2 demands: another try after a success hangs, so after every try the session is asked
//! whether it is authenticated. A refusal does not show whether it was a partial success; only the
//! list of methods that the server allows next does, and asking for it costs one of the few tries
//! that servers allow (`MaxAuthTries`, 6). So it is asked for at the beginning, and again only when
//! none of the allowed methods is left.

mod agent;
mod attempt;
mod interactive;
mod key;
mod public_key;

use std::time::Instant;

use ssh2::{ErrorCode, Session};

use self::attempt::{Attempt, Tried, code, name};
use super::{connect::StepObserver, secret, target::Target};
use evonic_backend::Result;
use evonic_domain::SshAuth;

/// Authenticates. Returns how: `key /home/me/.ssh/id_ed25519`.
///
/// # Errors
/// [`evonic_backend::WorkplaceError::Refused`] that names every method that was tried, why it was refused, and what
/// the server allows; [`evonic_backend::WorkplaceError::Unreachable`] when the connection broke before anything was
/// refused; [`evonic_backend::WorkplaceError::Settings`] for a secret that cannot be read.
pub(super) fn authenticate(
    session: &Session,
    target: &Target,
    deadline: Instant,
    observer: &mut dyn StepObserver,
) -> Result<String> {
    let mut attempt = Attempt::new(session, target, deadline, observer);
    if attempt.ask_methods()? {
        return Ok("nothing was asked for".to_owned());
    }
    let mut ways = target.authenticate.clone();
    // Whether something was tried since the server last said what it allows.
    let mut tried = false;
    loop {
        let next = ways.iter().position(|&way| attempt.allowed.contains(method_of(way)));
        let Some(next) = next else {
            // None is left of those allowed: after a partial success others are.
            let before = attempt.allowed.clone();
            if !tried || ways.is_empty() {
                return Err(attempt.refused(&ways));
            }
            if attempt.ask_methods()? {
                return Ok("more than one way".to_owned());
            }
            if attempt.allowed == before {
                return Err(attempt.refused(&ways));
            }
            tried = false;
            continue;
        };
        let way = ways.remove(next);
        attempt.set_later(&ways);
        tried = true;
        let outcome = try_way(&mut attempt, way);
        // Whatever the call returned: the session knows.
        if session.authenticated() {
            return Ok(match outcome {
                Ok(Tried::Done(how) | Tried::Partly(how)) => how,
                Ok(Tried::Refused(_) | Tried::Told) | Err(_) => method_of(way).to_owned(),
            });
        }
        match outcome? {
            Tried::Done(said) | Tried::Refused(said) => {
                attempt.said.push(format!("{}: {said}", name(way)));
            }
            Tried::Told => {}
            Tried::Partly(said) => {
                // libssh2 has the same code for a broken connection; asking shows which it is.
                if attempt.ask_methods()? {
                    return Ok(said);
                }
                attempt.said.push(format!("{}: {said}", name(way)));
                tried = false;
            }
        }
    }
}

fn try_way(attempt: &mut Attempt<'_>, way: SshAuth) -> Result<Tried> {
    match way {
        SshAuth::Agent => agent::try_agent(attempt),
        SshAuth::Key => key::try_keys(attempt),
        SshAuth::Password => try_password(attempt),
        SshAuth::KeyboardInteractive => interactive::try_interactive(attempt),
    }
}

fn try_password(attempt: &mut Attempt<'_>) -> Result<Tried> {
    let Some(source) = &attempt.target.password else {
        return Ok(Tried::Refused("settings.password is not set".to_owned()));
    };
    let password = secret::read(source, "settings.password")?;
    attempt.set_timeout()?;
    let user = &attempt.target.user;
    match attempt.session.userauth_password(user, password.expose()) {
        Ok(()) => Ok(Tried::Done("password".to_owned())),
        Err(error) if error.code() == ErrorCode::Session(code::PASSWORD_EXPIRED) => {
            let said = format!("the password has expired; log in as {user} and change it");
            Ok(Tried::Refused(said))
        }
        Err(error) => attempt.judge(&error, "the password is wrong"),
    }
}

/// The name of a method in the protocol (RFC 4252, RFC 4256).
pub(super) const fn method_of(way: SshAuth) -> &'static str {
    match way {
        SshAuth::Agent | SshAuth::Key => "publickey",
        SshAuth::Password => "password",
        SshAuth::KeyboardInteractive => "keyboard-interactive",
    }
}
