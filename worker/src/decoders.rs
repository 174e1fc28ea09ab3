//! Every decoder of bytes that come from outside, each as a function of bytes, for the fuzzer and
//! for the tests that try again what it once found. No program that is installed has this room.
//!
//! A decoder may refuse whatever it likes. It must not panic, not hang, and not read the same
//! bytes in two ways.

use std::path::Path;

use evonic_shared::{
    config::{Config, Environment},
    control::{self, FromWorker, ToWorker},
};

use crate::{http, model, sse, workplace};

/// A decoder: panics when it breaks a promise.
pub type Decoder = fn(&[u8]);

/// All of them, by name.
pub const DECODERS: &[(&str, Decoder)] = &[
    ("archive", workplace::decoders::archive),
    ("configuration", configuration),
    ("control", control),
    ("forwarded", http::decoders::forwarded),
    ("known_hosts", workplace::decoders::known_hosts),
    ("listing", workplace::decoders::listing),
    ("model", model::decoders::answer),
    ("request", http::decoders::request),
    ("runbook", model::decoders::runbook),
    ("sftp", workplace::decoders::sftp),
    ("sse", events),
    ("ssh_config", workplace::decoders::ssh_config),
];

/// Bytes, and the same cut into pieces whose length the first of them says.
pub(crate) fn cut(bytes: &[u8]) -> (&[u8], std::slice::Chunks<'_, u8>) {
    let (first, rest) = bytes.split_first().map_or((1, bytes), |(&first, rest)| (first, rest));
    (rest, rest.chunks(usize::from(first).max(1)))
}

/// Event streams: where they are cut does not matter.
fn events(bytes: &[u8]) {
    let read = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut decoder = sse::Decoder::with_limit(1 << 12);
        pieces.flat_map(|piece| decoder.push(piece).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    let (whole, pieces) = cut(bytes);
    let mut pieces = pieces;
    assert_eq!(read(&mut std::iter::once(whole)), read(&mut pieces));
}

/// The control channel: what was understood is understood again.
fn control(packet: &[u8]) {
    if let Ok(message) = control::decode::<FromWorker>(packet) {
        assert_eq!(control::decode::<FromWorker>(&control::encode(&message)).ok(), Some(message));
    }
    if let Ok(message) = control::decode::<ToWorker>(packet) {
        assert_eq!(control::decode::<ToWorker>(&control::encode(&message)).ok(), Some(message));
    }
}

/// The configuration: it is taken, or every fault has its words.
fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let resolved = Config::resolve(Some((Path::new("evonic.toml"), text)), &Environment::default());
    if let Err(faults) = resolved {
        assert!(!faults.to_string().is_empty());
    }
}

#[cfg(test)]
mod tests;
