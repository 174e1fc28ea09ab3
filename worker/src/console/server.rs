//! Which worker the command line speaks to, and what it shows there.

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use evonic_shared::config::Config;
use http::uri::Authority;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio_rustls::TlsConnector;

use super::{command::ServerOptions, error::ConsoleError};
use crate::lifecycle::first_key;
use evonic_domain::Token;

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
        /// For `https://`: whom to trust.
        trust: Option<Trust>,
    },
}

/// Whose certificates are believed, and for which name.
#[derive(Clone)]
pub(super) struct Trust {
    /// The library's settings.
    pub(super) connector: TlsConnector,
    /// The name that the certificate must be for.
    pub(super) name: ServerName<'static>,
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Trust {
    /// Trusts the authorities of a file, else the system's.
    fn of(authority: &Authority, file: Option<&PathBuf>) -> Result<Self, ConsoleError> {
        let refuse = |why: String| ConsoleError::Usage(format!("--ca: {why}"));
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(match file {
            None => rustls_native_certs::load_native_certs().certs,
            Some(file) => {
                let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
                read.map_err(|error| refuse(format!("{}: {error}", file.display())))?
            }
        });
        if roots.is_empty() {
            return Err(refuse("no certificate of an authority is there".to_owned()));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| refuse(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let host = bare(authority).to_owned();
        let name = ServerName::try_from(host).map_err(|error| refuse(error.to_string()))?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }
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
        let (authority, secure) = parse(&named)?;
        let given = options.key.clone().or_else(|| variable(KEY));
        let text = match given {
            Some(text) => Some(super::resources::text_of(&text)?),
            // The service's own key is shown to the service, never to another machine.
            None if is_loopback(&authority) => {
                std::fs::read_to_string(config.state_dir.join(first_key::FILE)).ok()
            }
            None => None,
        };
        let key = text.map(|text| {
            Token::parse(text.trim())
                .ok_or_else(|| ConsoleError::Usage("the key has not the form of one".to_owned()))
        });
        let trust = secure.then(|| Trust::of(&authority, options.ca.as_ref())).transpose()?;
        Ok(Self::Tcp { authority, key: key.transpose()?, trust })
    }
}

/// `https://HOST[:PORT]`, or `http://HOST:PORT` of a loopback address: a key must not travel in the
/// clear. The second is whether it is the first.
fn parse(named: &str) -> Result<(Authority, bool), ConsoleError> {
    let refuse = |why: &str| ConsoleError::Usage(format!("--server {named}: {why}"));
    let (rest, secure) = match named.strip_prefix("https://") {
        Some(rest) => (rest, true),
        None => (named.strip_prefix("http://").unwrap_or(named), false),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let address = "https://HOST or http://HOST:PORT is needed";
    let parsed: Result<Authority, _> = rest.parse();
    let authority = parsed.map_err(|_| refuse(address))?;
    if authority.as_str().contains('@') || !secure && authority.port_u16().is_none() {
        return Err(refuse(address));
    }
    if !secure && !is_loopback(&authority) {
        return Err(refuse(
            "a key would travel in the clear; say https://, or reach it by \
             `ssh -L 8420:localhost:8420`",
        ));
    }
    Ok((authority, secure))
}

/// The host, without the brackets of an IPv6 address.
fn bare(authority: &Authority) -> &str {
    authority.host().trim_start_matches('[').trim_end_matches(']')
}

fn is_loopback(authority: &Authority) -> bool {
    let host = bare(authority);
    host == "localhost"
        || host.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_spoken_to_in_the_clear() {
        for named in
            ["http://127.0.0.1:8420", "http://127.8.8.8:1/", "localhost:80", "http://[::1]:8420"]
        {
            assert!(!parse(named).unwrap().1, "{named}");
        }
        for named in ["https://agents.example.org", "https://10.0.0.1:8420/", "https://[::1]:1"] {
            assert!(parse(named).unwrap().1, "{named}");
        }
        for named in [
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
            let refused = parse(named).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("--server {named}: ")), "{refused}");
        }
    }
}
