//! The decoder of a server's packets, for the fuzzer.

use super::wire::{Reply, Splitter};
use evonic_shared::fuzzing::cut;

/// Packets: where they are cut does not matter.
pub(crate) fn decoded(bytes: &[u8]) {
    let (whole, mut pieces) = cut(bytes);
    assert_eq!(read(&mut std::iter::once(whole)), read(&mut pieces));
}

/// The packets up to the end, or to one that is not understood.
fn read(pieces: &mut dyn Iterator<Item = &[u8]>) -> (Vec<(u32, Reply)>, bool) {
    let (mut splitter, mut found) = (Splitter::default(), Vec::new());
    for piece in pieces {
        splitter.push(piece);
        loop {
            match splitter.next() {
                Ok(Some(packet)) => found.push(packet),
                Ok(None) => break,
                Err(_) => return (found, false),
            }
        }
    }
    (found, true)
}
