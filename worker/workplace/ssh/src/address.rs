//! From a name to a TCP socket, within a deadline.

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    os::fd::{AsRawFd, OwnedFd},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, sockopt},
};

use evonic_backend::{Stage, WorkplaceError, error::Cause};
use evonic_handles::Permit;

/// Addresses of a host. A numeric one is taken as it is; for a name the system's resolver is asked,
/// on a thread of its own, since it keeps its own time. The permit goes with it: so there are never
/// more of those threads than permits, and what the resolver has open is paid for.
///
/// # Errors
/// [`WorkplaceError::Unreachable`] when the resolver does not answer in time or says that it may
/// yet, [`WorkplaceError::Refused`] when there is no such name.
pub(super) fn resolve(
    host: &str,
    port: u16,
    permit: Permit,
    deadline: Instant,
) -> Result<(Vec<SocketAddr>, Permit), WorkplaceError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok((vec![SocketAddr::new(address, port)], permit));
    }
    let transient = |said: String| WorkplaceError::Unreachable {
        host: host.to_owned(),
        stage: Stage::Resolve,
        source: Cause(said),
    };
    let (answer, answered) = mpsc::sync_channel(1);
    let name = host.to_owned();
    thread::Builder::new()
        .name("evonic-resolve".to_owned())
        .spawn(move || {
            let mut permit = permit;
            permit.owns(1, None);
            let found = (name.as_str(), port).to_socket_addrs().map(Iterator::collect);
            permit.owns(0, None);
            // Nobody waits any more: the permit goes back now.
            drop(answer.send((found, permit)));
        })
        .map_err(WorkplaceError::Threads)?;
    match answered.recv_timeout(left(deadline)) {
        Ok((Ok(found), permit)) => {
            let found: Vec<SocketAddr> = found;
            match found.is_empty() {
                false => Ok((found, permit)),
                true => Err(transient("the resolver knows no address".to_owned())),
            }
        }
        Ok((Err(error), _)) if may_pass(&error) => Err(transient(error.to_string())),
        Ok((Err(error), _)) => Err(WorkplaceError::Refused {
            host: host.to_owned(),
            stage: Stage::Resolve,
            source: Cause(format!(
                "{error}; there is no such host: correct settings.host, or add it to DNS or \
                 /etc/hosts"
            )),
        }),
        Err(_) => Err(transient("the resolver did not answer in time".to_owned())),
    }
}

/// Whether the resolver may say something else later. The standard library hands on its number
/// (`EAI_NONAME`, ...) only as text; in the C locale, which a program that never sets one has, it
/// is one of these for a name that is not there (glibc, then musl).
fn may_pass(error: &io::Error) -> bool {
    const ABSENT: [&str; 4] = [
        "Name or service not known",
        "No address associated with hostname",
        "Name does not resolve",
        "Name has no usable address",
    ];
    let text = error.to_string();
    // A name that cannot be one: it has a NUL, or is too long.
    let malformed = error.kind() == io::ErrorKind::InvalidInput;
    !malformed && !ABSENT.iter().any(|absent| text.contains(absent))
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
) -> Result<(OwnedFd, SocketAddr), WorkplaceError> {
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
    Err(WorkplaceError::Unreachable {
        host: host.to_owned(),
        stage: Stage::Connect,
        source: Cause(said.join("; ")),
    })
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

/// The time until a deadline; nothing when it has passed.
pub(super) fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// For `poll(2)`.
pub(super) fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests;
