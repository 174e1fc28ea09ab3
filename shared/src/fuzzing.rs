//! Entry points of the fuzzer, here and in every crate that decodes outside bytes. The programs
//! never call them.
//!
//! A decoder may refuse any input. It must not panic, not hang, and not read the same bytes in two
//! ways.

use std::path::Path;

use crate::{
    config::{Config, Environment},
    control::{self, FromWorker, ToWorker},
};

/// Panics when the decoder breaks a promise.
pub type Decoder = fn(&[u8]);

/// This crate's decoders, by name.
pub const DECODERS: &[(&str, Decoder)] = &[("configuration", configuration), ("control", control)];

/// The bytes after the first, and the same in pieces whose length is the first byte.
pub fn cut(bytes: &[u8]) -> (&[u8], std::slice::Chunks<'_, u8>) {
    let (first, rest) = bytes.split_first().map_or((1, bytes), |(&first, rest)| (first, rest));
    (rest, rest.chunks(usize::from(first).max(1)))
}

/// A packet of the control channel: a decoded message is encoded and decoded to itself.
fn control(packet: &[u8]) {
    if let Ok(message) = control::decode::<FromWorker>(packet) {
        assert_eq!(control::decode::<FromWorker>(&control::encode(&message)).ok(), Some(message));
    }
    if let Ok(message) = control::decode::<ToWorker>(packet) {
        assert_eq!(control::decode::<ToWorker>(&control::encode(&message)).ok(), Some(message));
    }
}

/// The configuration: accepted, or refused with a message.
fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let resolved = Config::resolve(Some((Path::new("evonic.toml"), text)), &Environment::default());
    if let Err(errors) = resolved {
        assert!(!errors.to_string().is_empty());
    }
}
