//! Where something may be asked: a network, or a host by its name.

use std::{fmt, path::Path, str::FromStr};

use toml::{Value, de::DeValue};

use super::{
    network::Network,
    setting::{Setting, parsed, texts},
};

/// A network, one address, or a host's name: `10.1.0.0/16`, `192.0.2.7`, `files.example.lan`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    /// Every address of it.
    Network(Network),
    /// This name, whatever its addresses are.
    Host(String),
}

impl FromStr for Destination {
    type Err = String;

    /// The error is a sentence.
    fn from_str(text: &str) -> Result<Self, String> {
        let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        let last = text.rsplit('.').next().unwrap_or_default();
        // A name whose last part is a number is an address that is written in another way.
        let is_host = !text.is_empty()
            && text.bytes().all(is_name)
            && !last.is_empty()
            && !last.starts_with(|c: char| c.is_ascii_digit());
        if is_host {
            return Ok(Self::Host(text.to_ascii_lowercase()));
        }
        let network = text.parse::<Network>().map(Self::Network);
        network.map_err(|error| {
            if text.contains('/') || text.contains(':') {
                error
            } else {
                format!("{text:?} is no network and no name of a host")
            }
        })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Host(name) => f.write_str(name),
        }
    }
}

impl Setting for Vec<Destination> {
    const NAME: &'static str = "list of networks and hosts";
    const HINT: &'static str = "a list such as [\"10.1.0.0/16\", \"files.example.lan\"]";

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

    #[test]
    fn a_destination_is_a_network_or_a_name() {
        for text in ["10.1.0.0/16", "192.0.2.7", "::1", "files.example.lan", "localhost"] {
            assert_eq!(text.parse::<Destination>().unwrap().to_string(), text);
        }
        assert_eq!("A.Example".parse(), Ok(Destination::Host("a.example".to_owned())));
        for text in ["", "http://a", "a b", "10.0.0.1/8", "127.1", "0x7f.1", "a.", "a:80", "*.a"] {
            assert!(text.parse::<Destination>().is_err(), "{text}");
        }
    }
}
