//! From a target to an authenticated session: resolve, connect, exchange keys, check the host's
//! key, authenticate, and for jump hosts all of that over another session.
//!
//! The gate for `ssh` descriptors. Everything here blocks, within the target's time, and runs on
//! the thread of its connection.

use std::{os::fd::OwnedFd, sync::Arc, time::Instant};

use evonic_shared::config;

use super::target::Target;
use crate::{handles::Permit, workplace::WorkplaceError};

/// An authenticated session. Closed with its socket when dropped, at once and without a word when
/// the peer does not listen.
pub(super) struct Connection {
    /// In blocking mode, with a timeout.
    pub(super) session: ssh2::Session,
    /// Another handle of what the session reads and writes: shutting it down unblocks any call.
    pub(super) socket: Arc<OwnedFd>,
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

/// Connects and authenticates. Blocks for at most `ssh.connect_timeout`.
///
/// `permits` are one for each jump host and one for the target, taken before.
///
/// # Errors
/// [`WorkplaceError::Unreachable`] for what may pass, [`WorkplaceError::Refused`] for a host key,
/// an authentication or an algorithm, with what to do.
pub(super) fn connect(
    target: &Target,
    settings: &config::Ssh,
    permits: Vec<Permit>,
    witness: &mut dyn Witness,
) -> Result<Connection, WorkplaceError> {
    let _ = (target, settings, permits, witness);
    todo!("the SSH connections room")
}
