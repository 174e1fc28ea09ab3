//! Which worker the command line talks to, and with which key.

mod admin_key;

use std::{io, net::IpAddr, path::PathBuf, time::Duration};

use evonic_domain::Token;
use evonic_net::{Authorities, ConnectError, Connector, Peer, Stream, TlsConnector, TlsError};
use evonic_shared::{config::Config, error_chain::ErrorChain};
use http::uri::{Authority, Scheme};
use tokio::net::UnixStream;

use self::admin_key::AdminKeyError;
use super::{
    command::ServerOptions,
    error::{ConsoleError, Result},
    input::argument_text,
};

/// The variable that stands in for `--server`.
const SERVER_VARIABLE: &str = "EVONIC_SERVER";

/// The variable that stands in for `--key`.
const KEY_VARIABLE: &str = "EVONIC_KEY";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
pub(super) enum Server {
    /// The Unix socket of this machine's service.
    Unix {
        socket: PathBuf,
        /// Root needs none.
        key: Option<Token>,
        /// Why there is none, for who is not root.
        missing: Option<String>,
    },
    Tcp {
        /// Host and port, as given.
        authority: Authority,
        key: Option<Token>,
        connector: Connector,
    },
}

/// Connects to an authority; by TLS if it is `https`, trusting the authorities of a file, else the
/// system's.
fn connector(authority: &Authority, scheme: Scheme, file: Option<&PathBuf>) -> Result<Connector> {
    let trusted = || -> Result<TlsConnector, TlsError> {
        let authorities = file.map_or_else(Authorities::system, |file| Authorities::read(file))?;
        evonic_net::client(authorities, None)
    };
    let refuse = |error: TlsError| ConsoleError::Usage(format!("--ca: {}", ErrorChain(&error)));
    let port = authority.port_u16().unwrap_or(443);
    let peer = Peer { host: host(authority).to_owned(), port };
    let tls = if scheme == Scheme::HTTPS { Some(trusted().map_err(refuse)?) } else { None };
    Ok(Connector { peer, tls, keepalive: None, limit: CONNECT_TIMEOUT })
}

impl Server {
    /// Connects.
    #[expect(
        clippy::disallowed_methods,
        reason = "the console is a client in a process of its own, outside the worker's budget"
    )]
    pub(super) async fn connect(&self) -> Result<Box<dyn Stream>> {
        match self {
            Self::Unix { socket, .. } => match UnixStream::connect(socket).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(source) => Err(ConsoleError::unreachable(socket, source)),
            },
            Self::Tcp { authority, connector, .. } => {
                let address = format!("{}:{}", authority.host(), connector.peer.port);
                // A process of its own, outside the worker's budget.
                connector.connect(()).await.map_err(|error| match error {
                    ConnectError::Timeout { limit, .. } => ConsoleError::Timeout { limit },
                    ConnectError::Tls { source, .. } => {
                        ConsoleError::NotTrusted { address, source }
                    }
                    ConnectError::Connect { source, .. } => {
                        ConsoleError::NotRunning { address, source }
                    }
                    ConnectError::Resolve(error) => {
                        ConsoleError::NotRunning { address, source: io::Error::other(error) }
                    }
                })
            }
        }
    }

    /// The service of this configuration, by its Unix socket: with its own key, but for root, whom
    /// the socket knows.
    pub(super) fn local(config: &Config) -> Self {
        let is_root = rustix::process::geteuid().is_root();
        let found = if is_root { Ok(None) } else { admin_key::read(config).map(Some) };
        let (key, missing) = match found {
            Ok(key) => (key, None),
            Err(error) => (None, Some(ErrorChain(&error).to_string())),
        };
        Self::Unix { socket: config.runtime_dir.join("api.sock"), key, missing }
    }

    /// What a request to it shows.
    pub(super) const fn key(&self) -> Option<&Token> {
        match self {
            Self::Unix { key, .. } | Self::Tcp { key, .. } => key.as_ref(),
        }
    }

    /// The server of the options or the environment; else the service of this configuration.
    pub(super) fn resolve(options: &ServerOptions, config: &Config) -> Result<Self> {
        let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let given = options.key.clone().or_else(|| variable(KEY_VARIABLE));
        let given = given.map(|text| parse_key(&argument_text(&text)?)).transpose()?;
        let Some(url) = options.server.clone().or_else(|| variable(SERVER_VARIABLE)) else {
            return Ok(match (Self::local(config), given) {
                (Self::Unix { socket, .. }, Some(key)) => {
                    Self::Unix { socket, key: Some(key), missing: None }
                }
                (local, _) => local,
            });
        };
        let (authority, scheme) = parse(&url)?;
        let key = match given {
            Some(key) => Some(key),
            // The service's own key is sent to the service, never to another machine.
            None if is_loopback(&authority) => match admin_key::read(config) {
                Ok(key) => Some(key),
                // Health needs none, and whoever may not read it may have another one.
                Err(AdminKeyError::Read { .. }) => None,
                Err(error) => {
                    return Err(ConsoleError::KeyMissing {
                        reason: ErrorChain(&error).to_string(),
                    });
                }
            },
            None => None,
        };
        let connector = connector(&authority, scheme, options.ca.as_ref())?;
        Ok(Self::Tcp { authority, key, connector })
    }
}

fn parse_key(text: &str) -> Result<Token> {
    let wrong = || ConsoleError::Usage("the key has not the form of one".to_owned());
    Token::parse(text.trim()).ok_or_else(wrong)
}

/// `https://HOST[:PORT]`, or `http://HOST:PORT` of a loopback address: a key must not travel in the
/// clear.
fn parse(url: &str) -> Result<(Authority, Scheme)> {
    let refuse = |reason: &str| ConsoleError::Usage(format!("--server {url}: {reason}"));
    let (rest, scheme) = match url.strip_prefix("https://") {
        Some(rest) => (rest, Scheme::HTTPS),
        None => (url.strip_prefix("http://").unwrap_or(url), Scheme::HTTP),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let address = "https://HOST or http://HOST:PORT is needed";
    let parsed: Result<Authority, _> = rest.parse();
    let authority = parsed.map_err(|_| refuse(address))?;
    let port_missing = scheme == Scheme::HTTP && authority.port_u16().is_none();
    if authority.as_str().contains('@') || port_missing {
        return Err(refuse(address));
    }
    if scheme == Scheme::HTTP && !is_loopback(&authority) {
        return Err(refuse(
            "a key would travel in the clear; say https://, or reach it by \
             `ssh -L 8420:localhost:8420`",
        ));
    }
    Ok((authority, scheme))
}

/// The host, without the brackets of an IPv6 address.
fn host(authority: &Authority) -> &str {
    authority.host().trim_start_matches('[').trim_end_matches(']')
}

fn is_loopback(authority: &Authority) -> bool {
    let host = host(authority);
    host == "localhost"
        || host.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_reached_without_tls() {
        for url in
            ["http://127.0.0.1:8420", "http://127.8.8.8:1/", "localhost:80", "http://[::1]:8420"]
        {
            assert_eq!(parse(url).unwrap().1, Scheme::HTTP, "{url}");
        }
        for url in ["https://agents.example.org", "https://10.0.0.1:8420/", "https://[::1]:1"] {
            assert_eq!(parse(url).unwrap().1, Scheme::HTTPS, "{url}");
        }
        for url in [
            "http://10.0.0.1:80",
            "http://localhost",
            "https://",
            "https://a@localhost",
            "ftp://localhost:80",
            "http://localhost.evil.example:80",
            "http://a@localhost:80",
            "http://localhost:80/api",
            "",
        ] {
            let refused = parse(url).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("--server {url}: ")), "{refused}");
        }
    }
}
