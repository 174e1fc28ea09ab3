//! Entry points for the fuzzer.

use super::packet::{Decoder, Reply};

/// Decodes what the fuzzer brings; panics when it breaks a promise.
pub type DecoderEntry = fn(&[u8]);

/// This crate's decoders, by the name of their seeds.
pub const DECODERS: &[(&str, DecoderEntry)] = &[("sftp", replies)];

/// Replies: where their bytes are cut does not matter. The first byte is the length of a piece.
fn replies(bytes: &[u8]) {
    let (first, whole) = bytes.split_first().map_or((1, bytes), |(&first, rest)| (first, rest));
    let mut pieces = whole.chunks(usize::from(first).max(1));
    assert_eq!(decode(&mut std::iter::once(whole)), decode(&mut pieces));
}

/// The replies up to the end or to one that is malformed, and whether all were decoded.
fn decode(pieces: &mut dyn Iterator<Item = &[u8]>) -> (Vec<(u32, Reply)>, bool) {
    let (mut decoder, mut found) = (Decoder::default(), Vec::new());
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(reply)) => found.push(reply),
                Ok(None) => break,
                Err(_) => return (found, false),
            }
        }
    }
    (found, true)
}
