//! Keys of an agent.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use super::attempt::{Attempt, Tried};
use crate::deadline::left;
use evonic_backend::Result;

/// Tries the agent's keys, in its order. Its connection is the second
/// descriptor of the permit for that long.
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
    let count = keys.len();
    for key in keys {
        attempt.set_timeout()?;
        let how = format!("agent's key {}", key.comment());
        match agent.userauth(&attempt.target.user, &key) {
            Ok(()) => return Ok(Tried::Done(how)),
            Err(error) => match attempt.judge(&error, "")? {
                Tried::Refused(_) => {}
                Tried::Done(_) => return Ok(Tried::Done(how)),
                Tried::Partly(said) => return Ok(Tried::Partly(format!("{how} {said}"))),
            },
        }
    }
    refused(format!("none of the agent's {count} keys is accepted"))
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
