//! Public keys and certificates of users, as they stand in files beside private keys.

use std::path::{Path, PathBuf};

use base64::{Engine, engine::general_purpose};

use crate::secret;

/// No such file is larger.
const LIMIT_BYTES: u64 = 64 << 10;

/// A public key as SSH sends it, without its comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublicKey(pub(super) Vec<u8>);

/// Where the private half of a key file is: `key` for `key` and for `key.pub`.
pub(super) fn private_path(path: &Path) -> PathBuf {
    match path.extension() {
        Some(extension) if extension == "pub" => path.with_extension(""),
        _ => path.to_owned(),
    }
}

/// A path with more at its end: `key` and `-cert.pub`.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut path = path.to_owned().into_os_string();
    path.push(end);
    path.into()
}

impl PublicKey {
    /// The public half of a key file: that file when its name ends with `.pub`, else the one beside
    /// it, else what the private key says of it.
    pub(super) fn of_file(path: &Path) -> Option<Self> {
        let private = private_path(path);
        let text = secret::read_text(&beside(&private, ".pub"), LIMIT_BYTES).ok();
        text.and_then(|text| Self::of_line(&text)).or_else(|| {
            let text = secret::read_text(&private, LIMIT_BYTES).ok()?;
            Self::of_private(&text)
        })
    }

    /// `ssh-ed25519 AAAA... comment`.
    pub(super) fn of_line(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (kind, key) = (words.next()?, words.next()?);
        let key = Self(general_purpose::STANDARD.decode(key).ok()?);
        (Fields(&key.0).string()? == kind.as_bytes()).then_some(key)
    }

    /// The public half that OpenSSH's format keeps in the clear: after the magic, the cipher, the
    /// derivation of its key and the number of keys.
    fn of_private(text: &str) -> Option<Self> {
        let (_, body) = text.split_once("-----BEGIN OPENSSH PRIVATE KEY-----")?;
        let (body, _) = body.split_once("-----END")?;
        let body: String = body.split_ascii_whitespace().collect();
        let body = general_purpose::STANDARD.decode(body).ok()?;
        let mut fields = Fields(body.strip_prefix(b"openssh-key-v1\0")?);
        for _ in 0..3 {
            fields.string()?;
        }
        fields.u32()?;
        fields.string().map(|key| Self(key.to_vec()))
    }
}

/// A certificate (PROTOCOL.certkeys), as far as it says for whom and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    principals: Vec<String>,
    /// Seconds since 1970.
    valid_after: u64,
    valid_before: u64,
}

impl Certificate {
    /// `ssh-ed25519-cert-v01@openssh.com AAAA... comment`, and the public key that it is for.
    pub(super) fn of_line(line: &str) -> Option<(Self, PublicKey)> {
        let PublicKey(bytes) = PublicKey::of_line(line)?;
        let mut fields = Fields(&bytes);
        let kind = std::str::from_utf8(fields.string()?).ok()?;
        let kind = kind.strip_suffix("-cert-v01@openssh.com")?;
        let _nonce = fields.string()?;
        let parts = match kind {
            "ssh-ed25519" => 1,
            "ssh-rsa" => 2,
            kind if kind.starts_with("ecdsa-") => 2,
            _ => return None,
        };
        let mut key = Vec::new();
        let mut put = |part: &[u8]| {
            key.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            key.extend_from_slice(part);
        };
        put(kind.as_bytes());
        for _ in 0..parts {
            put(fields.string()?);
        }
        let (_serial, _kind, _id) = (fields.u64()?, fields.u32()?, fields.string()?);
        let mut names = Fields(fields.string()?);
        let mut principals = Vec::new();
        while !names.0.is_empty() {
            principals.push(String::from_utf8_lossy(names.string()?).into_owned());
        }
        let (valid_after, valid_before) = (fields.u64()?, fields.u64()?);
        Some((Self { principals, valid_after, valid_before }, PublicKey(key)))
    }

    /// Why no server accepts it for this user at this time, in seconds since 1970.
    pub(super) fn problem(&self, user: &str, now: u64) -> Option<String> {
        if now >= self.valid_before {
            return Some(format!("expired {}", ago(now - self.valid_before)));
        }
        if now < self.valid_after {
            return Some("is not valid yet".to_owned());
        }
        let is_for = self.principals.is_empty() || self.principals.iter().any(|name| name == user);
        (!is_for).then(|| format!("is for {}, and not for {user}", self.principals.join(", ")))
    }
}

/// `2 days ago`.
fn ago(seconds: u64) -> String {
    match seconds {
        0..=120 => format!("{seconds} s ago"),
        121..=7200 => format!("{} minutes ago", seconds / 60),
        7201..=172_800 => format!("{} hours ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// Fields of SSH (RFC 4251, 5), the next first.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()? as usize;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }

    fn u32(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*bytes))
    }

    fn u64(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "OpenSSH's own tools, run by a test")]

    use std::process::Command;

    use super::*;

    fn keygen(arguments: &[&str], folder: &Path) {
        let mut keygen = Command::new("ssh-keygen");
        let status = keygen.arg("-q").args(arguments).current_dir(folder).status().unwrap();
        assert!(status.success(), "{arguments:?}");
    }

    #[test]
    fn the_public_half_is_found_without_its_file_and_certificates_say_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        keygen(&["-t", "ed25519", "-N", "", "-f", "ca"], folder.path());
        for (kind, phrase) in [("ed25519", "abc12"), ("rsa", ""), ("ecdsa", "")] {
            let path = folder.path().join(kind);
            keygen(&["-t", kind, "-N", phrase, "-f", kind], folder.path());
            let public = PublicKey::of_file(&path).unwrap();
            assert_eq!(PublicKey::of_file(&beside(&path, ".pub")).as_ref(), Some(&public));
            let span = ["-V", "20200101:20200201"];
            let sign =
                ["-s", "ca", "-I", "id", "-n", "me,you", span[0], span[1], &format!("{kind}.pub")];
            keygen(&sign, folder.path());
            let line = std::fs::read_to_string(beside(&path, "-cert.pub")).unwrap();
            let (certificate, key) = Certificate::of_line(&line).unwrap();
            assert_eq!(key, public, "{kind}");
            assert!(certificate.problem("me", 1_900_000_000).unwrap().contains("days ago"));
            assert!(certificate.problem("me", 1_000_000_000).unwrap().contains("not valid yet"));
            let wrong = certificate.problem("her", 1_578_700_000).unwrap();
            assert_eq!(wrong, "is for me, you, and not for her");
            assert_eq!(certificate.problem("me", 1_578_700_000), None);
            std::fs::remove_file(beside(&path, ".pub")).unwrap();
            assert_eq!(PublicKey::of_file(&path), Some(public), "{kind}");
        }
        assert_eq!(PublicKey::of_line("ssh-ed25519 AAAA"), None);
        assert_eq!(Certificate::of_line("x y"), None);
    }
}
