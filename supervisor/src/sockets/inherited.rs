//! Inherited descriptors, by systemd's protocol (`sd_listen_fds(3)`).

use std::{env, io, os::fd::OwnedFd};

use evonic_shared::hand_over::{LISTEN_FDNAMES, LISTEN_FDS, LISTEN_PID};
use rustix::net::{AddressFamily, SocketType, sockopt};

use super::SocketError;
use crate::sys;

#[derive(Debug, Default)]
pub struct Inherited {
    named: Vec<(String, OwnedFd)>,
}

impl Inherited {
    /// Takes the descriptors that the environment announces for this process. Must be called before
    /// any other descriptor is opened.
    ///
    /// # Errors
    /// [`SocketError::TakeOver`] when an announced descriptor is not open.
    pub fn from_environment() -> Result<Self, SocketError> {
        let number = |name| env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
        let own = std::process::id();
        let (Some(count), true) = (number(LISTEN_FDS), number(LISTEN_PID) == Some(own)) else {
            return Ok(Self::default());
        };
        let sockets = sys::take_inherited(count).map_err(SocketError::TakeOver)?;
        let names = env::var(LISTEN_FDNAMES).unwrap_or_default();
        let names = names.split(':').map(str::to_owned).chain(std::iter::repeat(String::new()));
        Ok(Self { named: names.zip(sockets).collect() })
    }

    /// The inherited socket of this name.
    ///
    /// # Errors
    /// [`SocketError::Inherited`] when it is no listener of this family.
    pub(super) fn take(
        &mut self,
        name: &str,
        family: AddressFamily,
    ) -> Result<Option<OwnedFd>, SocketError> {
        let Some(socket) = self.remove(name) else { return Ok(None) };
        let fits = || -> io::Result<bool> {
            let actual = sockopt::socket_domain(&socket)?;
            let same = actual == family
                || (family == AddressFamily::INET && actual == AddressFamily::INET6);
            rustix::io::ioctl_fionbio(&socket, true)?;
            Ok(same
                && sockopt::socket_type(&socket)? == SocketType::STREAM
                && sockopt::socket_acceptconn(&socket)?)
        };
        if fits().unwrap_or(false) {
            return Ok(Some(socket));
        }
        let expected = if family == AddressFamily::UNIX { "Unix" } else { "TCP" };
        Err(SocketError::Inherited { name: name.to_owned(), expected })
    }

    /// The listening socket that systemd's descriptor store has under this name.
    pub(super) fn take_stored(&mut self, name: &str) -> Option<OwnedFd> {
        let socket = self.remove(name)?;
        rustix::io::ioctl_fionbio(&socket, true).ok()?;
        sockopt::socket_acceptconn(&socket).unwrap_or(false).then_some(socket)
    }

    fn remove(&mut self, name: &str) -> Option<OwnedFd> {
        let index = self.named.iter().position(|(own, _)| own == name)?;
        Some(self.named.swap_remove(index).1)
    }

    /// Closes the rest.
    pub(super) fn close_rest(self) {
        for (name, _socket) in self.named {
            tracing::warn!(name, "inherited descriptor is not used");
        }
    }
}
