//! Name look-ups under a permit.
//!
//! The system's resolver keeps its own time and cannot be cancelled, so each look-up has a thread
//! of its own, and the permit goes with it: there are never more of those threads than permits, and
//! the resolver's descriptor is accounted for.

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::mpsc,
    thread,
    time::Instant,
};

use tokio::sync::oneshot;

use super::Account;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// A name, or an address without brackets.
    pub host: String,
    pub port: u16,
}

impl Peer {
    fn numeric(&self) -> Option<SocketAddr> {
        self.host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, self.port))
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    #[error("{host} cannot be resolved")]
    LookUp {
        host: String,
        #[source]
        source: io::Error,
    },
    #[error("{host} has no address")]
    NoAddress { host: String },
    /// Only of [`resolve_blocking`].
    #[error("the resolver did not answer in time")]
    Timeout,
    #[error("no thread for the resolver")]
    Thread(#[source] io::Error),
}

impl ResolveError {
    /// Whether the resolver says that there is no such name.
    ///
    /// The standard library hands on its number (`EAI_NONAME`, ...) only as text; in the C locale,
    /// which a program that never sets one has, it is one of these for an absent name (glibc, then
    /// musl).
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        const ABSENT: [&str; 4] = [
            "Name or service not known",
            "No address associated with hostname",
            "Name does not resolve",
            "Name has no usable address",
        ];
        let Self::LookUp { source, .. } = self else { return false };
        let text = source.to_string();
        // A name that cannot be one: it has a NUL, or is too long.
        let malformed = source.kind() == io::ErrorKind::InvalidInput;
        malformed || ABSENT.iter().any(|absent| text.contains(absent))
    }
}

type Answer<A> = Result<(Vec<SocketAddr>, A), ResolveError>;

/// The addresses of a host, at least one. A numeric host is not looked up.
///
/// The account comes back with the answer; when this future is dropped, it is settled when the
/// look-up ends.
///
/// # Errors
/// [`ResolveError`]; the account is settled.
pub async fn resolve<A: Account>(peer: &Peer, account: A) -> Answer<A> {
    let (sender, answer) = oneshot::channel();
    // Fails only when the caller has gone.
    look_up(peer, account, move |answer| drop(sender.send(answer)))?;
    answer.await.expect("the look-up's thread answers")
}

/// As [`resolve`], for a thread that waits until a deadline at most.
///
/// # Errors
/// [`ResolveError`].
pub fn resolve_blocking<A: Account>(peer: &Peer, account: A, deadline: Instant) -> Answer<A> {
    let (sender, answer) = mpsc::sync_channel(1);
    look_up(peer, account, move |answer| drop(sender.send(answer)))?;
    let time_left = deadline.saturating_duration_since(Instant::now());
    answer.recv_timeout(time_left).unwrap_or(Err(ResolveError::Timeout))
}

fn look_up<A: Account>(
    peer: &Peer,
    mut account: A,
    answer: impl FnOnce(Answer<A>) + Send + 'static,
) -> Result<(), ResolveError> {
    if let Some(address) = peer.numeric() {
        answer(Ok((vec![address], account)));
        return Ok(());
    }
    let Peer { host, port } = peer.clone();
    let work = move || {
        account.owns(1, None);
        let found = (host.as_str(), port).to_socket_addrs();
        account.owns(0, None);
        let error = match found.map(Iterator::collect::<Vec<_>>) {
            Ok(addresses) if addresses.is_empty() => ResolveError::NoAddress { host },
            Ok(addresses) => return answer(Ok((addresses, account))),
            Err(source) => ResolveError::LookUp { host, source },
        };
        // Before the end is known.
        drop(account);
        answer(Err(error));
    };
    let thread = thread::Builder::new().name("evonic-resolve".to_owned());
    thread.spawn(work).map(drop).map_err(ResolveError::Thread)
}

#[cfg(test)]
mod tests;
