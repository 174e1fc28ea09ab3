//! How a file that is there gets new content, and what it lost by that.

mod keep;

use std::io;

pub use self::keep::{KeepAnswer, KeepRequest};
use crate::{WorkplaceError, error::os_message};

/// How a file that is there may get new content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rewrite {
    /// Whole or not at all: a new file, made as the old one was, takes its name.
    #[default]
    Whole,
    /// The same; but where that is impossible (its folder may not be written, or something is
    /// mounted on it), or would take something from the file (other names, its owner), its bytes
    /// are written over. Who reads meanwhile, or a machine that fails, sees a part of both.
    OrInPlace,
}

/// What came of a file that was written, beside its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Whether its bytes were written over.
    pub in_place: bool,
    /// Other names of the old file (hard links), which have the old content now.
    pub other_names: u64,
    /// What the old file had and the new one has not: `its owner (user 0, group 0)`.
    pub not_kept: Vec<String>,
}

impl Written {
    /// Written over.
    #[must_use]
    pub fn in_place() -> Self {
        Self { in_place: true, ..Self::default() }
    }

    /// What whoever asked should know, each as a sentence without a full stop.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.in_place {
            notes.push("it was written in place".to_owned());
        }
        match self.other_names {
            0 => {}
            1 => notes
                .push("it had another name (a hard link), which keeps the old content".to_owned()),
            more => notes.push(format!(
                "it had {more} other names (hard links), which keep the old content"
            )),
        }
        notes.extend(self.not_kept.iter().map(|what| format!("not kept: {what}")));
        notes
    }
}

/// What there is to do about a file that cannot be replaced.
const ADVICE: &str = "with in_place it is written over instead, which is not atomic";

impl WorkplaceError {
    /// A file that may be written, in a folder in which nothing may take its place.
    pub fn unreplaceable(
        path: impl Into<String>,
        folder: impl std::fmt::Display,
        source: &io::Error,
    ) -> Self {
        let problem = format!(
            "the folder {folder} does not let another file take its place ({}); {ADVICE}",
            os_message(source)
        );
        Self::path("write", path, io::Error::new(source.kind(), problem))
    }

    /// A file of which something cannot be given to the one that replaces it.
    pub fn not_keepable(path: impl Into<String>, what: &str, source: &io::Error) -> Self {
        let problem = format!("a new file cannot have {what} ({}); {ADVICE}", os_message(source));
        Self::path("write", path, io::Error::new(source.kind(), problem))
    }
}
