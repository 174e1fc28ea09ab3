//! TLS clients for HTTP/1.1: whom they trust, and what they show.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use tokio_rustls::TlsConnector;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("no certificate authority is installed: install ca-certificates, or set SSL_CERT_FILE")]
    NoAuthority(#[source] Option<rustls_native_certs::Error>),
    #[error("{}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{}", path.display())]
    Pem {
        path: PathBuf,
        #[source]
        source: pem::Error,
    },
    #[error("{}: it has no certificate that can be used", path.display())]
    NoCertificate { path: PathBuf },
    /// The own certificate and key do not fit together.
    #[error("{}", path.display())]
    Identity {
        path: PathBuf,
        #[source]
        source: rustls::Error,
    },
    #[error("TLS cannot be set up")]
    Library(#[source] rustls::Error),
}

/// The authorities of whom a server's certificate may be. At least one; certificates that cannot be
/// used are passed over.
#[derive(Clone, Debug)]
pub struct Authorities(RootCertStore);

impl Authorities {
    /// Those that the system trusts: of `SSL_CERT_FILE` and `SSL_CERT_DIR` where they are set, else
    /// what is installed. Reads files, and keeps none open.
    ///
    /// # Errors
    /// [`TlsError::NoAuthority`].
    pub fn system() -> Result<Self, TlsError> {
        let mut found = rustls_native_certs::load_native_certs();
        Self::of(found.certs).ok_or_else(|| TlsError::NoAuthority(found.errors.pop()))
    }

    /// Those of a PEM file.
    ///
    /// # Errors
    /// [`TlsError::Read`], [`TlsError::Pem`], [`TlsError::NoCertificate`].
    pub fn read(path: &Path) -> Result<Self, TlsError> {
        let authorities = Self::of(certificates(path)?);
        authorities.ok_or_else(|| TlsError::NoCertificate { path: path.to_owned() })
    }

    /// None when no certificate can be used.
    #[must_use]
    pub fn of(certificates: Vec<CertificateDer<'static>>) -> Option<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        (!roots.is_empty()).then_some(Self(roots))
    }
}

/// What a client shows of itself.
#[derive(Debug)]
pub struct Identity {
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    /// Of the certificates.
    path: PathBuf,
}

impl Identity {
    /// A chain of certificates and its key, from two PEM files.
    ///
    /// # Errors
    /// [`TlsError::Read`], [`TlsError::Pem`].
    pub fn read(path: &Path, key: &Path) -> Result<Self, TlsError> {
        let certificates = certificates(path)?;
        let key = PrivateKeyDer::from_pem_slice(&content(key)?)
            .map_err(|source| TlsError::Pem { path: key.to_owned(), source })?;
        Ok(Self { certificates, key, path: path.to_owned() })
    }
}

/// A client that trusts these authorities.
///
/// # Errors
/// [`TlsError::Identity`], [`TlsError::Library`].
pub fn client(
    authorities: Authorities,
    identity: Option<Identity>,
) -> Result<TlsConnector, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Library)?
        .with_root_certificates(authorities.0);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificates, key, path }) => builder
            .with_client_auth_cert(certificates, key)
            .map_err(|source| TlsError::Identity { path, source })?,
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_slice_iter(&content(path)?).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if found.is_empty() => Err(TlsError::NoCertificate { path: path.to_owned() }),
        Ok(found) => Ok(found),
        Err(source) => Err(TlsError::Pem { path: path.to_owned(), source }),
    }
}

fn content(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_trusts_is_found() {
        let trust = Authorities::system();
        assert!(trust.is_ok(), "{:?}", trust.err());
    }

    #[test]
    fn a_file_without_a_certificate_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "no certificate").expect("written");
        let error = Authorities::read(file.path()).expect_err("it has none").to_string();
        assert!(error.starts_with(&file.path().display().to_string()), "{error}");
    }
}
