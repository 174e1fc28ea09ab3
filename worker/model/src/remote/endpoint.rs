//! Where an endpoint is, from its configured address.

use evonic_net::Peer;
use evonic_shared::config::ModelKind;
use http::{HeaderValue, Uri};
use sha2::{Digest, Sha256};

use crate::AddressError;

/// Of a hash, enough to tell endpoints apart.
const IDENTITY_BYTES: usize = 16;

/// An endpoint's address, taken apart.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// Whether it is `https`.
    pub(super) secure: bool,
    pub(super) peer: Peer,
    /// The header `Host`.
    pub(super) host: HeaderValue,
    /// Where replies are asked for.
    pub(super) path: Uri,
    /// Where the endpoint lists its models.
    pub(super) models_path: Uri,
    /// Where it counts tokens; only Messages does.
    pub(super) count_path: Option<Uri>,
}

impl Endpoint {
    /// Takes `base_url` apart; the parameters follow each path.
    ///
    /// # Errors
    /// [`AddressError`].
    pub(super) fn new(
        base_url: &str,
        kind: ModelKind,
        query: &[String],
    ) -> Result<Self, AddressError> {
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
        let base = uri.path().trim_end_matches('/');
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        let path = |name: &str| format!("{base}/{name}{query}").parse::<Uri>();
        Ok(Self {
            secure,
            peer: Peer { host: bare.to_owned(), port },
            host: HeaderValue::from_str(authority.as_str())?,
            path: path(match kind {
                ModelKind::OpenAi => "chat/completions",
                ModelKind::Anthropic => "messages",
            })?,
            models_path: path("models")?,
            count_path: match kind {
                ModelKind::OpenAi => None,
                ModelKind::Anthropic => Some(path("messages/count_tokens")?),
            },
        })
    }

    /// The address that a path of it has, without parameters.
    pub(super) fn address(&self, path: &Uri) -> String {
        let host = self.host.to_str().unwrap_or_default();
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{host}{}", path.path())
    }
}

/// What stands for an endpoint in what is stored: the same for the same kind, address, parameters and
/// model. It shows none of them, for an address may hold what is nobody's business.
pub(super) fn identity(kind: ModelKind, base_url: &str, query: &[String], model: &str) -> String {
    let mut hash = Sha256::new();
    let parts = [kind.name(), base_url.trim_end_matches('/'), model];
    for part in parts.into_iter().chain(query.iter().map(String::as_str)) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let hex = hash.finalize().into_iter().take(IDENTITY_BYTES).map(|byte| format!("{byte:02x}"));
    hex.collect()
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
            let endpoint = Endpoint::new(base_url, ModelKind::OpenAi, &[]).unwrap();
            assert_eq!(endpoint.secure, secure);
            assert_eq!((endpoint.peer.host.as_str(), endpoint.peer.port), (host, port));
            assert_eq!(endpoint.host, header);
            assert_eq!(endpoint.path.to_string(), format!("{path}/chat/completions"));
        }
    }

    #[test]
    fn each_kind_has_its_paths_and_parameters_follow() {
        let query = ["api-version=1".to_owned(), "b=2".to_owned()];
        let endpoint = Endpoint::new("https://h/v1/", ModelKind::Anthropic, &query).unwrap();
        assert_eq!(endpoint.path, "/v1/messages?api-version=1&b=2");
        assert_eq!(endpoint.count_path.as_ref().unwrap().path(), "/v1/messages/count_tokens");
        assert_eq!(endpoint.models_path, "/v1/models?api-version=1&b=2");
        assert_eq!(endpoint.address(&endpoint.path), "https://h/v1/messages");
    }

    #[test]
    fn what_is_stored_of_an_endpoint_tells_it_apart_and_shows_nothing() {
        let query = ["token=secret".to_owned()];
        let own = identity(ModelKind::OpenAi, "https://secret.example/v1", &query, "gpt");
        assert_eq!(own.len(), 32);
        assert!(own.bytes().all(|b| b.is_ascii_hexdigit()), "{own}");
        assert_eq!(own, identity(ModelKind::OpenAi, "https://secret.example/v1/", &query, "gpt"));
        for other in [
            identity(ModelKind::Anthropic, "https://secret.example/v1", &query, "gpt"),
            identity(ModelKind::OpenAi, "https://secret.example/v2", &query, "gpt"),
            identity(ModelKind::OpenAi, "https://secret.example/v1", &[], "gpt"),
            identity(ModelKind::OpenAi, "https://secret.example/v1", &query, "gpt-5"),
        ] {
            assert_ne!(own, other);
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
            let error = Endpoint::new(base_url, ModelKind::OpenAi, &[]).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }
}
