//! An endpoint's key: read once, sent, and never shown.

use std::{fmt, io, path::Path};

use evonic_shared::config::KeySource;
use http::{HeaderName, HeaderValue, header};

use crate::ModelError;

/// The most bytes of a file that holds a key.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// What stands where the key stood.
const REDACTED: &str = "[key]";

/// The beginning of a key that counts as the key when a text ends with it: less is the part that
/// says whose key it is.
const MIN_PART_BYTES: usize = 8;

/// A key. It has no `Display`, and its `Debug` does not show it.
pub(super) struct Key {
    text: String,
    /// The header that carries it, marked as sensitive.
    pub(super) name: HeaderName,
    pub(super) header: HeaderValue,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// Reads a key where the configuration says. White space around it does not count.
    ///
    /// # Errors
    /// [`ModelError::Key`] when it is not there, empty, or cannot be sent in a header.
    pub(super) fn read(
        model: &str,
        source: &KeySource,
        header: Option<&str>,
    ) -> Result<Self, ModelError> {
        let (key, origin, text) = match source {
            KeySource::Env(name) => {
                ("key_env", format!("environment variable {name}"), from_variable(name))
            }
            KeySource::File(path) => ("key_file", path.display().to_string(), from_file(path)),
            KeySource::Credential(name) => {
                ("key_credential", format!("credential {name}"), from_credential(name))
            }
        };
        text.and_then(|text| Self::new(text.trim(), header)).map_err(|source| ModelError::Key {
            model: model.to_owned(),
            origin: format!("{origin} (models.{model}.{key})"),
            source: Some(source),
        })
    }

    /// Sent as it is in this header, else as a bearer's.
    pub(super) fn new(text: &str, header: Option<&str>) -> io::Result<Self> {
        if text.is_empty() {
            return Err(invalid("it is empty"));
        }
        let (name, value) = match header {
            None => (Ok(header::AUTHORIZATION), format!("Bearer {text}")),
            Some(name) => (name.parse(), text.to_owned()),
        };
        let name = name.map_err(|_| invalid("its header has no name that can be sent"))?;
        let mut header = HeaderValue::from_str(&value)
            .map_err(|_| invalid("it has characters that no header may have"))?;
        header.set_sensitive(true);
        Ok(Self { text: text.to_owned(), name, header })
    }

    /// A text of others, in which the key does not stand any more; neither does a part of it that
    /// was cut off by the text's end.
    pub(super) fn redact(&self, text: &str) -> String {
        let mut redacted = text.replace(&self.text, REDACTED);
        let part =
            |&length: &usize| self.text.get(..length).is_some_and(|part| redacted.ends_with(part));
        if let Some(length) = (MIN_PART_BYTES..self.text.len()).rev().find(part) {
            redacted.truncate(redacted.len() - length);
            redacted.push_str(REDACTED);
        }
        redacted
    }
}

fn from_variable(name: &str) -> io::Result<String> {
    std::env::var(name).map_err(|error| match error {
        std::env::VarError::NotPresent => io::Error::new(io::ErrorKind::NotFound, "it is not set"),
        std::env::VarError::NotUnicode(_) => invalid("it is no UTF-8"),
    })
}

fn from_file(path: &Path) -> io::Result<String> {
    let file = std::fs::metadata(path)?;
    if !file.is_file() || file.len() > MAX_FILE_BYTES {
        return Err(invalid("it is no regular file of at most 64 KiB"));
    }
    std::fs::read_to_string(path)
}

/// See `CREDENTIALS_DIRECTORY` in systemd.exec(5).
fn from_credential(name: &str) -> io::Result<String> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
        let message =
            format!("the service has no credentials; add LoadCredential={name}:FILE to its unit");
        io::Error::new(io::ErrorKind::NotFound, message)
    })?;
    credential(Path::new(&folder), name)
}

fn credential(folder: &Path, name: &str) -> io::Result<String> {
    if name.contains('/') || matches!(name, "" | "." | "..") {
        return Err(invalid("a credential's name is no path"));
    }
    let path = folder.join(name);
    from_file(&path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use evonic_shared::error_chain::ErrorChain;

    use super::*;

    fn read(source: KeySource) -> Result<Key, String> {
        Key::read("gpt", &source, None).map_err(|error| ErrorChain(&error).to_string())
    }

    #[test]
    fn a_key_comes_from_a_variable_a_file_or_a_credential() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("openai");
        std::fs::write(&path, "  sk-secret\n\n").unwrap();
        assert_eq!(read(KeySource::File(path.clone())).unwrap().text, "sk-secret");
        assert_eq!(credential(folder.path(), "openai").unwrap().trim(), "sk-secret");
        assert!(credential(folder.path(), "../openai").is_err());
        let missing = credential(folder.path(), "missing").unwrap_err().to_string();
        assert!(missing.contains(&format!("{}/missing: No such", folder.path().display())));
        let path_variable = std::env::var("PATH").unwrap();
        assert_eq!(read(KeySource::Env("PATH".to_owned())).unwrap().text, path_variable);
    }

    #[test]
    fn a_missing_key_is_reported_with_its_origin() {
        let error = read(KeySource::Env("EVONIC_NO_SUCH".to_owned())).unwrap_err();
        assert_eq!(
            error,
            "key of model gpt cannot be read from environment variable EVONIC_NO_SUCH \
             (models.gpt.key_env): it is not set"
        );
        let error = read(KeySource::File("/no/such/file".into())).unwrap_err();
        assert!(error.contains("/no/such/file (models.gpt.key_file): No such file"), "{error}");
        let error = read(KeySource::File("/dev/zero".into())).unwrap_err();
        assert!(error.contains("no regular file"), "{error}");
    }

    #[test]
    fn what_no_header_may_have_is_refused_without_showing_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for text in ["", " \n ", "sk-secret\nsk-secret2", "sk-secret\u{0}"] {
            std::fs::write(&path, text).unwrap();
            let error = read(KeySource::File(path.clone())).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        let key = Key::new("sk-secret", None).unwrap();
        let shown = format!("{key:?} {:?}", key.header);
        assert!(!shown.contains("secret"), "{shown}");
        assert_eq!(key.redact("no sk-secret, sk-secret!"), "no [key], [key]!");
        assert_eq!(key.redact("sk-secret and sk-secre"), "[key] and [key]");
        assert_eq!(key.redact("this is sk-"), "this is sk-");
    }
}
