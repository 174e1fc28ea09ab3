//! Secrets: read when they are needed, never kept, never shown.

use std::{io::Read, path::Path};

use evonic_backend::{Result, WorkplaceError};
use evonic_domain::SecretSource;

/// A secret. Its [`Debug`] says nothing, and it has no `Display`.
pub(super) struct Secret(String);

impl Secret {
    /// The secret itself, for the one call that needs it.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// No password or passphrase is longer.
const LIMIT_BYTES: u64 = 64 << 10;

/// Reads a secret from where it is. `field` is the setting that names it. Line ends around a
/// file's or credential's content are no part of it, nor is other white space.
///
/// # Errors
/// [`WorkplaceError::Settings`] that names the field and the place, never the content.
pub(super) fn read(source: &SecretSource, field: &str) -> Result<Secret> {
    let invalid = |problem: String| WorkplaceError::settings(field, problem);
    match source {
        SecretSource::Env(name) => match std::env::var(name) {
            Ok(value) if !value.is_empty() => Ok(Secret(value)),
            Ok(_) => Err(invalid(format!("the service's variable {name} is empty"))),
            Err(std::env::VarError::NotPresent) => {
                Err(invalid(format!("the service's environment has no variable {name}")))
            }
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(invalid(format!("the service's variable {name} is no UTF-8")))
            }
        },
        SecretSource::File(path) => from_file(path, field),
        SecretSource::Credential(name) => {
            if name.is_empty() || name.contains('/') || name.starts_with('.') {
                return Err(invalid(format!("{name:?} is no name of a credential")));
            }
            let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY") else {
                return Err(invalid(format!(
                    "the service has no credentials; add LoadCredential={name}:FILE to its unit"
                )));
            };
            from_file(&Path::new(&folder).join(name), field)
        }
    }
}

fn from_file(path: &Path, field: &str) -> Result<Secret> {
    let invalid =
        |problem: String| WorkplaceError::settings(field, format!("{}: {problem}", path.display()));
    let text = read_text(path, LIMIT_BYTES).map_err(|error| invalid(error.to_string()))?;
    match text.trim() {
        "" => Err(invalid("is empty".to_owned())),
        secret => Ok(Secret(secret.to_owned())),
    }
}

/// A small text file whole. Holds one descriptor for that long.
///
/// # Errors
/// The operating system's; or that it is no regular file, too large, or no UTF-8.
pub(super) fn read_text(path: &Path, limit_bytes: u64) -> std::io::Result<String> {
    use std::io::{Error, ErrorKind};
    let bytes = read_bytes(path, limit_bytes)?;
    String::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::InvalidData, "is no UTF-8"))
}

/// A small file whole. Holds one descriptor for that long.
///
/// # Errors
/// The operating system's; or that it is no regular file, or too large.
#[expect(clippy::disallowed_methods, reason = "a small file of the service's, closed at once")]
pub(super) fn read_bytes(path: &Path, limit_bytes: u64) -> std::io::Result<Vec<u8>> {
    use std::io::{Error, ErrorKind};
    // A pipe or a device would hold up the thread.
    if !std::fs::metadata(path)?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "is no regular file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(limit_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit_bytes {
        return Err(Error::new(ErrorKind::FileTooLarge, "is too large"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_without_its_white_space_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        std::fs::write(&path, " marker-4711 \r\n").unwrap();
        let secret = read(&SecretSource::File(path), "settings.password").unwrap();
        assert_eq!(secret.expose(), "marker-4711");
        assert_eq!(format!("{secret:?}"), "Secret");
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty");
        std::fs::write(&empty, "\n").unwrap();
        for (source, told) in [
            (SecretSource::Env("EVONIC_NO_SUCH_VARIABLE".into()), "EVONIC_NO_SUCH_VARIABLE"),
            (SecretSource::File(folder.path().join("none")), "none: "),
            (SecretSource::File(folder.path().into()), "is no regular file"),
            (SecretSource::File(empty), "is empty"),
            (SecretSource::Credential("../x".into()), "no name of a credential"),
        ] {
            let error = read(&source, "settings.password").unwrap_err().to_string();
            assert!(error.starts_with("settings.password: ") && error.contains(told), "{error}");
        }
    }
}
