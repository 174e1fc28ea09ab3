//! Networks by their prefix, for trusted proxies.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    path::Path,
    str::FromStr,
};

use toml::de::DeValue;

use super::setting::Setting;

/// A network, or one address: `10.0.0.0/8`, `fd00::/8`, `192.0.2.7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    first: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether the address belongs to the network. An IPv4-mapped IPv6 address counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4()
            && bits(address) & mask(self.prefix, width(address)) == bits(self.first)
    }
}

/// An address as a number; an IPv4 one in the highest bits.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// `prefix` highest bits.
const fn mask(prefix: u8, width: u8) -> u128 {
    match prefix {
        0 => 0,
        _ if prefix >= width && width == 128 => u128::MAX,
        _ => !(u128::MAX >> prefix),
    }
}

impl FromStr for Network {
    type Err = String;

    /// The error is a sentence.
    fn from_str(text: &str) -> Result<Self, String> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let first: IpAddr =
            address.parse().map_err(|_| format!("{text:?} is no address and no network"))?;
        let width = width(first);
        let prefix = match prefix.map(str::parse::<u8>) {
            None => width,
            Some(Ok(prefix)) if prefix <= width => prefix,
            Some(_) => return Err(format!("{text:?} has a prefix that is not 0 to {width}")),
        };
        let start = bits(first) & mask(prefix, width);
        if start != bits(first) {
            let meant = Self { first: address_of(start, first), prefix };
            return Err(format!("{text:?} has bits beyond its prefix; did you mean {meant}?"));
        }
        if first.to_canonical() != first {
            return Err(format!("{text:?} is an IPv4 address; write it as one"));
        }
        Ok(Self { first, prefix })
    }
}

/// The reverse of [`bits`], of the same family as `like`.
fn address_of(bits: u128, like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => {
            let bits = u32::try_from(bits >> 96).expect("the upper 32 bits of 128 fit 32");
            IpAddr::V4(bits.into())
        }
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(bits)),
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == width(self.first) {
            self.first.fmt(f)
        } else {
            write!(f, "{}/{}", self.first, self.prefix)
        }
    }
}

impl Setting for Vec<Network> {
    const NAME: &'static str = "list of networks";
    const HINT: &'static str = "a list such as [\"10.0.0.0/8\", \"192.0.2.7\", \"fd00::/8\"]";

    fn read(value: &DeValue<'_>, folder: &Path) -> Result<Self, String> {
        let texts = Vec::<String>::read(value, folder)?;
        texts.iter().map(|text| text.parse()).collect()
    }

    fn write(&self) -> Option<String> {
        self.iter().map(ToString::to_string).collect::<Vec<_>>().write()
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
