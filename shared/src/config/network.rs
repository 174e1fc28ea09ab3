//! Networks by their prefix, for trusted proxies.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    str::FromStr,
};

use ipnet::IpNet;
use toml::{Value, de::DeValue};

use super::setting::{Setting, parsed, texts};

/// A network, or one address: `10.0.0.0/8`, `fd00::/8`, `192.0.2.7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network(IpNet);

impl Network {
    /// Whether the address belongs to the network. An IPv4-mapped IPv6 address counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Whether a loopback address belongs to the network.
    pub fn has_loopback(&self) -> bool {
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        self.0.addr().is_loopback() || loopback.iter().any(|&address| self.contains(address))
    }
}

impl FromStr for Network {
    type Err = String;

    /// The error is a sentence.
    fn from_str(text: &str) -> Result<Self, String> {
        let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
        let first: IpAddr =
            address.parse().map_err(|_| format!("{text:?} is no address and no network"))?;
        let mut network = IpNet::from(first);
        if text.contains('/') {
            let width = network.max_prefix_len();
            let with_prefix = prefix.parse().ok().and_then(|it| IpNet::new(first, it).ok());
            network = with_prefix
                .ok_or_else(|| format!("{text:?} has a prefix that is not 0 to {width}"))?;
        }
        if network.trunc() != network {
            let meant = Self(network.trunc());
            return Err(format!("{text:?} has bits beyond its prefix; did you mean {meant}?"));
        }
        if first.to_canonical() != first {
            return Err(format!("{text:?} is an IPv4 address; write it as one"));
        }
        Ok(Self(network))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            self.0.addr().fmt(f)
        } else {
            self.0.fmt(f)
        }
    }
}

impl Setting for Vec<Network> {
    const NAME: &'static str = "list of networks";
    const HINT: &'static str = "a list such as [\"10.0.0.0/8\", \"192.0.2.7\", \"fd00::/8\"]";

    fn read(value: &DeValue<'_>, folder: &Path) -> Result<Self, String> {
        parsed(value, folder)
    }

    fn write(&self) -> Option<Value> {
        Some(texts(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_belong_to_networks() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("0.0.0.0/0", "203.0.113.9", "::1"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("::1", "::1", "::2"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
            ("172.16.0.0/12", "::ffff:172.31.255.255", "172.32.0.0"),
        ] {
            let network = network(text);
            assert!(network.contains(inside.parse().unwrap()), "{text} {inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{text} {outside}");
            assert_eq!(network.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        let error = |text: &str| text.parse::<Network>().unwrap_err();
        assert!(error("10.1.2.3/8").contains("did you mean 10.0.0.0/8?"));
        assert!(error("fd00::1/64").contains("did you mean fd00::/64?"));
        for text in ["10.0.0.0/33", "10.0.0.0/x", "proxy", "10.0.0.0/", "", "::ffff:10.0.0.1"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
