//! Keys in files.

use std::path::Path;

use base64::{Engine, engine::general_purpose};
use ssh2::ErrorCode;

use super::attempt::{Attempt, Tried, code};
use crate::secret::{self, Secret};
use evonic_backend::Result;

/// No key file is larger.
const LIMIT_BYTES: u64 = 1 << 20;

/// Tries the key files, in their order. A key is read into memory: libssh2 opens no file.
pub(super) fn try_keys(attempt: &mut Attempt<'_>) -> Result<Tried> {
    let target = attempt.target;
    let passphrase = match &target.passphrase {
        Some(source) => Some(secret::read(source, "settings.passphrase")?),
        None => None,
    };
    let mut said = Vec::new();
    for path in &target.identity_files {
        let told = match secret::read_text(path, LIMIT_BYTES) {
            Err(error) => format!("cannot be read: {error}"),
            Ok(key) => match try_key(attempt, &key, passphrase.as_ref())? {
                Tried::Done(_) => return Ok(Tried::Done(format!("key {}", path.display()))),
                Tried::Partly(said) => return Ok(Tried::Partly(at(path, &said))),
                Tried::Refused(said) => said,
            },
        };
        said.push(at(path, &told));
    }
    Ok(Tried::Refused(match said.is_empty() {
        true => "there is no key file; name one in settings.identity_files".to_owned(),
        false => said.join(", "),
    }))
}

fn at(path: &Path, said: &str) -> String {
    format!("{}: {said}", path.display())
}

fn try_key(attempt: &Attempt<'_>, key: &str, passphrase: Option<&Secret>) -> Result<Tried> {
    let refused = |why: &str| Ok(Tried::Refused(why.to_owned()));
    if !key.contains("PRIVATE KEY-----") {
        return refused("is no private key in PEM or OpenSSH's format");
    }
    let encrypted = is_encrypted(key);
    if encrypted && passphrase.is_none() {
        return refused("is encrypted; set settings.passphrase");
    }
    attempt.set_timeout()?;
    let phrase = passphrase.filter(|_| encrypted).map(Secret::expose);
    let Err(error) =
        attempt.session.userauth_pubkey_memory(&attempt.target.user, None, key, phrase)
    else {
        return Ok(Tried::Done(String::new()));
    };
    match error.code() {
        ErrorCode::Session(code::KEYFILE_AUTH_FAILED | code::FILE) if encrypted => {
            refused("cannot be decrypted; settings.passphrase is another key's")
        }
        ErrorCode::Session(code::KEYFILE_AUTH_FAILED | code::FILE) => {
            refused("cannot be understood: broken, or of a kind that is not supported")
        }
        _ => attempt.judge(&error, "add its public key to authorized_keys there (ssh-copy-id)"),
    }
}

/// Whether a key needs a passphrase: by the header of PEM, or by the cipher's name in OpenSSH's
/// format (`openssh-key-v1`, a NUL, the cipher as a string).
fn is_encrypted(key: &str) -> bool {
    if key.contains("ENCRYPTED") {
        return true;
    }
    if !key.contains("BEGIN OPENSSH PRIVATE KEY") {
        return false;
    }
    let body: String = key.lines().filter(|line| !line.starts_with("-----")).collect();
    // 40 characters are 30 bytes: the magic (15), a length (4), and the cipher's beginning.
    let head = body.get(..40).and_then(|head| general_purpose::STANDARD.decode(head).ok());
    head.is_some_and(|head| head.get(15..23) != Some(b"\0\0\0\x04none"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "OpenSSH's own tools, run by a test")]

    use std::process::Command;

    use super::*;

    #[test]
    fn an_encrypted_key_is_known_by_its_head() {
        let folder = tempfile::tempdir().unwrap();
        for (format, phrase, expected) in [
            ("RFC4716", "", false),
            ("RFC4716", "abc12", true),
            ("PEM", "", false),
            ("PEM", "abc12", true),
        ] {
            let path = folder.path().join(format!("{format}{}", phrase.len()));
            let status = Command::new("ssh-keygen")
                .args(["-q", "-t", "rsa", "-b", "2048", "-m", format, "-N", phrase, "-f"])
                .arg(&path)
                .status()
                .unwrap();
            assert!(status.success());
            let key = std::fs::read_to_string(&path).unwrap();
            assert_eq!(is_encrypted(&key), expected, "{format} {phrase:?}");
        }
        assert!(!is_encrypted("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"));
    }
}
