//! The decoder of answers, for the fuzzer.

use std::collections::HashSet;

use super::stream::Stream;
use crate::Reply;
use evonic_shared::fuzzing::cut;

/// Small enough for the fuzzer to go beyond it.
const MAX_REPLY_BYTES: usize = 256;

/// An endpoint's answer: where it is cut does not matter.
pub(crate) fn answer(bytes: &[u8]) {
    let (whole, mut pieces) = cut(bytes);
    let (one, many) = (read(&mut std::iter::once(whole)), read(&mut pieces));
    assert_eq!(one, many);
}

/// The text and the reply; nothing when it fails. Of what follows its end an answer in one piece
/// may see more.
fn read(pieces: &mut dyn Iterator<Item = &[u8]>) -> Option<(String, Reply)> {
    let (mut stream, mut text) = (Stream::new(MAX_REPLY_BYTES), String::new());
    for piece in pieces {
        if stream.is_done() {
            break;
        }
        text.push_str(&stream.push(piece).ok()?);
    }
    let (reply, rest) = stream.end(&HashSet::new()).ok()?;
    Some((text + &rest, reply))
}
