//! Entry points for the fuzzer, here and in every crate that decodes bytes from outside. The
//! programs never call them.
//!
//! A decoder may refuse whatever it likes. It must not panic, not hang, and not read the same
//! bytes in two ways.

use std::path::Path;

use crate::{
    config::{Config, Environment},
    control::{self, FromWorker, ToWorker},
};

/// A decoder: panics when it breaks a promise.
pub type Decoder = fn(&[u8]);

/// This crate's.
pub const DECODERS: &[(&str, Decoder)] = &[("configuration", configuration), ("control", control)];

/// Bytes, and the same cut into pieces whose length the first of them says.
pub fn cut(bytes: &[u8]) -> (&[u8], std::slice::Chunks<'_, u8>) {
    let (first, rest) = bytes.split_first().map_or((1, bytes), |(&first, rest)| (first, rest));
    (rest, rest.chunks(usize::from(first).max(1)))
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
