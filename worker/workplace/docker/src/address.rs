//! Where an engine is.

use evonic_backend::{Result, WorkplaceError};
use std::path::PathBuf;

use evonic_domain::DockerSettings;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Address {
    Unix(PathBuf),
    /// A TCP port, with TLS.
    Tcp {
        /// A name, or an address without brackets.
        host: String,
        port: u16,
        /// The folder of `ca.pem`, `cert.pem` and `key.pem`.
        certificates: PathBuf,
    },
}

impl Address {
    /// The address in the settings of a workplace; the configuration's when it has none.
    ///
    /// # Errors
    /// [`WorkplaceError::Settings`].
    pub(super) fn of(
        settings: &DockerSettings,
        config: &evonic_shared::config::Docker,
    ) -> Result<Self> {
        let text = settings.engine.as_ref().unwrap_or(&config.engine);
        let certificates = settings.cert_path.as_ref().or(config.cert_path.as_ref());
        Self::parse(text, certificates.cloned())
            .map_err(|problem| WorkplaceError::settings("settings.engine", problem))
    }

    /// Reads `unix:///PATH`, or `tcp://HOST:PORT` with its certificates; the error is for the operator.
    pub(super) fn parse(text: &str, certificates: Option<PathBuf>) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix://") {
            if path.starts_with('/') && !path.contains('\0') {
                return Ok(Self::Unix(path.into()));
            }
            return Err(format!("{text:?} has no whole path; write unix:///PATH"));
        }
        let Some(peer) = text.strip_prefix("tcp://") else {
            return Err(format!("{text:?} is neither unix:///PATH nor tcp://HOST:PORT"));
        };
        let (host, port) = peer.rsplit_once(':').unwrap_or((peer, ""));
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().ok().filter(|&port: &u16| port != 0);
        let sound = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
        let (Some(port), true) = (port, !host.is_empty() && host.chars().all(sound)) else {
            return Err(format!("{text:?} needs a host and a port: tcp://HOST:PORT"));
        };
        let Some(certificates) = certificates else {
            return Err(format!(
                "{text:?} needs cert_path, the folder of ca.pem, cert.pem and key.pem: an engine \
                 without TLS gives root to whoever reaches it"
            ));
        };
        Ok(Self::Tcp { host: host.to_owned(), port, certificates })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port, .. } if host.contains(':') => {
                write!(f, "tcp://[{host}]:{port}")
            }
            Self::Tcp { host, port, .. } => write!(f, "tcp://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in ["unix:///run/docker.sock", "tcp://engine:2376", "tcp://[::1]:2376"] {
            assert_eq!(Address::parse(text, Some("/c".into())).unwrap().to_string(), text);
        }
        for text in [
            "",
            "unix://run",
            "docker.sock",
            "tcp://engine",
            "tcp://:1",
            "tcp://e:0",
            "http://e:1",
            "tcp://e/x:1",
        ] {
            let problem = Address::parse(text, Some("/c".into())).unwrap_err();
            assert!(problem.contains(&format!("{text:?}")), "{problem}");
        }
        let problem = Address::parse("tcp://engine:2376", None).unwrap_err();
        assert!(problem.contains("cert_path"), "{problem}");
    }
}
