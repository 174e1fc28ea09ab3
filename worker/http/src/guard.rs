//! Who may connect: by known names on TCP, whoever can on the Unix socket.
//!
//! What is not encrypted is for this machine and for trusted proxies: a key must not travel where
//! others can read it.
//!
//! Keys are checked after this. A page of a foreign site can make a browser send requests to a
//! loopback address, by its own name for it (DNS rebinding) or across origins: both show in `Host`
//! and `Origin`, which a page cannot forge.

use std::net::{IpAddr, SocketAddr};

use evonic_shared::config;
use http::{
    HeaderMap, HeaderValue, Request, StatusCode,
    header::{HOST, ORIGIN},
    uri::Authority,
};

use crate::{problem::Problem, proxies::Proxies};

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// The TCP listener.
    Tcp(SocketAddr),
    /// The Unix listener, a process of this user when it connected; none when the kernel does not
    /// say. Only root's word counts: commands of agents may have the service's user, and a pid is
    /// somebody else's when its process has ended.
    Unix(Option<u32>),
    /// The supervisor's probe, or this process itself.
    Inside,
}

#[derive(Debug)]
pub(super) struct Guard {
    hosts: Vec<String>,
    secure: bool,
    pub(super) proxies: Proxies,
}

impl Guard {
    pub(super) fn new(settings: &config::Http, proxies: Proxies) -> Self {
        let hosts = settings.allowed_hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        let secure = settings.tls.pair().is_some();
        Self { hosts, secure, proxies }
    }

    /// The client's address: the peer's, or the one that a trusted proxy names; none on the
    /// Unix socket and from inside.
    pub(super) fn client(&self, peer: Peer, headers: &HeaderMap) -> Option<IpAddr> {
        match peer {
            Peer::Tcp(peer) => Some(self.proxies.client_address(peer.ip(), headers)),
            Peer::Unix(_) | Peer::Inside => None,
        }
    }

    /// Lets a request pass.
    ///
    /// # Errors
    /// 403 for a foreign address, host or origin; 400 for a host that is missing or ambiguous.
    pub(super) fn admit<B>(&self, peer: Peer, request: &Request<B>) -> Result<(), Problem> {
        match peer {
            // A page of a foreign site reaches no file.
            Peer::Inside | Peer::Unix(_) => Ok(()),
            Peer::Tcp(peer) => {
                self.admit_address(peer.ip())?;
                self.admit_host(request)?;
                self.admit_origin(request.headers())
            }
        }
    }

    fn admit_address(&self, peer: IpAddr) -> Result<(), Problem> {
        if self.secure || peer.to_canonical().is_loopback() || self.proxies.trusts(peer) {
            return Ok(());
        }
        Err(forbidden(
            "without TLS only trusted proxies may ask from other machines; see \
             http.trusted_proxies",
        ))
    }

    fn admit_host<B>(&self, request: &Request<B>) -> Result<(), Problem> {
        let mut named = request.headers().get_all(HOST).iter();
        let (host, second) = (named.next(), named.next());
        if second.is_some() {
            return Err(Problem::malformed("host", "header 'host' is given twice"));
        }
        if let Some(authority) = request.uri().authority()
            && !self.is_ours(authority)
        {
            return Err(foreign("host", authority.as_str()));
        }
        let Some(host) = host else {
            // Only HTTP/1.0 may leave it out, and no browser does.
            return if request.version() == http::Version::HTTP_10 {
                Ok(())
            } else {
                Err(Problem::malformed("host", "header 'host' is missing"))
            };
        };
        match parse(host.as_bytes()) {
            Some(authority) if self.is_ours(&authority) => Ok(()),
            _ => Err(foreign("host", &text(host))),
        }
    }

    fn admit_origin(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let host = headers.get(HOST).and_then(|host| parse(host.as_bytes()));
        for origin in headers.get_all(ORIGIN) {
            let bytes = origin.as_bytes();
            let authority = bytes
                .strip_prefix(b"http://")
                .or_else(|| bytes.strip_prefix(b"https://"))
                .and_then(parse);
            // A page of this server, or one that the configuration allows: another port of this
            // machine is another site.
            let ours = authority.is_some_and(|authority| {
                host.as_ref() == Some(&authority) || self.is_allowed(&authority)
            });
            if !ours {
                return Err(foreign("origin", &text(origin)));
            }
        }
        Ok(())
    }

    /// A name that the configuration allows.
    fn is_allowed(&self, authority: &Authority) -> bool {
        let whole = authority.as_str().to_ascii_lowercase();
        let name = authority.host().to_ascii_lowercase();
        self.hosts.iter().any(|host| *host == whole || *host == name)
    }

    /// A loopback name, or one that the configuration allows. Its port is the client's business:
    /// behind a tunnel it is not ours, and no foreign site can take such a name.
    fn is_ours(&self, authority: &Authority) -> bool {
        if self.is_allowed(authority) {
            return true;
        }
        let name = authority.host().to_ascii_lowercase();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        name == "localhost"
            || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
    }
}

fn parse(bytes: &[u8]) -> Option<Authority> {
    // User information has no place in either header.
    if bytes.contains(&b'@') { None } else { Authority::try_from(bytes).ok() }
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn forbidden(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
}

fn foreign(header: &'static str, value: &str) -> Problem {
    forbidden(format!("'{header}: {value}' does not name this server; see http.allowed_hosts"))
        .with_field(header)
}
