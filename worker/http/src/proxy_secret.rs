//! What a trusted proxy shows to be believed.

use std::{fmt, io, path::Path};

use http::{HeaderMap, HeaderName};
use subtle::ConstantTimeEq;

/// The fewest and the most characters.
const LENGTH: std::ops::RangeInclusive<usize> = 16..=256;

/// The most bytes of its file.
const MAX_FILE_BYTES: u64 = 1024;

/// A secret of this server and its proxies.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ProxySecret(String);

impl ProxySecret {
    /// Where a proxy shows it. No handler sees it.
    pub(super) const HEADER: HeaderName = HeaderName::from_static("x-evonic-proxy-secret");

    /// Reads a file; white space around the secret does not count.
    ///
    /// # Errors
    /// When it cannot be read, is no regular file of at most 1 KiB, or holds no secret.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let file = std::fs::metadata(path)?;
        if !file.is_file() || file.len() > MAX_FILE_BYTES {
            return Err(invalid("it is no regular file of at most 1 KiB"));
        }
        let text = std::fs::read_to_string(path)?;
        Self::new(text.trim())
            .ok_or_else(|| invalid("it is not one line of 16 to 256 visible ASCII characters"))
    }

    pub(super) fn new(text: &str) -> Option<Self> {
        let is_sound = LENGTH.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        is_sound.then(|| Self(text.to_owned()))
    }

    /// Whether a request shows it, and nothing beside it.
    pub(super) fn stands_in(&self, headers: &HeaderMap) -> bool {
        let mut shown = headers.get_all(Self::HEADER).iter();
        match (shown.next(), shown.next()) {
            (Some(shown), None) => shown.as_bytes().ct_eq(self.0.as_bytes()).into(),
            _ => false,
        }
    }
}

impl fmt::Debug for ProxySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxySecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_long_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for (text, sound) in [
            ("0123456789abcdef\n", true),
            (" 0123456789abcdef ", true),
            (&"x".repeat(256), true),
            (&"x".repeat(257), false),
            ("0123456789abcde", false),
            ("0123456789\nabcdef", false),
            ("0123456789abcdé", false),
            (&"x".repeat(2000), false),
            ("", false),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(ProxySecret::read(&path).is_ok(), sound, "{text:?}");
        }
        assert!(ProxySecret::read(folder.path()).is_err());
        let shown = format!("{:?}", ProxySecret::new("0123456789abcdef").unwrap());
        assert_eq!(shown, "ProxySecret(..)");
    }
}
