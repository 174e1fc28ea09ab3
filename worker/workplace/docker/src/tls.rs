//! The keys of an engine behind TLS.

use evonic_backend::WorkplaceError;
use std::path::Path;

use evonic_net::{Authorities, Identity, TlsConnector, TlsError};
use evonic_shared::error_chain::ErrorChain;

/// Reads `ca.pem`, `cert.pem` and `key.pem`: the engine must be signed by the first, and is shown
/// the other two.
///
/// # Errors
/// [`WorkplaceError::Settings`] that names the file.
pub(super) fn client(folder: &Path) -> Result<TlsConnector, WorkplaceError> {
    let made = || -> Result<TlsConnector, TlsError> {
        let authorities = Authorities::read(&folder.join("ca.pem"))?;
        let identity = Identity::read(&folder.join("cert.pem"), &folder.join("key.pem"))?;
        evonic_net::client(authorities, Some(identity))
    };
    made().map_err(|error| WorkplaceError::Settings {
        field: "settings.cert_path".to_owned(),
        problem: ErrorChain(&error).to_string(),
    })
}
