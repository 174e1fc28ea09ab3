//! From a name to a TCP socket, within a deadline.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsRawFd, OwnedFd},
    time::Instant,
};

use evonic_net::{Peer, ResolveError};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, sockopt},
};

use super::deadline::{left, timespec};
use evonic_backend::{Result, Stage, WorkplaceError};
use evonic_handles::Permit;

/// Addresses of a host. The permit owns what the resolver has open.
///
/// # Errors
/// [`WorkplaceError::Unreachable`] when the resolver does not answer in time or says that it may
/// yet, [`WorkplaceError::Refused`] when there is no such name.
pub(super) fn resolve(
    host: &str,
    port: u16,
    permit: Permit,
    deadline: Instant,
) -> Result<(Vec<SocketAddr>, Permit)> {
    let peer = Peer { host: host.to_owned(), port };
    let unreachable = |reason: &str| WorkplaceError::unreachable(host, Stage::Resolve, reason);
    evonic_net::resolve_blocking(&peer, permit, deadline).map_err(|error| {
        let is_permanent = error.is_permanent();
        match error {
            ResolveError::Thread(source) => WorkplaceError::Threads(source),
            ResolveError::LookUp { source, .. } if is_permanent => {
                let advice = "there is no such host: correct settings.host, or add it to DNS or \
                          /etc/hosts";
                WorkplaceError::refused(host, Stage::Resolve, format!("{source}; {advice}"))
            }
            ResolveError::LookUp { source, .. } => unreachable(&source.to_string()),
            ResolveError::NoAddress { .. } => unreachable("the resolver knows no address"),
            ResolveError::Timeout => unreachable("the resolver did not answer in time"),
        }
    })
}

/// Connects to the first address that answers. Each gets an equal share of the time that is left,
/// so that one black hole does not cost the others theirs. The socket is closed on exec, without
/// Nagle's delay, and asks now and then whether its peer is there.
///
/// The permit owns the socket; on failure nothing.
///
/// # Errors
/// [`WorkplaceError::Unreachable`] with what every address said.
pub(super) fn open_tcp(
    addresses: &[SocketAddr],
    host: &str,
    permit: &mut Permit,
    deadline: Instant,
) -> Result<(OwnedFd, SocketAddr)> {
    let mut said = Vec::new();
    for (number, &address) in addresses.iter().enumerate() {
        let others = u32::try_from(addresses.len() - number).unwrap_or(u32::MAX);
        let share = Instant::now() + left(deadline) / others;
        match open_one(address, permit, share) {
            Ok(socket) => return Ok((socket, address)),
            Err(error) => {
                permit.owns(0, None);
                said.push(format!("{address}: {error}"));
            }
        }
    }
    Err(WorkplaceError::unreachable(host, Stage::Connect, said.join("; ")))
}

fn open_one(address: SocketAddr, permit: &mut Permit, deadline: Instant) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    permit.owns(1, u32::try_from(socket.as_raw_fd()).ok());
    match rustix::net::connect(&socket, &address) {
        Ok(()) => {}
        Err(Errno::INPROGRESS | Errno::INTR) => await_connected(&socket, deadline)?,
        Err(errno) => return Err(errno.into()),
    }
    sockopt::set_tcp_nodelay(&socket, true)?;
    sockopt::set_socket_keepalive(&socket, true)?;
    Ok(socket)
}

fn await_connected(socket: &OwnedFd, deadline: Instant) -> io::Result<()> {
    loop {
        let mut polled = [PollFd::new(socket, PollFlags::OUT)];
        match poll(&mut polled, Some(&timespec(left(deadline)))) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")),
            Ok(_) => return Ok(sockopt::socket_error(socket)??),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests;
