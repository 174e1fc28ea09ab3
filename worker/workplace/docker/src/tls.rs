//! The keys of an engine behind TLS.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio_rustls::TlsConnector;

use super::WorkplaceError;

/// Reads `ca.pem`, `cert.pem` and `key.pem`: the engine must be signed by the first, and is shown
/// the other two.
///
/// # Errors
/// [`WorkplaceError::Settings`] that names the file.
pub(super) fn connector(folder: &Path) -> Result<TlsConnector, WorkplaceError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(folder, "ca.pem")? {
        roots.add(certificate).map_err(|error| wrong(folder, "ca.pem", &error))?;
    }
    let own = certificates(folder, "cert.pem")?;
    let key = PrivateKeyDer::from_pem_slice(&content(folder, "key.pem")?)
        .map_err(|error| wrong(folder, "key.pem", &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_root_certificates(roots).with_client_auth_cert(own, key))
        .map_err(|error| wrong(folder, "cert.pem", &error))?;
    Ok(TlsConnector::from(Arc::new(config)))
}

fn certificates(folder: &Path, name: &str) -> Result<Vec<CertificateDer<'static>>, WorkplaceError> {
    let content = content(folder, name)?;
    let found = CertificateDer::pem_slice_iter(&content).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if found.is_empty() => Err(wrong(folder, name, &"it has no certificate")),
        Ok(found) => Ok(found),
        Err(error) => Err(wrong(folder, name, &error)),
    }
}

fn content(folder: &Path, name: &str) -> Result<Vec<u8>, WorkplaceError> {
    std::fs::read(folder.join(name)).map_err(|error| wrong(folder, name, &error))
}

fn wrong(folder: &Path, name: &str, problem: &dyn std::fmt::Display) -> WorkplaceError {
    WorkplaceError::Settings {
        field: "settings.cert_path".to_owned(),
        problem: format!("{}: {problem}", folder.join(name).display()),
    }
}
