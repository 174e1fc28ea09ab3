//! Answers of another machine, for the fuzzer.

use std::ops::ControlFlow;

use super::{
    archive::{Archive, Files},
    listing,
    matches::{Matches, Reread},
    plan::Plan,
    query::Query,
    ripgrep::Messages,
    rules::Filter,
};
use crate::Match;
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

/// Messages of `rg --json`: where they are cut does not matter.
pub(crate) fn ripgrep(bytes: &[u8]) {
    let (whole, mut pieces) = cut(bytes);
    assert_eq!(read(&mut std::iter::once(whole)), read(&mut pieces));
}

type Reported = (Vec<Match>, Vec<Reread>);

/// What was understood before the first error.
fn read(pieces: &mut dyn Iterator<Item = &[u8]>) -> Option<Reported> {
    let filter = Filter::new("e", None).ok()?;
    let query = Query { pattern: "e", filter, root: "/", path: "/", limit: 8 };
    let (base, shown) = (b"/".to_vec(), Vec::new());
    let plan = Plan { base, wanted: Vec::new(), unreadable: 0, shown, is_file: false };
    let (mut messages, mut matches) = (Messages::default(), Matches::new(&query, &plan));
    for piece in pieces {
        match messages.push(piece, &mut matches) {
            Ok(step) if step.is_continue() => {}
            _ => break,
        }
    }
    Some((matches.end().0, messages.reread))
}

fn unpack(pieces: &mut dyn Iterator<Item = &[u8]>) -> (bool, Vec<Vec<u8>>) {
    let (mut archive, mut recorded) = (Archive::default(), Recorded::default());
    for piece in pieces {
        if archive.push(piece, &mut recorded).is_err() {
            return (false, recorded.0);
        }
    }
    (true, recorded.0)
}

/// The calls of an archive, in order.
#[derive(Default)]
struct Recorded(Vec<Vec<u8>>);

impl Files for Recorded {
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
