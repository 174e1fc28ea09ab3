//! Where an endpoint is, from its configured address.

use evonic_net::Peer;
use http::{HeaderValue, Uri};

use crate::AddressError;

/// An endpoint's address, taken apart.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// Whether it is `https`.
    pub(super) secure: bool,
    pub(super) peer: Peer,
    /// The header `Host`.
    pub(super) host: HeaderValue,
    /// Of the Chat Completions.
    pub(super) path: Uri,
}

impl Endpoint {
    /// Takes `base_url` apart.
    ///
    /// # Errors
    /// [`AddressError`].
    pub(super) fn new(base_url: &str) -> Result<Self, AddressError> {
        let uri: Uri = base_url.parse()?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(AddressError::Scheme),
        };
        let authority = uri.authority().ok_or(AddressError::Scheme)?;
        if authority.as_str().contains('@') {
            return Err(AddressError::User);
        }
        if uri.query().is_some() {
            return Err(AddressError::Query);
        }
        let host = authority.host();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        Ok(Self {
            secure,
            peer: Peer { host: bare.to_owned(), port },
            host: HeaderValue::from_str(authority.as_str())?,
            path: format!("{}/chat/completions", uri.path().trim_end_matches('/')).parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        for (base_url, secure, host, port, header, path) in [
            ("https://api.openai.com/v1", true, "api.openai.com", 443, "api.openai.com", "/v1"),
            ("http://127.0.0.1:1234/v1/", false, "127.0.0.1", 1234, "127.0.0.1:1234", "/v1"),
            ("http://[::1]:80", false, "::1", 80, "[::1]:80", ""),
            ("https://gate/a/b/v4", true, "gate", 443, "gate", "/a/b/v4"),
        ] {
            let endpoint = Endpoint::new(base_url).unwrap();
            assert_eq!(endpoint.secure, secure);
            assert_eq!((endpoint.peer.host.as_str(), endpoint.peer.port), (host, port));
            assert_eq!(endpoint.host, header);
            assert_eq!(endpoint.path.to_string(), format!("{path}/chat/completions"));
        }
    }

    #[test]
    fn a_wrong_address_is_refused_without_repeating_it() {
        for base_url in [
            "api.openai.com/v1",
            "ftp://secret/v1",
            "",
            "https://user:secret@host/v1",
            "https://host/v1?key=secret",
            "https://",
        ] {
            let error = Endpoint::new(base_url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }
}
