//! Key exchange, and the verification of the host key.

use std::{
    os::fd::OwnedFd,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use rustix::{io::Errno, net::RecvFlags};
use ssh2::{ErrorCode, MethodType, Session};

use super::{
    deadline::{left, millis},
    known_hosts::{
        Judgement, Key, Known,
        append::{Taken, append},
    },
    target::Target,
};
use evonic_backend::{Result, Stage, WorkplaceError};
use evonic_domain::HostKeys;

/// Kinds of host key that are accepted, the best first. Not `ssh-rsa` (SHA-1), not `ssh-dss`, no
/// certificates.
const METHODS: [&str; 6] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

/// Codes of libssh2 that no other try will change: no common algorithm, or a host that cannot
/// prove that it has its key.
const PERMANENT: [i32; 4] = [HOSTKEY_INIT, HOSTKEY_SIGN, METHOD_NONE, METHOD_NOT_SUPPORTED];
const KEX_FAILURE: i32 = -5;
const HOSTKEY_INIT: i32 = -10;
const HOSTKEY_SIGN: i32 = -11;
const METHOD_NONE: i32 = -17;
const METHOD_NOT_SUPPORTED: i32 = -33;

/// Exchanges keys, asking first for the kinds of key that the host is known by: else a host that
/// is known by one kind and shows another would look as if it had changed. Then judges the key, and
/// takes a new one down where that is wanted. Returns what it found.
///
/// # Errors
/// [`WorkplaceError::Unreachable`], or [`WorkplaceError::Refused`] with what to do.
pub(super) fn exchange(
    session: &mut Session,
    socket: &OwnedFd,
    target: &Target,
    deadline: Instant,
) -> Result<String> {
    let known = Known::read(&target.known_hosts, &target.name)?;
    let refused = |stage, why: &str| WorkplaceError::refused(target, stage, why);
    session
        .method_pref(MethodType::HostKey, &preference(&known.key_types()))
        .map_err(|error| refused(Stage::Algorithms, error.message()))?;
    session.set_timeout(millis(left(deadline)));
    // A hostile server may send what `ssh2` does not expect; that must not end the thread.
    let shaken = catch_unwind(AssertUnwindSafe(|| session.handshake()));
    match shaken {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(failed(session, socket, target, &error, deadline)),
        Err(_) => return Err(refused(Stage::KeyExchange, "it does not speak SSH")),
    }
    let Some((bytes, _)) = session.host_key() else {
        return Err(refused(Stage::HostKey, "it showed none"));
    };
    judge(&known, &Key(bytes.to_vec()), target, deadline)
        .map_err(|why| refused(Stage::HostKey, &why))
}

/// All kinds, those that the host is known by first.
fn preference(known: &[&str]) -> String {
    let is_known = |method: &&str| {
        let kind = if method.starts_with("rsa-") { "ssh-rsa" } else { method };
        known.contains(&kind)
    };
    let (first, rest): (Vec<&str>, Vec<&str>) = METHODS.iter().partition(|method| is_known(method));
    [first, rest].concat().join(",")
}

/// What the host is known as, or why not.
fn judge(known: &Known, key: &Key, target: &Target, deadline: Instant) -> Result<String, String> {
    let name = &target.name;
    let file = target.known_hosts.first();
    match known.judge(key) {
        Judgement::Known(entry) => Ok(format!("{key}, known by {entry}")),
        Judgement::Revoked(entry) => Err(format!(
            "its key {key} is revoked by {entry}: whoever shows it may not be the host; give the \
             host a new key"
        )),
        Judgement::Changed(entry) => {
            Err(changed(key, &entry.key.to_string(), &entry.to_string(), name))
        }
        Judgement::AuthorityOnly(entry) => Err(format!(
            "only an authority is known for it ({entry}), and host certificates are not \
             supported; its own key is {key}: {}",
            how_to_add(target)
        )),
        Judgement::New if target.host_keys == HostKeys::Strict => Err(format!(
            "{name} is not known; it shows {key}. When that is its key: {}; or set \
             settings.host_keys to accept_new",
            how_to_add(target)
        )),
        Judgement::New => {
            let file = file.ok_or("there is no file of known hosts to take it down in")?;
            match append(file, name, key, deadline) {
                Ok(Taken::Added) => Ok(format!("{key}, taken down in {}", file.display())),
                Ok(Taken::Changed) => {
                    Err(changed(key, "another", &file.display().to_string(), name))
                }
                Err(error) => Err(format!(
                    "its key {key} cannot be taken down in {}: {error}",
                    file.display()
                )),
            }
        }
    }
}

/// The refusal of a key that is not the known one, in every mode.
fn changed(shown: &Key, known: &str, place: &str, name: &str) -> String {
    let file = place.rsplit_once(':').map_or(place, |(file, _)| file);
    format!(
        "its key has changed: it shows {shown}, known is {known} ({place}). Somebody may be in \
         between. Only when you know that the host has a new key: ssh-keygen -R '{name}' -f {file}"
    )
}

/// The command that makes a host known.
pub(super) fn how_to_add(target: &Target) -> String {
    let file = target.known_hosts.first().map_or_else(String::new, |f| f.display().to_string());
    // Over a jump host the machine of the service cannot ask it.
    if let Some(jump) = target.jumps.last() {
        return format!(
            "ssh -p {} {}@{} ssh-keyscan -p {} {} >> {file}",
            jump.port, jump.user, jump.host, target.port, target.host
        );
    }
    format!("ssh-keyscan -p {} {} >> {file}", target.port, target.host)
}

/// What a failed exchange means.
fn failed(
    session: &Session,
    socket: &OwnedFd,
    target: &Target,
    error: &ssh2::Error,
    deadline: Instant,
) -> WorkplaceError {
    let stage = Stage::KeyExchange;
    let ErrorCode::Session(code) = error.code() else {
        return WorkplaceError::unreachable(target, stage, error.message());
    };
    let in_time = !left(deadline).is_zero();
    if PERMANENT.contains(&code) {
        return WorkplaceError::refused(target, stage, error.message());
    }
    // libssh2 has the same code for a host that went away or fell silent, and for one with other
    // algorithms. The last one is still there: it looks for common ones itself, and logs it.
    let banner = session.banner();
    if code == KEX_FAILURE && banner.is_some() && in_time && is_there(socket) {
        let reason = format!(
            "no algorithm in common with {}; allow {} for host keys there, and current ciphers",
            banner.unwrap_or("it"),
            METHODS.join(", ")
        );
        return WorkplaceError::refused(target, Stage::Algorithms, reason);
    }
    let said = match banner {
        Some(banner) if code == KEX_FAILURE && in_time => {
            format!("{banner} closed the connection in the middle: cut, or no algorithm in common")
        }
        Some(banner) => format!("{}, after {banner}", error.message()),
        None => format!("{}; it said nothing: not SSH, or too busy", error.message()),
    };
    WorkplaceError::unreachable(target, stage, said)
}

/// Whether the peer has not closed the connection.
fn is_there(socket: &OwnedFd) -> bool {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    match rustix::net::recv(socket, &mut [0; 1], flags) {
        Ok((_, read)) => read > 0,
        Err(errno) => errno == Errno::AGAIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_that_are_known_come_first_and_none_is_lost() {
        let list = preference(&["ssh-rsa", "ssh-dss"]);
        assert!(list.starts_with("rsa-sha2-512,rsa-sha2-256,ssh-ed25519,"), "{list}");
        assert_eq!(list.split(',').count(), METHODS.len());
        assert!(preference(&["ecdsa-sha2-nistp384"]).starts_with("ecdsa-sha2-nistp384,ssh-ed"));
        assert_eq!(preference(&[]), METHODS.join(","));
    }
}
