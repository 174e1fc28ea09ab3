//! Keys in files, and certificates for them.

use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose};
use ssh2::ErrorCode;

use super::{
    attempt::{Attempt, Tried, code},
    public_key::{Certificate, PublicKey, beside, private_path},
};
use crate::secret::{self, Secret};
use evonic_backend::Result;

/// No key file is larger.
const LIMIT_BYTES: u64 = 1 << 20;

/// Tries the key files, in their order, each with its certificates first. A key is read into
/// memory: libssh2 opens no file.
pub(super) fn try_keys(attempt: &mut Attempt<'_>) -> Result<Tried> {
    let target = attempt.target;
    let passphrase = match &target.passphrase {
        Some(source) => Some(secret::read(source, "settings.passphrase")?),
        None => None,
    };
    if target.identity_files.is_empty() {
        let said = "there is no key file; name one in settings.identity_files";
        return Ok(Tried::Refused(said.to_owned()));
    }
    let mut untried = Vec::new();
    for file in &target.identity_files {
        let path = &private_path(file);
        if !attempt.may_try_key() {
            untried.push(path.display().to_string());
            continue;
        }
        let key = match secret::read_text(path, LIMIT_BYTES) {
            Ok(key) => key,
            Err(_) if path != file && file.is_file() => {
                let said = "only its public half is here, for a key of an agent";
                attempt.said.push(at(file, said));
                continue;
            }
            Err(error) => {
                attempt.said.push(at(path, &format!("cannot be read: {error}")));
                continue;
            }
        };
        for (name, text) in certificates(attempt, path) {
            if !attempt.may_try_key() {
                untried.push(name.display().to_string());
                continue;
            }
            attempt.trying(name.display().to_string());
            match try_key(attempt, &key, Some(&text), passphrase.as_ref())? {
                Tried::Done(_) => {
                    return Ok(Tried::Done(format!("certificate {}", name.display())));
                }
                Tried::Partly(said) => return Ok(Tried::Partly(at(&name, &said))),
                Tried::Refused(said) => attempt.said.push(at(&name, &said)),
                Tried::Told => {}
            }
            if attempt.session.authenticated() {
                return Ok(Tried::Done(format!("certificate {}", name.display())));
            }
        }
        if !attempt.may_try_key() {
            untried.push(path.display().to_string());
            continue;
        }
        attempt.trying(path.display().to_string());
        match try_key(attempt, &key, None, passphrase.as_ref())? {
            Tried::Done(_) => return Ok(Tried::Done(format!("key {}", path.display()))),
            Tried::Partly(said) => return Ok(Tried::Partly(at(path, &said))),
            Tried::Refused(said) => attempt.said.push(at(path, &said)),
            Tried::Told => attempt.key_refused(path),
        }
        if attempt.session.authenticated() {
            return Ok(Tried::Done(format!("key {}", path.display())));
        }
    }
    if !untried.is_empty() {
        let advice = "servers end a connection after six tries (MaxAuthTries)";
        attempt.said.push(format!("{} were not tried: {advice}", untried.join(", ")));
    }
    Ok(Tried::Told)
}

fn at(path: &Path, said: &str) -> String {
    format!("key {}: {said}", path.display())
}

/// Certificates for a key, with their texts: `CertificateFile`, and the one beside it. Of one that
/// no server accepts is told why.
fn certificates(attempt: &mut Attempt<'_>, path: &Path) -> Vec<(PathBuf, String)> {
    let own = beside(path, "-cert.pub");
    let key = PublicKey::of_file(path);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let named = attempt.target.certificate_files.iter().map(|file| (file.clone(), true));
    let mut found = Vec::new();
    for (file, is_named) in named.chain([(own, false)]) {
        let text = match secret::read_text(&file, LIMIT_BYTES) {
            Ok(text) => text,
            Err(error) if is_named => {
                attempt.said.push(at(&file, &format!("cannot be read: {error}")));
                continue;
            }
            Err(_) => continue,
        };
        let Some((certificate, of)) = Certificate::of_line(&text) else {
            attempt.said.push(at(&file, "is no certificate of a kind that is supported"));
            continue;
        };
        if key.as_ref().is_some_and(|key| *key != of) {
            // Another key's; the one beside this key would be wrong.
            if !is_named {
                attempt.said.push(at(&file, "is the certificate of another key"));
            }
            continue;
        }
        match certificate.problem(&attempt.target.user, now) {
            Some(fault) => attempt.said.push(at(&file, &format!("the certificate {fault}"))),
            None => found.push((file, text)),
        }
    }
    found
}

/// Tries a key, with a certificate or without. [`Tried::Told`] when the server does not accept its
/// public half.
fn try_key(
    attempt: &mut Attempt<'_>,
    key: &str,
    certificate: Option<&str>,
    passphrase: Option<&Secret>,
) -> Result<Tried> {
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
        attempt.session.userauth_pubkey_memory(&attempt.target.user, certificate, key, phrase)
    else {
        return Ok(Tried::Done(String::new()));
    };
    let advice = match certificate {
        Some(_) => "the server trusts no authority that signed it, or not for this user",
        None => {
            "its public half is not in authorized_keys there, or the account is not allowed, locked, \
             expired, or has a home that others may write"
        }
    };
    match error.code() {
        ErrorCode::Session(code::KEYFILE_AUTH_FAILED | code::FILE) if encrypted => {
            refused("cannot be decrypted; settings.passphrase is another key's")
        }
        ErrorCode::Session(code::KEYFILE_AUTH_FAILED | code::FILE) => {
            refused("cannot be understood: broken, or of a kind that is not supported")
        }
        code => match attempt.judge(&error, advice)? {
            Tried::Refused(said) if certificate.is_none() && is_refusal(code) => {
                attempt.note(said);
                Ok(Tried::Told)
            }
            tried => Ok(tried),
        },
    }
}

fn is_refusal(code: ErrorCode) -> bool {
    code == ErrorCode::Session(code::AUTHENTICATION_FAILED)
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
