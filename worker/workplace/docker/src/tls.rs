//! The keys of an engine behind TLS.

use evonic_backend::{Result, WorkplaceError};
use std::path::Path;

use evonic_net::{Authorities, Identity, TlsConnector, TlsError};
use evonic_shared::error_chain::ErrorChain;

/// Reads `ca.pem`, `cert.pem` and `key.pem`: the engine must be signed by the first, and is shown
/// the other two.
///
/// # Errors
/// [`WorkplaceError::Settings`] that names the file.
pub(super) fn client(folder: &Path) -> Result<TlsConnector> {
    let made = || -> Result<TlsConnector, TlsError> {
        let authorities = Authorities::read(&folder.join("ca.pem"))?;
        let identity = Identity::read(&folder.join("cert.pem"), &folder.join("key.pem"))?;
        evonic_net::client(authorities, Some(identity))
    };
    made().map_err(|error| {
        WorkplaceError::settings("settings.cert_path", ErrorChain(&error).to_string())
    })
}
