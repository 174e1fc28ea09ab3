//! Keys of hosts, in OpenSSH's format (`sshd(8)`, SSH_KNOWN_HOSTS FILE FORMAT).
//!
//! A host whose file has any key for it, and not the one that it shows, is refused: in every mode,
//! also when the key is of another type. The own parser is small, keeps file and line for the
//! text of a refusal, and knows the markers, which libssh2's does not.

pub(super) mod append;

use std::path::{Path, PathBuf};

use base64::{Engine, engine::general_purpose};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::{pattern, secret};
use evonic_backend::{Result, WorkplaceError};

/// What is known of one host.
#[derive(Debug, Default)]
pub(super) struct Known {
    entries: Vec<Entry>,
}

/// A line that speaks of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) file: PathBuf,
    /// From 1.
    pub(super) line: usize,
    pub(super) key: Key,
    marker: Marker,
    /// Whether the line names the host with its port.
    with_port: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marker {
    None,
    Authority,
    Revoked,
}

/// A public key as SSH sends it: its type's name, then what that needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key(pub(super) Vec<u8>);

/// What the files say about a key that a host showed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judgement<'a> {
    /// It is this one.
    Known(&'a Entry),
    /// The host is not known.
    New,
    /// Only an authority for it is known, and certificates are not supported.
    AuthorityOnly(&'a Entry),
    /// The host is known by other keys: the one of the same type, or the first.
    Changed(&'a Entry),
    /// The key must not be used any more.
    Revoked(&'a Entry),
}

/// The most bytes of a file, and of a line that says something.
const LIMIT_BYTES: u64 = 16 << 20;
const LINE_BYTES: usize = 64 << 10;

impl Known {
    /// What the files say about a host, by the name of [`name_of`]. A file that is missing says
    /// nothing. Holds one descriptor while it reads.
    ///
    /// # Errors
    /// [`WorkplaceError::Settings`] when a file cannot be read.
    pub(super) fn read(files: &[PathBuf], name: &str) -> Result<Self> {
        let mut known = Self::default();
        for file in files {
            if file == Path::new("/dev/null") {
                continue;
            }
            match secret::read_bytes(file, LIMIT_BYTES) {
                // A comment may be of any bytes; nothing else of a line is.
                Ok(text) => known.add(file, &String::from_utf8_lossy(&text), name),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    let problem = format!("{} cannot be read: {error}", file.display());
                    return Err(WorkplaceError::settings("settings.known_hosts", problem));
                }
            }
        }
        Ok(known)
    }

    /// Adds the lines of a file that speak of the host. Lines that cannot be understood say
    /// nothing, as with OpenSSH.
    fn add(&mut self, file: &Path, text: &str, name: &str) {
        for (number, line) in text.lines().enumerate() {
            if line.len() > LINE_BYTES {
                continue;
            }
            let Some((marker, hosts, key)) = fields(line) else { continue };
            let with_port = speaks_of(hosts, name);
            if with_port || bare(name).is_some_and(|bare| speaks_of(hosts, bare)) {
                let (file, line) = (file.to_owned(), number + 1);
                self.entries.push(Entry { file, line, key, marker, with_port });
            }
        }
    }

    /// What is said about this key.
    pub(super) fn judge(&self, key: &Key) -> Judgement<'_> {
        let same = |entry: &&Entry| entry.key == *key;
        if let Some(entry) = self.of(Marker::Revoked).find(same) {
            return Judgement::Revoked(entry);
        }
        let plain = || self.of(Marker::None);
        // Without its port the host is known only by a key that it has: as with OpenSSH, another
        // server on that machine is no changed one.
        if let Some(entry) = plain().find(same) {
            return Judgement::Known(entry);
        }
        let others = || plain().filter(|entry| entry.with_port);
        let kind = key.kind();
        if let Some(entry) = others().find(|e| e.key.kind() == kind).or_else(|| others().next()) {
            return Judgement::Changed(entry);
        }
        match self.of(Marker::Authority).find(|entry| entry.with_port) {
            Some(entry) => Judgement::AuthorityOnly(entry),
            None => Judgement::New,
        }
    }

    /// Types of the keys that the host is known by, first those of lines with its port.
    pub(super) fn key_types(&self) -> Vec<&str> {
        let mut entries: Vec<_> = self.of(Marker::None).collect();
        entries.sort_by_key(|entry| !entry.with_port);
        entries.into_iter().filter_map(|entry| entry.key.kind()).collect()
    }

    fn of(&self, marker: Marker) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.marker == marker)
    }
}

impl Key {
    /// `ssh-ed25519`; [`None`] when it is no key.
    pub(super) fn kind(&self) -> Option<&str> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let name = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        std::str::from_utf8(name).ok()
    }

    /// `SHA256:...`, as OpenSSH prints it.
    pub(super) fn fingerprint(&self) -> String {
        let digest = Sha256::digest(&self.0);
        format!("SHA256:{}", general_purpose::STANDARD_NO_PAD.encode(digest))
    }
}

impl std::fmt::Display for Key {
    /// `ssh-ed25519 SHA256:...`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind().unwrap_or("unknown"), self.fingerprint())
    }
}

impl std::fmt::Display for Entry {
    /// `FILE:LINE`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// The decoder of these files, for the fuzzer. The first line is the name that is looked up.
pub(crate) fn decoded(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (host, text) = text.split_once('\n').unwrap_or((text, ""));
    for port in [22, 2222] {
        let mut known = Known::default();
        known.add(Path::new("known_hosts"), text, &name_of(host, port));
        for entry in &known.entries {
            // A key of the file is known, or it was revoked.
            let judgement = known.judge(&entry.key);
            let by_port = matches!(judgement, Judgement::Changed(_) | Judgement::New);
            assert!(entry.marker != Marker::None || !by_port, "{entry}: {judgement:?}");
            assert!(!entry.key.to_string().is_empty());
        }
        assert!(known.key_types().len() <= known.entries.len());
    }
}

/// The name that a host's keys are known by: `host`, or `[host]:port` for another port than 22.
pub(super) fn name_of(host: &str, port: u16) -> String {
    let host = host.to_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

/// The host of `[host]:port`.
fn bare(name: &str) -> Option<&str> {
    let (host, port) = name.strip_prefix('[')?.rsplit_once("]:")?;
    (!port.is_empty()).then_some(host)
}

/// Marker, hosts and key of a line; [`None`] for a comment or what cannot be understood.
fn fields(line: &str) -> Option<(Marker, &str, Key)> {
    let mut words = line.split_ascii_whitespace();
    let mut hosts = words.next().filter(|word| !word.starts_with('#'))?;
    let marker = match hosts {
        "@cert-authority" => Marker::Authority,
        "@revoked" => Marker::Revoked,
        word if word.starts_with('@') => return None,
        _ => Marker::None,
    };
    if marker != Marker::None {
        hosts = words.next()?;
    }
    let kind = words.next()?;
    let key = Key(general_purpose::STANDARD.decode(words.next()?).ok()?);
    (key.kind() == Some(kind)).then_some((marker, hosts, key))
}

/// Whether the hosts of a line are this one.
fn speaks_of(hosts: &str, name: &str) -> bool {
    match hosts.strip_prefix("|1|") {
        Some(hashed) => hashed_is(hashed, name).unwrap_or(false),
        None => {
            let hosts = hosts.to_lowercase();
            pattern::any_matches(hosts.split(','), name)
        }
    }
}

/// Whether `SALT|HASH` is this name's: `HMAC-SHA1(salt, name)`.
fn hashed_is(hashed: &str, name: &str) -> Option<bool> {
    let (salt, hash) = hashed.split_once('|')?;
    let salt = general_purpose::STANDARD.decode(salt).ok()?;
    let hash = general_purpose::STANDARD.decode(hash).ok()?;
    Some(hmac_sha1(&salt, name.as_bytes())?.as_slice() == hash)
}

/// RFC 2104, for a key of at most one block; salts have 20 bytes.
fn hmac_sha1(key: &[u8], text: &[u8]) -> Option<[u8; 20]> {
    let mut block = [0; 64];
    block.get_mut(..key.len())?.copy_from_slice(key);
    let inner = Sha1::new_with_prefix(block.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    let outer = Sha1::new_with_prefix(block.map(|byte| byte ^ 0x5c)).chain_update(inner);
    Some(outer.finalize().into())
}

#[cfg(test)]
mod tests;
