//! Which worker the command line speaks to, and what it shows there.

use std::{net::IpAddr, path::PathBuf};

use evonic_shared::config::Config;
use http::uri::Authority;

use super::{command::ServerOptions, error::ConsoleError};
use crate::{domain::Token, life::first_key};

/// Names the server where `--server` does not.
const SERVER: &str = "EVONIC_SERVER";

/// Holds the key where `--key` does not.
const KEY: &str = "EVONIC_KEY";

/// Where the API is.
#[derive(Clone, Debug)]
pub(super) enum Server {
    /// On the Unix socket of this machine's service: no key is needed.
    Unix(PathBuf),
    /// On TCP.
    Tcp {
        /// Host and port, as they were named.
        authority: Authority,
        /// What is shown.
        key: Option<Token>,
    },
}

impl Server {
    /// The service of this configuration, by its Unix socket.
    pub(super) fn of(config: &Config) -> Self {
        Self::Unix(config.runtime_dir.join("api.sock"))
    }

    /// What the options or the environment name; else the service of this configuration.
    ///
    /// # Errors
    /// [`ConsoleError::Usage`] for an address or a key that is none, [`ConsoleError::Input`] for a
    /// key's file that cannot be read.
    pub(super) fn named(options: &ServerOptions, config: &Config) -> Result<Self, ConsoleError> {
        let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let Some(named) = options.server.clone().or_else(|| variable(SERVER)) else {
            return match options.key {
                None => Ok(Self::of(config)),
                Some(_) => {
                    let message = "--key goes with --server; the socket of this machine needs none";
                    Err(ConsoleError::Usage(message.to_owned()))
                }
            };
        };
        let authority = parse(&named)?;
        let given = options.key.clone().or_else(|| variable(KEY));
        let text = match given {
            Some(text) => Some(super::resources::text_of(&text)?),
            // The service's own key is shown to the service, never to another machine.
            None => std::fs::read_to_string(config.state_dir.join(first_key::FILE)).ok(),
        };
        let key = text.map(|text| {
            Token::parse(text.trim())
                .ok_or_else(|| ConsoleError::Usage("the key has not the form of one".to_owned()))
        });
        Ok(Self::Tcp { authority, key: key.transpose()? })
    }
}

/// `http://HOST:PORT` of a loopback address: a key must not travel in the clear.
fn parse(named: &str) -> Result<Authority, ConsoleError> {
    let refuse = |why: &str| ConsoleError::Usage(format!("--server {named}: {why}"));
    let rest = named.strip_prefix("http://").unwrap_or(named);
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains("://") {
        return Err(refuse(
            "only http:// is spoken; reach another machine by `ssh -L 8420:localhost:8420`",
        ));
    }
    let authority: Authority = rest.parse().map_err(|_| refuse("http://HOST:PORT is needed"))?;
    if authority.port_u16().is_none() || authority.as_str().contains('@') {
        return Err(refuse("http://HOST:PORT is needed"));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
    if host != "localhost" && !host.parse().is_ok_and(is_loopback) {
        return Err(refuse(
            "a key would travel in the clear; reach it by `ssh -L 8420:localhost:8420`",
        ));
    }
    Ok(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_spoken_to() {
        for named in
            ["http://127.0.0.1:8420", "http://127.8.8.8:1/", "localhost:80", "http://[::1]:8420"]
        {
            assert!(parse(named).is_ok(), "{named}");
        }
        for named in [
            "http://10.0.0.1:80",
            "http://localhost",
            "https://localhost:8420",
            "http://localhost.evil.example:80",
            "http://a@localhost:80",
            "http://localhost:80/api",
            "",
        ] {
            let refused = parse(named).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("--server {named}: ")), "{refused}");
        }
    }
}
