//! Trust: which certificates an endpoint may show.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};
use tokio_rustls::TlsConnector;

/// Why no secure connection can be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The system has no certificates of authorities.
    #[error("no certificate authority is installed: install ca-certificates, or set SSL_CERT_FILE")]
    NoAuthority(#[source] Option<rustls_native_certs::Error>),
    /// The library's algorithms do not fit together.
    #[error("TLS cannot be set up")]
    Library(#[source] rustls::Error),
}

/// Trusts the authorities that the system trusts: `SSL_CERT_FILE` and `SSL_CERT_DIR` where they
/// are set, else what is installed. Reads files, and keeps none open.
///
/// # Errors
/// [`TlsError`].
pub(super) fn system() -> Result<TlsConnector, TlsError> {
    let mut found = rustls_native_certs::load_native_certs();
    trusting(found.certs).map_err(|error| match error {
        TlsError::NoAuthority(None) => TlsError::NoAuthority(found.errors.pop()),
        other => other,
    })
}

/// Trusts these authorities; certificates that cannot be read are passed over.
///
/// # Errors
/// [`TlsError`].
pub(super) fn trusting(
    authorities: Vec<CertificateDer<'static>>,
) -> Result<TlsConnector, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities);
    if roots.is_empty() {
        return Err(TlsError::NoAuthority(None));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Library)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_trusts_is_found() {
        let trust = system();
        assert!(trust.is_ok(), "{:?}", trust.err());
    }
}
