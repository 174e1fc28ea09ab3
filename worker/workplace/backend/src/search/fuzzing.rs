//! What another machine says, for the fuzzer.

use std::ops::ControlFlow;

use super::{
    archive::{Archive, Files},
    listing,
};
use evonic_shared::fuzzing::cut;

/// Archives: where they are cut does not matter.
pub(crate) fn archive(bytes: &[u8]) {
    let (whole, mut pieces) = cut(bytes);
    assert_eq!(unpack(&mut std::iter::once(whole)), unpack(&mut pieces));
}

/// Lists of files.
pub(crate) fn listing(bytes: &[u8]) {
    listing::decoded(bytes);
}

fn unpack(pieces: &mut dyn Iterator<Item = &[u8]>) -> (bool, Vec<Vec<u8>>) {
    let (mut archive, mut told) = (Archive::default(), Told::default());
    for piece in pieces {
        if archive.push(piece, &mut told).is_err() {
            return (false, told.0);
        }
    }
    (true, told.0)
}

/// What an archive told, in order.
#[derive(Default)]
struct Told(Vec<Vec<u8>>);

impl Files for Told {
    fn begin(&mut self, path: &[u8]) {
        self.0.push([b"begin ", path].concat());
        self.0.push(Vec::new());
    }

    fn again(&mut self, path: &[u8], earlier: &[u8]) -> ControlFlow<()> {
        self.0.push([b"again ", path, b" ", earlier].concat());
        ControlFlow::Continue(())
    }

    fn data(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        if let Some(last) = self.0.last_mut() {
            last.extend_from_slice(bytes);
        }
        ControlFlow::Continue(())
    }

    fn end(&mut self) -> ControlFlow<()> {
        self.0.push(b"end".to_vec());
        ControlFlow::Continue(())
    }
}
