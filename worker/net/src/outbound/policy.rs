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
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let policy = Policy::new(&[]);
        let refused = parse(text).and_then(|url| {
            let peer = policy.judge(&url)?;
            let ip = peer.host.parse::<IpAddr>().unwrap_or_else(|_| panic!("{text} is a name"));
            policy.judge_addresses(&peer, &[SocketAddr::new(ip, peer.port)])
        });
        refused.expect_err(text).to_string()
    }

    #[test]
    fn an_address_is_judged_in_whatever_way_it_is_written() {
        for text in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://127.0.0.1./",
            "http://１２７.0.0.1/",
            "http://127。0。0。1/",
            "http://%31%32%37.0.0.1/",
            "http:\\\\127.0.0.1\\",
            "http://[::1]/",
            "http://[::ffff:7f00:1]/",
            "http://[0:0:0:0:0:ffff:127.0.0.1]:8080/",
        ] {
            assert!(refused(text).contains("loopback"), "{text}: {}", refused(text));
        }
        for text in [
            "http://169.254.169.254/latest/meta-data",
            "http://169.254.169.254./",
            "http://2852039166/",
            "http://0251.0376.0251.0376/",
            "http://0xa9.0xfe.0xa9.0xfe/",
            "http://169.254.43518/",
            "http://[::ffff:169.254.169.254]/",
            "http://[::169.254.169.254]/",
            "http://[64:ff9b::169.254.169.254]/",
            "http://[2002:a9fe:a9fe::]/",
            "http://[fd00:ec2::254]/",
            "http://168.63.129.16/",
        ] {
            assert!(refused(text).contains("metadata"), "{text}: {}", refused(text));
        }
        for (text, what) in [
            ("http://0/", "this network"),
            ("http://0.255.255.255/", "this network"),
            ("http://100.64.0.1/", "a provider's customers"),
            ("http://0144.0100.1/", "a provider's customers"),
            ("http://100.127.255.254./", "a provider's customers"),
            ("http://[64:ff9b::10.0.0.1]/", "private"),
            ("http://[64:ff9b:1::8.8.8.8]/", "translator"),
            ("http://[2002:c0a8:1::1]/", "private"),
            ("http://[fe80::1]/", "link-local"),
            ("http://[ff02::1]/", "multicast"),
        ] {
            assert!(refused(text).contains(what), "{text}: {}", refused(text));
        }
    }

    #[test]
    fn other_forms_are_refused_without_their_secrets() {
        for (text, words) in [
            ("ftp://example.org/x?key=secret", "neither http nor https"),
            ("file:///etc/passwd", "neither http nor https"),
            ("data:text/plain,secret", "neither http nor https"),
            ("http://user:secret@example.org/", "user or password"),
            ("http://8.8.8.8:25/", "port 25"),
            ("http://8.8.8.8:0/", "port 0"),
            ("http://[fe80::1%25eth0]/", "is no address"),
            ("http://[fe80::1%eth0]/", "is no address"),
            ("http://127.0.0.1../", "an empty part"),
            ("http://4294967296/", "is no address"),
            ("http://127.0.0.09/", "is no address"),
            ("http://a b/?secret", "is no address"),
            ("/etc/passwd", "is no address"),
            ("http://", "is no address"),
            ("http://exa$mple.org/", "characters that no name has"),
            ("http://example..org../", "an empty part"),
        ] {
            let error = refused(text);
            assert!(error.contains(words), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(parse(&format!("http://example.org/{}", "a".repeat(9_000))).is_err());
    }

    #[test]
    fn names_are_ascii_and_without_their_final_dot() {
        for (text, host) in [
            ("http://Example.ORG./a", "example.org"),
            ("https://bücher.example/", "xn--bcher-kva.example"),
            ("http://[2606:4700::1111]/", "2606:4700::1111"),
        ] {
            assert_eq!(host_of(&parse(text).unwrap()), host);
        }
    }

    #[test]
    fn one_address_that_may_not_be_asked_refuses_the_host() {
        let peer = Peer { host: "files.example".to_owned(), port: 443 };
        let addresses =
            |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        let mixed = addresses(&["8.8.8.8:443", "10.0.0.7:443"]);
        let judge = |allow: &[&str], addresses: &[SocketAddr]| {
            let allow: Vec<_> = allow.iter().map(|text| text.parse().unwrap()).collect();
            Policy::new(&allow).judge_addresses(&peer, addresses)
        };
        let error = judge(&[], &mixed).unwrap_err().to_string();
        assert!(error.contains("10.0.0.7 is private"), "{error}");
        assert!(judge(&[], &mixed[..1]).is_ok());
        assert!(judge(&["10.0.0.0/8"], &mixed).is_ok());
        assert!(judge(&["Files.example"], &mixed).is_ok());
        assert!(judge(&["example", "10.0.0.8"], &mixed).is_err());
        assert!(judge(&["10.0.0.0/8"], &addresses(&["[::ffff:10.0.0.7]:443"])).is_ok());
    }

    #[test]
    fn a_redirect_is_judged_as_an_address() {
        let from = parse("https://example.org/a/b?c").unwrap();
        assert_eq!(redirected(&from, "../d").unwrap().as_str(), "https://example.org/d");
        assert_eq!(redirected(&from, "//other.org").unwrap().as_str(), "https://other.org/");
        for (location, words) in [
            ("http://example.org/", "from https to http"),
            ("file:///etc/passwd", "neither"),
            ("https://u:p@example.org/", "user or password"),
            ("http://[", "is no address"),
        ] {
            let error = redirected(&from, location).unwrap_err().to_string();
            assert!(error.contains(words), "{location}: {error}");
        }
    }
}
