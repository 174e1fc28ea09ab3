//! The client's address: the peer's, or the one that a trusted proxy names.
//!
//! Any client can write a header, so it is read from its end: the last address in it was
//! written by the peer, and is believed if the peer is trusted; the one before it was written by
//! that address, and is believed if that one is trusted too. The first address that is not
//! trusted is the client's, whatever stands before it.
//!
//! Of the peer an address proves something only where it is of another machine: behind one of this
//! machine stands any process, a command of an agent too. That one must show the secret.

use std::net::{IpAddr, SocketAddr};

use evonic_shared::config::{self, ForwardedHeader, Network};
use http::{HeaderMap, HeaderName, header::FORWARDED};

use crate::{own_addresses::OwnAddresses, proxy_secret::ProxySecret};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

#[derive(Debug)]
pub(super) struct Proxies {
    trusted: Vec<Network>,
    header: ForwardedHeader,
    secret: Option<ProxySecret>,
    own: OwnAddresses,
}

impl Proxies {
    /// With the secret that they must show, where there is one.
    pub(super) fn new(settings: &config::Http, secret: Option<ProxySecret>) -> Self {
        let (trusted, header) = (settings.trusted_proxies.clone(), settings.forwarded_header);
        Self { trusted, header, secret, own: OwnAddresses::default() }
    }

    /// Whether this address is that of a trusted proxy.
    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Whether a peer's connections may be of many clients: it is a trusted proxy, and can be
    /// believed.
    pub(super) fn carries_many(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusts(peer) && (self.secret.is_some() || !self.own.contains(peer))
    }

    /// Whether what a request of a peer says of its client counts.
    fn believes(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        self.carries_many(peer)
            && self.secret.as_ref().is_none_or(|secret| secret.stands_in(headers))
    }

    /// The client's address: the peer's, unless that is a trusted proxy that is believed; then the
    /// last address of its header that is not one. Where the header ends or cannot be read before,
    /// the last proxy that was read stands in for its client.
    pub(super) fn client_address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.believes(client, headers) {
            return client;
        }
        let name = match self.header {
            ForwardedHeader::XForwardedFor => X_FORWARDED_FOR,
            ForwardedHeader::Forwarded => FORWARDED,
        };
        let lines: Vec<_> = headers.get_all(name).iter().collect();
        for line in lines.iter().rev() {
            let Ok(line) = line.to_str() else { return client };
            for element in split(line, ',').into_iter().rev() {
                let address = match self.header {
                    ForwardedHeader::XForwardedFor => address(element),
                    ForwardedHeader::Forwarded => forwarded_for(element),
                };
                let Some(address) = address else { return client };
                client = address;
                if !self.trusts(client) {
                    return client;
                }
            }
        }
        client
    }
}

/// The elements of a list: a separator within quotes does not end one.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |letter| {
        if escaped {
            escaped = false;
            return false;
        }
        match letter {
            '"' => quoted = !quoted,
            '\\' if quoted => escaped = true,
            _ => return letter == separator && !quoted,
        }
        false
    })
    .map(str::trim)
    .collect()
}

/// The node of `for=NODE` in an element of `Forwarded` (RFC 7239, section 4).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    split(element, ';').into_iter().find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let value =
            value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
        name.eq_ignore_ascii_case("for").then(|| address(value))?
    })
}

/// An address, with or without a port; an IPv6 one may stand in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse().map(|address: SocketAddr| address.ip());
    let address: IpAddr = bare.parse().or_else(|_| with_port()).ok()?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn proxies(header: ForwardedHeader) -> Proxies {
        let trusted = ["10.0.0.0/8", "fd00::/8", "127.0.0.1"];
        Proxies {
            trusted: trusted.map(|text| text.parse().unwrap()).into(),
            header,
            secret: None,
            own: OwnAddresses::default(),
        }
    }

    /// Who is taken for the client of `peer`, of these header lines.
    #[track_caller]
    fn check(header: ForwardedHeader, peer: &str, lines: &[(&str, &str)], client: &str) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let found = proxies(header).client_address(peer.parse().unwrap(), &headers);
        assert_eq!(found, client.parse::<IpAddr>().unwrap(), "{peer}: {lines:?}");
    }

    #[test]
    fn x_forwarded_for_is_read_from_its_end() {
        let check = |peer, value: &str, client| {
            let lines = [("x-forwarded-for", value)];
            check(ForwardedHeader::XForwardedFor, peer, &lines, client);
        };
        check("10.0.0.1", "198.51.100.7", "198.51.100.7");
        check("10.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7");
        check("10.0.0.1", "203.0.113.9, 198.51.100.7, 10.0.0.2", "198.51.100.7");
        check("fd00::1", "[2001:db8::1]:443, fd00::2", "2001:db8::1");
        check("::ffff:10.0.0.1", "2001:db8::1", "2001:db8::1");
        check("10.0.0.1", "198.51.100.7:1234", "198.51.100.7");
        check("10.0.0.1", "::ffff:198.51.100.7", "198.51.100.7");
        // All of them are proxies: the farthest that was named.
        check("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3");
    }

    #[test]
    fn nobody_else_is_believed() {
        let lines = [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9")];
        for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
            check(header, "198.51.100.7", &lines, "198.51.100.7");
            check(header, "11.0.0.1", &lines, "11.0.0.1");
            check(header, "10.0.0.1", &[], "10.0.0.1");
        }
        // The header that the proxy does not set is the client's own.
        let lines = [("x-forwarded-for", "198.51.100.7"), ("forwarded", "for=203.0.113.9")];
        check(ForwardedHeader::XForwardedFor, "10.0.0.1", &lines, "198.51.100.7");
        check(ForwardedHeader::Forwarded, "10.0.0.1", &lines, "203.0.113.9");
        check(ForwardedHeader::XForwardedFor, "10.0.0.1", &lines[1..], "10.0.0.1");
        let header = ForwardedHeader::XForwardedFor;
        let none =
            Proxies { trusted: Vec::new(), header, secret: None, own: OwnAddresses::default() };
        let headers =
            HeaderMap::from_iter([(X_FORWARDED_FOR, HeaderValue::from_static("1.1.1.1"))]);
        let peer = "127.0.0.1".parse().unwrap();
        assert_eq!(none.client_address(peer, &headers), peer);
    }

    #[test]
    fn a_proxy_of_this_machine_is_believed_by_its_secret_only() {
        let secret = ProxySecret::new("0123456789abcdef").unwrap();
        let proved = Proxies { secret: Some(secret), ..proxies(ForwardedHeader::XForwardedFor) };
        let unproved = proxies(ForwardedHeader::XForwardedFor);
        let client = IpAddr::from([198, 51, 100, 7]);
        let named = |secret: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("198.51.100.7"));
            let secret = secret.map(HeaderValue::from_static);
            headers.extend(secret.map(|secret| (ProxySecret::HEADER, secret)));
            headers
        };
        for peer in ["127.0.0.1", "::ffff:127.0.0.1", "10.0.0.1"] {
            let peer = peer.parse::<IpAddr>().unwrap().to_canonical();
            for wrong in [None, Some("0123456789abcdeF"), Some("0123456789abcde"), Some("")] {
                assert_eq!(proved.client_address(peer, &named(wrong)), peer, "{wrong:?}");
            }
            assert_eq!(proved.client_address(peer, &named(Some("0123456789abcdef"))), client);
            let mut twice = named(Some("0123456789abcdef"));
            twice.append(ProxySecret::HEADER, HeaderValue::from_static("x"));
            assert_eq!(proved.client_address(peer, &twice), peer);
            let expected = if peer.is_loopback() { peer } else { client };
            assert_eq!(unproved.client_address(peer, &named(Some("0123456789abcdef"))), expected);
            assert_eq!(unproved.carries_many(peer), !peer.is_loopback());
            assert!(proved.carries_many(peer));
        }
        // Who is no proxy is not believed for the secret.
        let stranger = IpAddr::from([203, 0, 113, 9]);
        let headers = named(Some("0123456789abcdef"));
        assert_eq!(proved.client_address(stranger, &headers), stranger);
    }

    #[test]
    fn what_cannot_be_read_ends_belief() {
        let x = |value, client| {
            let lines = [("x-forwarded-for", value)];
            check(ForwardedHeader::XForwardedFor, "10.0.0.1", &lines, client);
        };
        x("203.0.113.9, unknown", "10.0.0.1");
        x("203.0.113.9, unknown, 10.0.0.2", "10.0.0.2");
        x("203.0.113.9,", "10.0.0.1");
        x("", "10.0.0.1");
        x("999.1.1.1", "10.0.0.1");
        let forwarded = |value, client| {
            let lines = [("forwarded", value)];
            check(ForwardedHeader::Forwarded, "10.0.0.1", &lines, client);
        };
        forwarded("for=203.0.113.9, for=_hidden", "10.0.0.1");
        forwarded("for=203.0.113.9, proto=https", "10.0.0.1");
        forwarded("for=\"203.0.113.9", "10.0.0.1");
    }

    #[test]
    fn lines_count_in_their_order() {
        let lines = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "198.51.100.7")];
        check(ForwardedHeader::XForwardedFor, "10.0.0.1", &lines, "198.51.100.7");
        let lines = [("x-forwarded-for", "198.51.100.7"), ("x-forwarded-for", "10.0.0.2")];
        check(ForwardedHeader::XForwardedFor, "10.0.0.1", &lines, "198.51.100.7");
    }

    #[test]
    fn forwarded_is_a_list_of_parameters() {
        let check = |value: &str, client| {
            let lines = [("forwarded", value)];
            check(ForwardedHeader::Forwarded, "10.0.0.1", &lines, client);
        };
        check("for=198.51.100.7", "198.51.100.7");
        check("proto=https;For=\"198.51.100.7:4711\";by=10.0.0.1", "198.51.100.7");
        check("for=203.0.113.9, for=\"[2001:db8::1]:4711\"", "2001:db8::1");
        check("for=198.51.100.7, for=10.0.0.2;host=\"a,b\\\",c\"", "198.51.100.7");
        // What a client writes within quotes is no element of its own.
        check("for=203.0.113.9, for=198.51.100.7;x=\", for=203.0.113.10\"", "198.51.100.7");
    }
}
