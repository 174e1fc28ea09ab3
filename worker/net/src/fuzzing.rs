//! Entry points for the fuzzer.

use evonic_shared::fuzzing::{Decoder, cut};

use crate::sse;

/// This crate's decoders.
pub const DECODERS: &[(&str, Decoder)] = &[("sse", events)];

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
