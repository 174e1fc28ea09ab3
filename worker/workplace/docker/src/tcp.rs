//! TCP to an engine on another machine, so that a dead link is noticed.

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    time::Duration,
};

use rustix::net::sockopt;
use tokio::net::TcpStream;

use evonic_handles::Permit;

/// The most addresses of a host that are tried.
const MAX_ADDRESSES: usize = 4;

/// Silence after which the kernel asks whether the peer is there, and between two questions.
const PROBE: Duration = Duration::from_secs(8);

/// Questions without an answer after which the connection is dead: within 45 s in all.
const PROBES: u32 = 4;

/// Connects to the first address that answers. The permit goes with the look-up, which cannot be
/// cancelled, and comes back with the stream.
pub(super) async fn connect(
    host: &str,
    port: u16,
    permit: Permit,
) -> io::Result<(Permit, TcpStream)> {
    let (permit, addresses) = resolve(host, port, permit).await?;
    let mut last = io::Error::other(format!("{host} has no address"));
    for address in addresses {
        #[expect(clippy::disallowed_methods, reason = "the gate: under a permit of its kind")]
        let connecting = TcpStream::connect(address);
        match connecting.await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                sockopt::set_socket_keepalive(&stream, true)?;
                sockopt::set_tcp_keepidle(&stream, PROBE)?;
                sockopt::set_tcp_keepintvl(&stream, PROBE)?;
                sockopt::set_tcp_keepcnt(&stream, PROBES)?;
                return Ok((permit, stream));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn resolve(host: &str, port: u16, permit: Permit) -> io::Result<(Permit, Vec<SocketAddr>)> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok((permit, vec![SocketAddr::new(ip, port)]));
    }
    let host = host.to_owned();
    let look_up = move || {
        let mut permit = permit;
        permit.owns(1, None);
        let found = (host.as_str(), port).to_socket_addrs();
        permit.owns(0, None);
        found.map(|found| (permit, found.take(MAX_ADDRESSES).collect()))
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "the gate: bounded by the permits of its kind, which go with the look-ups"
    )]
    let looked_up = tokio::task::spawn_blocking(look_up).await;
    looked_up.map_err(io::Error::other)?
}
