//! From a target to an authenticated session: resolve, connect, exchange keys, check the host's
//! key, authenticate, and for jump hosts all of that over another session.
//!
//! The gate for `ssh` descriptors. Everything here blocks, within `ssh.connect_timeout`, and runs
//! on the thread of its connection.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use evonic_shared::config;

use super::{
    address,
    authenticate::authenticate,
    deadline::{left, millis},
    host_key, jump,
    session::{AuthenticatedSession, Transport},
    target::Target,
};
use evonic_backend::{Result, Stage, WorkplaceError};
use evonic_handles::Permit;

/// Observes the stages on the way, for `check`.
pub(super) trait StepObserver {
    /// A stage ended well: what was found, and when it began.
    fn passed(&mut self, stage: Stage, detail: String, began: Instant);

    /// The server does not accept the key of this file.
    fn key_refused(&mut self, _key: &Path) {}
}

impl StepObserver for () {
    fn passed(&mut self, _stage: Stage, _detail: String, _began: Instant) {}
}

/// The stage that follows. After a jump host's last one comes the connection to the next host.
pub(super) const fn next_stage(stage: Stage) -> Stage {
    match stage {
        Stage::Resolve | Stage::Authenticate => Stage::Connect,
        Stage::Connect => Stage::HostKey,
        _ => Stage::Authenticate,
    }
}

/// Connects and authenticates. Blocks for at most `ssh.connect_timeout`.
///
/// `permits` are one for each jump host and one for the target, taken before. What a permit owns
/// here: its socket; while it authenticates by an agent, the connection to that too; a jump host's
/// also its end of the pair that the next session goes over.
///
/// # Errors
/// [`WorkplaceError::Unreachable`] for what may pass, [`WorkplaceError::Refused`] for a host key,
/// an authentication or an algorithm, with what to do; [`WorkplaceError::Settings`] for a file or
/// secret of ours that cannot be read.
pub(super) fn connect(
    target: &Target,
    settings: &config::Ssh,
    permits: Vec<Permit>,
    observer: &mut dyn StepObserver,
) -> Result<AuthenticatedSession> {
    let shorter = target.connect_timeout.unwrap_or(Duration::MAX);
    let deadline = Instant::now() + settings.connect_timeout.min(shorter);
    let mut reached: Option<AuthenticatedSession> = None;
    debug_assert_eq!(permits.len(), target.jumps.len() + 1, "a permit for each host");
    for (hop, permit) in target.jumps.iter().chain([target]).zip(permits) {
        let transport = match reached.take() {
            None => over_tcp(hop, permit, deadline, observer)?,
            Some(before) => over_jump(before, hop, permit, deadline, observer)?,
        };
        reached = Some(log_in(transport, hop, deadline, observer)?);
    }
    let authenticated = reached.expect("there is a permit, so there is a host");
    authenticated.session.set_timeout(millis(settings.connect_timeout));
    Ok(authenticated)
}

fn over_tcp(
    hop: &Target,
    permit: Permit,
    deadline: Instant,
    observer: &mut dyn StepObserver,
) -> Result<Transport> {
    let began = Instant::now();
    let (mut addresses, mut permit) = address::resolve(&hop.host, hop.port, permit, deadline)?;
    addresses.retain(|address| hop.address_family.has(address));
    if addresses.is_empty() {
        let problem = "it has no address of the kind that AddressFamily asks for";
        return Err(WorkplaceError::refused(hop, Stage::Resolve, problem));
    }
    let listed: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    observer.passed(Stage::Resolve, listed.join(", "), began);
    let began = Instant::now();
    let (socket, address) = address::open_tcp(&addresses, &hop.to_string(), &mut permit, deadline)?;
    observer.passed(Stage::Connect, address.to_string(), began);
    Ok(Transport { socket, jump: None, permit })
}

fn over_jump(
    before: AuthenticatedSession,
    hop: &Target,
    permit: Permit,
    deadline: Instant,
    observer: &mut dyn StepObserver,
) -> Result<Transport> {
    let began = Instant::now();
    before.session.set_timeout(millis(left(deadline)));
    let transport = jump::open(before, hop, permit)?;
    observer.passed(Stage::Connect, format!("{hop} over a jump host"), began);
    Ok(transport)
}

/// Exchanges keys, checks the host's, authenticates. On failure everything is closed, and the
/// permit given back after it: the parts are dropped in the order of [`AuthenticatedSession`]'s
/// fields.
fn log_in(
    transport: Transport,
    hop: &Target,
    deadline: Instant,
    observer: &mut dyn StepObserver,
) -> Result<AuthenticatedSession> {
    let Transport { socket, jump, permit } = transport;
    let socket = Arc::new(socket);
    let session = ssh2::Session::new()
        .map_err(|error| WorkplaceError::unreachable(hop, Stage::KeyExchange, error.message()))?;
    let mut authenticated = AuthenticatedSession { session, socket, _jump: jump, permit };
    authenticated.session.set_tcp_stream(Arc::clone(&authenticated.socket));

    let began = Instant::now();
    let host_key =
        host_key::exchange(&mut authenticated.session, &authenticated.socket, hop, deadline)?;
    observer.passed(Stage::HostKey, host_key, began);
    let began = Instant::now();
    authenticated.permit.owns(2, None);
    let how = authenticate(&authenticated.session, hop, deadline, observer);
    authenticated.permit.owns(1, None);
    observer.passed(Stage::Authenticate, format!("{} by {}", hop.user, how?), began);
    Ok(authenticated)
}

#[cfg(test)]
pub(super) mod tests;
