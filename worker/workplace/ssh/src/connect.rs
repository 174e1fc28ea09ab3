//! From a target to an authenticated session: resolve, connect, exchange keys, check the host's
//! key, authenticate, and for jump hosts all of that over another session.
//!
//! The gate for `ssh` descriptors. Everything here blocks, within `ssh.connect_timeout`, and runs
//! on the thread of its connection.

use std::{
    os::fd::OwnedFd,
    sync::Arc,
    time::{Duration, Instant},
};

use evonic_shared::config;

use super::{
    address::{self, left},
    authenticate::authenticate,
    host_key,
    jump::{self, Jump},
    target::Target,
};
use evonic_backend::{Stage, WorkplaceError, error::Cause};
use evonic_handles::Permit;

/// An authenticated session. Closed with its socket when dropped, at once and without a word when
/// the peer does not listen.
pub(super) struct Connection {
    /// In blocking mode, with a timeout.
    pub(super) session: ssh2::Session,
    /// Another handle of what the session reads and writes: shutting it down unblocks any call.
    pub(super) socket: Arc<OwnedFd>,
    /// The way there, when it leads over other hosts. Ended after the session.
    _jump: Option<Jump>,
    /// Descriptors that `permit` owns now; the thread of the connection adds its bell.
    pub(super) descriptors: u32,
    /// Closed after the session. A jump host's permit is held by its own connection.
    pub(super) permit: Permit,
}

/// What happens on the way, for `check`.
pub(super) trait Witness {
    /// A step ended well: its name, what was found, when it began.
    fn passed(&mut self, step: &'static str, detail: String, began: Instant);
}

impl Witness for () {
    fn passed(&mut self, _step: &'static str, _detail: String, _began: Instant) {}
}

/// A way to the host that can be read and written, before a word was said on it.
struct Way {
    socket: OwnedFd,
    jump: Option<Jump>,
    permit: Permit,
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
    witness: &mut dyn Witness,
) -> Result<Connection, WorkplaceError> {
    let shorter = target.connect_timeout.unwrap_or(Duration::MAX);
    let deadline = Instant::now() + settings.connect_timeout.min(shorter);
    let mut reached: Option<Connection> = None;
    debug_assert_eq!(permits.len(), target.jumps.len() + 1, "a permit for each host");
    for (hop, permit) in target.jumps.iter().chain([target]).zip(permits) {
        let way = match reached.take() {
            None => over_tcp(hop, permit, deadline, witness)?,
            Some(before) => over_jump(before, hop, permit, deadline, witness)?,
        };
        reached = Some(log_in(way, hop, deadline, witness)?);
    }
    let connection = reached.expect("there is a permit, so there is a host");
    connection.session.set_timeout(millis(settings.connect_timeout));
    Ok(connection)
}

fn over_tcp(
    hop: &Target,
    permit: Permit,
    deadline: Instant,
    witness: &mut dyn Witness,
) -> Result<Way, WorkplaceError> {
    let began = Instant::now();
    let (addresses, mut permit) = address::resolve(&hop.host, hop.port, permit, deadline)?;
    let listed: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    witness.passed("resolve", listed.join(", "), began);
    let began = Instant::now();
    let (socket, address) = address::open_tcp(&addresses, &hop.to_string(), &mut permit, deadline)?;
    witness.passed("connect", address.to_string(), began);
    Ok(Way { socket, jump: None, permit })
}

fn over_jump(
    before: Connection,
    hop: &Target,
    mut permit: Permit,
    deadline: Instant,
    witness: &mut dyn Witness,
) -> Result<Way, WorkplaceError> {
    let began = Instant::now();
    before.session.set_timeout(millis(left(deadline)));
    let (socket, jump) = jump::open(before, hop, &mut permit)?;
    witness.passed("connect", format!("{hop} over a jump host"), began);
    Ok(Way { socket, jump: Some(jump), permit })
}

/// Exchanges keys, checks the host's, authenticates. On failure everything is closed, and the
/// permit given back after it: the parts are dropped in the order of [`Connection`]'s fields.
fn log_in(
    way: Way,
    hop: &Target,
    deadline: Instant,
    witness: &mut dyn Witness,
) -> Result<Connection, WorkplaceError> {
    let Way { socket, jump, permit } = way;
    let socket = Arc::new(socket);
    let session = ssh2::Session::new().map_err(|error| WorkplaceError::Unreachable {
        host: hop.to_string(),
        stage: Stage::KeyExchange,
        source: Cause(error.message().to_owned()),
    })?;
    let mut connection = Connection { session, socket, _jump: jump, descriptors: 1, permit };
    connection.session.set_tcp_stream(Arc::clone(&connection.socket));

    let began = Instant::now();
    let host_key = host_key::exchange(&mut connection.session, &connection.socket, hop, deadline)?;
    witness.passed("host key", host_key, began);
    let began = Instant::now();
    connection.permit.owns(2, None);
    let how = authenticate(&connection.session, hop, deadline);
    connection.permit.owns(1, None);
    witness.passed("authenticate", format!("{} by {}", hop.user, how?), began);
    Ok(connection)
}

/// For libssh2, which takes 0 as "for ever".
pub(super) fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
pub(super) mod tests;
