//! Who may speak here: loopback names on TCP, root and the service's user on the Unix socket.
//!
//! Until keys come, a request is believed because of where it comes from. A web page of a foreign
//! site can make a browser send requests to a loopback address, by its own name for it (DNS
//! rebinding) or across origins: both show in `Host` and `Origin`, which a page cannot forge.

use std::net::{IpAddr, SocketAddr};

use http::{
    HeaderMap, HeaderValue, Request, StatusCode,
    header::{HOST, ORIGIN},
    uri::Authority,
};

use crate::http::problem::Problem;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// The TCP listener.
    Tcp(SocketAddr),
    /// The Unix listener, a process of this user; none when the kernel does not tell.
    Unix(Option<u32>),
    /// The supervisor's probe, or this process itself.
    Inside,
}

/// What makes a request one of ours.
#[derive(Debug)]
pub(super) struct Guard {
    port: u16,
    hosts: Vec<String>,
    uid: u32,
}

impl Guard {
    /// For a TCP listener on `port`. `hosts` are names (any port) or `name:port`.
    pub(super) fn new(port: u16, hosts: &[String]) -> Self {
        let hosts = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Self { port, hosts, uid: rustix::process::geteuid().as_raw() }
    }

    /// Lets a request pass.
    ///
    /// # Errors
    /// 403 for a foreign user, host or origin; 400 for a host that is missing or ambiguous.
    pub(super) fn admit<B>(&self, peer: Peer, request: &Request<B>) -> Result<(), Problem> {
        match peer {
            Peer::Inside => Ok(()),
            Peer::Unix(Some(uid)) if uid == 0 || uid == self.uid => Ok(()),
            Peer::Unix(_) => Err(forbidden(
                "only root and the service's own user may use this socket".to_owned(),
            )),
            Peer::Tcp(_) => {
                self.admit_host(request)?;
                self.admit_origin(request.headers())
            }
        }
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
        for origin in headers.get_all(ORIGIN) {
            let bytes = origin.as_bytes();
            let authority = bytes
                .strip_prefix(b"http://")
                .or_else(|| bytes.strip_prefix(b"https://"))
                .and_then(parse);
            if !authority.is_some_and(|authority| self.is_ours(&authority)) {
                return Err(foreign("origin", &text(origin)));
            }
        }
        Ok(())
    }

    /// A loopback name with our port, or one that the configuration allows.
    fn is_ours(&self, authority: &Authority) -> bool {
        let whole = authority.as_str().to_ascii_lowercase();
        let name = authority.host().to_ascii_lowercase();
        if self.hosts.iter().any(|host| *host == whole || *host == name) {
            return true;
        }
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let loopback = name == "localhost"
            || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
        loopback && authority.port_u16().unwrap_or(80) == self.port
    }
}

fn parse(bytes: &[u8]) -> Option<Authority> {
    // User information has no place in either header.
    if bytes.contains(&b'@') { None } else { Authority::try_from(bytes).ok() }
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn forbidden(detail: String) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
}

fn foreign(header: &'static str, value: &str) -> Problem {
    forbidden(format!("'{header}: {value}' does not name this server; see http.allowed_hosts"))
        .naming(header)
}
