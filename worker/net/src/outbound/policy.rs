//! What may be asked.

use std::net::{IpAddr, SocketAddr};

use evonic_shared::config::Destination;
use url::{Host, Url};

use super::{OutboundError, Peer, special};

/// The longest address.
const MAX_URL_BYTES: usize = 8 * 1024;

/// What is allowed beside the public internet.
#[derive(Debug)]
pub(super) struct Policy {
    allow: Vec<Destination>,
}

/// An address in the form of the URL standard: a number is an IPv4 address in whatever way it is
/// written, and a name is ASCII.
///
/// # Errors
/// [`OutboundError::Malformed`], [`OutboundError::Refused`].
pub(super) fn parse(text: &str) -> Result<Url, OutboundError> {
    let malformed =
        |reason: &str| OutboundError::Malformed { url: shortened(text), reason: reason.to_owned() };
    if text.len() > MAX_URL_BYTES {
        return Err(malformed("it is too long"));
    }
    let url = Url::parse(text).map_err(|error| malformed(&error.to_string()))?;
    check_form(&url)?;
    Ok(url)
}

/// Where a redirect leads.
///
/// # Errors
/// [`OutboundError::Malformed`], [`OutboundError::Refused`].
pub(super) fn redirected(from: &Url, location: &str) -> Result<Url, OutboundError> {
    let malformed = |reason: &str| OutboundError::Malformed {
        url: shortened(location),
        reason: reason.to_owned(),
    };
    if location.len() > MAX_URL_BYTES {
        return Err(malformed("it is too long"));
    }
    let to = from.join(location).map_err(|error| malformed(&error.to_string()))?;
    check_form(&to)?;
    if from.scheme() == "https" && to.scheme() != "https" {
        let reason = format!("{} redirects to it from https to http", host_of(from));
        return Err(OutboundError::Refused { host: host_of(&to), reason });
    }
    Ok(to)
}

/// Its host, for messages and for the resolver: a name without its final dot, an address without
/// brackets.
pub(super) fn host_of(url: &Url) -> String {
    match url.host() {
        Some(Host::Domain(name)) => name.strip_suffix('.').unwrap_or(name).to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        None => String::new(),
    }
}

fn check_form(url: &Url) -> Result<(), OutboundError> {
    let refused = |reason: &str| {
        let host = if url.host().is_some() { host_of(url) } else { format!("{}:", url.scheme()) };
        Err(OutboundError::Refused { host, reason: reason.to_owned() })
    };
    if !matches!(url.scheme(), "http" | "https") {
        return refused("it is neither http nor https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refused("its address has a user or password in it");
    }
    match url.host() {
        Some(Host::Domain(name)) if name.ends_with("..") || name.starts_with('.') => {
            refused("its name has an empty part")
        }
        Some(Host::Domain(name)) if !name.bytes().all(is_of_a_name) => {
            refused("its name has characters that no name has")
        }
        Some(_) => Ok(()),
        None => refused("it names no host"),
    }
}

const fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

impl Policy {
    pub(super) fn new(allow: &[Destination]) -> Self {
        Self { allow: allow.to_vec() }
    }

    /// Whom to look up, once the form of the address, its port and its name fit.
    ///
    /// # Errors
    /// [`OutboundError::Refused`].
    pub(super) fn judge(&self, url: &Url) -> Result<Peer, OutboundError> {
        let host = host_of(url);
        let port = url.port_or_known_default().unwrap_or(0);
        // What listens below is no web server, and may take a request for something else.
        if !matches!(port, 80 | 443 | 1024..) && !self.allows_name(&host) {
            let reason = format!("port {port} is neither 80, 443 nor above 1023");
            return Err(OutboundError::Refused { host, reason });
        }
        Ok(Peer { host, port })
    }

    /// Refuses a host of which one address may not be asked: whoever answers for its name would
    /// choose among them.
    ///
    /// # Errors
    /// [`OutboundError::Refused`].
    pub(super) fn judge_addresses(
        &self,
        peer: &Peer,
        addresses: &[SocketAddr],
    ) -> Result<(), OutboundError> {
        if self.allows_name(&peer.host) {
            return Ok(());
        }
        for address in addresses.iter().map(SocketAddr::ip) {
            if let Some(what) = self.refusal(address) {
                let named = match peer.host.parse::<IpAddr>() {
                    Ok(_) => String::new(),
                    Err(_) => format!("{address} "),
                };
                let reason = format!(
                    "its address {named}is {what}; outbound.allow lists what may be asked all the \
                     same"
                );
                return Err(OutboundError::Refused { host: peer.host.clone(), reason });
            }
        }
        Ok(())
    }

    fn refusal(&self, address: IpAddr) -> Option<&'static str> {
        let is_allowed = self.allow.iter().any(|allowed| match allowed {
            Destination::Network(network) => network.contains(address),
            Destination::Host(_) => false,
        });
        if is_allowed {
            return None;
        }
        special::refusal(address).or_else(|| special::own_refusal(address))
    }

    fn allows_name(&self, host: &str) -> bool {
        self.allow.iter().any(|allowed| match allowed {
            Destination::Network(_) => false,
            Destination::Host(name) => name.eq_ignore_ascii_case(host),
        })
    }
}

/// An address as a message has it: a query may hold a secret.
fn shortened(text: &str) -> String {
    const CHARS: usize = 100;
    let bare = text.split(['?', '#']).next().unwrap_or_default();
    let bare = bare.rsplit_once('@').map_or(bare, |(_, after)| after);
    bare.chars().filter(|c| !c.is_control()).take(CHARS).collect()
}

#[cfg(test)]
mod tests;
