//! Answers of another machine, and what strangers' files say, for the fuzzer.

use std::ops::ControlFlow;

use super::{
    fetch, listing,
    matches::{Matches, Reread},
    names::Names,
    paths::as_path,
    plan::Plan,
    query::Query,
    ripgrep::Messages,
    rules::{Filter, Ignored, is_ignored},
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
        too_long: 0,
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

/// A `.gitignore`, and after an empty line a path: neither is trusted.
pub(crate) fn gitignore(bytes: &[u8]) {
    let at = bytes.windows(2).position(|two| two == b"\n\n").unwrap_or(bytes.len());
    let path = [b"/w/", bytes.get(at + 2..).unwrap_or_default()].concat();
    let ignored = [Ignored::new(as_path(b"/w"), &bytes[..at], 0)];
    for is_folder in [false, true] {
        let _either = is_ignored(as_path(&path), is_folder, ignored.iter());
    }
}
