//! Keys of an agent.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use super::{
    attempt::{Attempt, Tried},
    public_key::PublicKey,
};
use crate::deadline::left;
use evonic_backend::Result;

/// Tries the agent's keys, first those that the identity files name, then the others in its order.
/// Its connection is the second descriptor of the permit for that long.
pub(super) fn try_agent(attempt: &mut Attempt<'_>) -> Result<Tried> {
    let refused = |why: String| Ok(Tried::Refused(why));
    let Some(path) = attempt.target.agent.as_deref() else {
        return refused("the service has no SSH_AUTH_SOCK".to_owned());
    };
    if let Err(error) = answers(path, attempt) {
        return refused(format!("the agent at {} does not answer: {error}", path.display()));
    }
    let mut agent = match attempt.session.agent() {
        Ok(agent) => agent,
        Err(error) => return refused(error.message().to_owned()),
    };
    let listed = agent
        .set_identity_path(path)
        .and_then(|()| agent.connect())
        .and_then(|()| agent.list_identities())
        .and_then(|()| agent.identities());
    let keys = match listed {
        Ok(keys) if keys.is_empty() => return refused("the agent has no keys".to_owned()),
        Ok(keys) => keys,
        Err(error) => return refused(error.message().to_owned()),
    };
    let named: Vec<_> =
        attempt.target.identity_files.iter().filter_map(|file| PublicKey::of_file(file)).collect();
    let is_named = |key: &ssh2::PublicKey| named.iter().any(|named| named.0 == key.blob());
    let (mut first, others): (Vec<_>, Vec<_>) = keys.into_iter().partition(is_named);
    let mut untried = 0;
    if attempt.target.identities_only {
        if first.is_empty() {
            let said = "none of its keys is one of the identity files, and others are not tried \
                        (IdentitiesOnly)";
            return refused(said.to_owned());
        }
    } else {
        first.extend(others);
    }
    for key in first {
        if !attempt.may_try_key() {
            untried += 1;
            continue;
        }
        attempt.set_timeout()?;
        let how = format!("agent's key {}", key.comment());
        attempt.trying(format!("the {how}"));
        match agent.userauth(&attempt.target.user, &key) {
            Ok(()) => return Ok(Tried::Done(how)),
            Err(error) => match attempt.judge(&error, "the server does not accept it")? {
                Tried::Refused(said) => attempt.said.push(format!("{how}: {said}")),
                Tried::Told => {}
                Tried::Done(_) => return Ok(Tried::Done(how)),
                Tried::Partly(said) => return Ok(Tried::Partly(format!("{how} {said}"))),
            },
        }
        if attempt.session.authenticated() {
            return Ok(Tried::Done(how));
        }
    }
    if untried > 0 {
        attempt.said.push(format!(
            "{untried} more keys of the agent were not tried: servers end a connection after six \
             tries (MaxAuthTries); name the key in settings.identity_files"
        ));
    }
    Ok(Tried::Told)
}

/// Asks the agent for its keys, and waits for the beginning of an answer. libssh2 would wait for
/// ever for an agent that is stuck.
fn answers(path: &Path, attempt: &Attempt<'_>) -> std::io::Result<()> {
    let left = left(attempt.deadline).max(std::time::Duration::from_millis(1));
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(left))?;
    stream.set_write_timeout(Some(left))?;
    // SSH_AGENTC_REQUEST_IDENTITIES, a message of one byte.
    stream.write_all(&[0, 0, 0, 1, 11])?;
    stream.read_exact(&mut [0; 5])
}
