//! Lists by pages, with opaque cursors.

use serde::{Deserialize, Serialize};

/// Where a page begins: opaque to clients; the identifier of the last entry of the page before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub String);

/// Which page is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paging {
    /// At most this many entries: 1 to 200.
    pub limit: u32,
    /// After this entry; from the first when absent.
    pub after: Option<Cursor>,
}

/// The most entries of a page.
const MOST: u32 = 200;

impl Paging {
    fn size(&self) -> u32 {
        self.limit.clamp(1, MOST)
    }

    /// How many rows to ask for: one more than the page has tells whether another page follows.
    pub(super) fn rows(&self) -> u32 {
        self.size() + 1
    }

    /// The identifier after which the page begins; every identifier is after the empty one.
    pub(super) fn after_id(&self) -> &str {
        self.after.as_ref().map_or("", |cursor| &cursor.0)
    }
}

/// One page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List<T> {
    /// Its entries, oldest first.
    pub data: Vec<T>,
    /// The cursor of the next page; null at the end.
    pub next: Option<Cursor>,
}

impl<T> List<T> {
    /// The page of these [`Paging::rows`].
    pub(super) fn new(mut rows: Vec<T>, paging: &Paging, id: impl Fn(&T) -> &str) -> Self {
        let size = paging.size() as usize;
        let more = rows.len() > size;
        rows.truncate(size);
        let next = rows.last().filter(|_| more).map(|last| Cursor(id(last).to_owned()));
        Self { data: rows, next }
    }
}
