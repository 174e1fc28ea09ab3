//! Answers of another machine, for the fuzzer.

use std::ops::ControlFlow;

use super::{
    fetch, listing,
    matches::{Matches, Reread},
    names::Names,
    plan::Plan,
    query::Query,
    ripgrep::Messages,
    rules::Filter,
};
use crate::{
    Match,
    archive::{Archive, Part},
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
    let names = Names {
        is_file: true,
        real: b"/e".to_vec(),
        root: b"/".to_vec(),
        entries: Vec::new(),
        more: false,
    };
    let plan = Plan::file(&names);
    let (mut messages, mut matches) = (Messages::default(), Matches::new(&query, &plan));
    for piece in pieces {
        match messages.push(piece, &mut matches) {
            Ok(step) if step.is_continue() => {}
            _ => break,
        }
    }
    Some((matches.end().0, messages.reread))
}

/// The parts before the first error; data in one piece.
fn unpack(pieces: &mut dyn Iterator<Item = &[u8]>) -> (bool, Vec<Part>) {
    let (mut archive, mut parts, mut data) = (Archive::default(), Vec::new(), Vec::new());
    for piece in pieces {
        let unpacked = fetch::unpack(&mut archive, piece, |part| {
            match part {
                Part::Data(bytes) => data.extend_from_slice(&bytes),
                part => parts.extend([Part::Data(std::mem::take(&mut data).into()), part]),
            }
            ControlFlow::Continue(())
        });
        if unpacked.is_err() {
            return (false, parts);
        }
    }
    (true, parts)
}
