//! The matches of a search, gathered file by file.

use std::{iter, ops::ControlFlow};

use bytes::Bytes;

use super::{
    lines::Lines,
    listing::by_parts,
    paths::{joined, without_dot},
    plan::Plan,
    query::Query,
};
use crate::{Match, archive::Part};

/// Bytes that are read, of files or of what a search tool reports.
const READ_BYTES: u64 = 1 << 30;

/// Matches in the order of their files. One more than the limit is gathered, to know of more.
pub(super) struct Matches<'m> {
    pub(super) query: &'m Query<'m>,
    plan: &'m Plan,
    pub(super) found: Vec<Match>,
    read: u64,
}

impl<'m> Matches<'m> {
    pub(super) const fn new(query: &'m Query<'m>, plan: &'m Plan) -> Self {
        Self { query, plan, found: Vec::new(), read: 0 }
    }

    /// The path of a file in its matches.
    pub(super) fn path_of(&self, inside: &[u8]) -> String {
        let whole = if self.plan.is_file {
            self.plan.shown.clone()
        } else {
            joined(&self.plan.shown, without_dot(inside))
        };
        String::from_utf8_lossy(&whole).into_owned()
    }

    /// The name of a file that was asked for.
    pub(super) fn wanted(&self, name: &[u8]) -> Option<Bytes> {
        let wanted = &self.plan.wanted;
        let found = wanted.binary_search_by(|wanted| by_parts(wanted, name)).ok()?;
        Some(wanted[found].clone())
    }

    pub(super) const fn wanted_count(&self) -> usize {
        self.plan.wanted.len()
    }

    /// Adds a match, unless there are enough.
    pub(super) fn push(&mut self, path: &str, line: u64, text: String) {
        if self.is_beyond_limit() {
            return;
        }
        self.found.push(Match { path: path.to_owned(), line, text });
    }

    /// Inserts the matches of files that were read again, which `found` has in their order.
    pub(super) fn insert(&mut self, files: &[Reread], found: Vec<Match>) {
        let mut found = found.into_iter().peekable();
        let mut groups = Vec::new();
        for file in files {
            let path = self.path_of(&file.name);
            let of_file = iter::from_fn(|| found.next_if(|found| found.path == path));
            groups.push((file.at, of_file.collect::<Vec<_>>()));
        }
        // The last first: an insertion moves what comes after it.
        for (at, of_file) in groups.into_iter().rev() {
            self.found.splice(at..at, of_file);
        }
    }

    /// Counts bytes that were read; breaks off when they are too many.
    pub(super) fn count(&mut self, bytes: usize) -> ControlFlow<()> {
        self.read += bytes as u64;
        if self.read > READ_BYTES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Breaks off when there are enough.
    pub(super) fn enough(&self) -> ControlFlow<()> {
        if self.is_beyond_limit() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    const fn is_beyond_limit(&self) -> bool {
        self.found.len() > self.query.limit as usize
    }

    /// At most as many as were asked for, and whether there may be more.
    pub(super) fn end(mut self) -> (Vec<Match>, bool) {
        let more = self.is_beyond_limit() || self.read > READ_BYTES;
        self.found.truncate(self.query.limit as usize);
        (self.found, more)
    }
}

/// A file that is read again as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reread {
    /// Relative to the folder that is searched.
    pub(super) name: Bytes,
    /// How many matches come before its own.
    pub(super) at: usize,
}

/// Finds the matches in files of an archive. What was not asked for is passed over.
pub(super) struct ArchiveMatches<'a, 'm> {
    pub(super) matches: &'a mut Matches<'m>,
    /// Of the file that comes, when it was asked for.
    path: Option<String>,
    lines: Lines,
}

impl<'a, 'm> ArchiveMatches<'a, 'm> {
    pub(super) fn new(matches: &'a mut Matches<'m>) -> Self {
        Self { matches, path: None, lines: Lines::default() }
    }

    /// Takes the next part of the archive; breaks off when no more is needed.
    pub(super) fn take(&mut self, part: Part) -> ControlFlow<()> {
        let Self { matches, path, lines } = self;
        let query = matches.query;
        match (part, path) {
            (Part::File { path: name, .. }, path) => {
                let name = matches.wanted(without_dot(&name));
                *path = name.map(|name| matches.path_of(&name));
                *lines = Lines::default();
            }
            (Part::Data(bytes), path) => {
                matches.count(bytes.len())?;
                if let Some(path) = path {
                    let report = &mut |line, text| matches.push(path, line, text);
                    lines.push(&bytes, &query.filter, report);
                }
            }
            (Part::End, Some(path)) => {
                lines.end(&query.filter, &mut |line, text| matches.push(path, line, text));
            }
            (Part::Link { path, earlier }, _) => {
                if let Some(name) = matches.wanted(without_dot(&path)) {
                    let (path, earlier) = (matches.path_of(&name), matches.path_of(&earlier));
                    let same = matches.found.iter().filter(|found| found.path == earlier);
                    let same: Vec<_> =
                        same.map(|found| Match { path: path.clone(), ..found.clone() }).collect();
                    matches.found.extend(same);
                }
            }
            (Part::End | Part::Other, _) => {}
        }
        matches.enough()
    }
}
