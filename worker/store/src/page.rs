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

/// A page ends early when its entries hold this many bytes, so that a handful of clients that ask
/// for long messages do not fill the memory.
const PAGE_BYTES: usize = 1 << 20;

/// The most entries of a page.
const MOST: u32 = 200;

impl Paging {
    /// How many entries the page has at the most.
    pub(super) fn size(&self) -> u32 {
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
    /// The cursor of the next page; null at the end. A page that has one may be shorter than was
    /// asked for.
    pub next: Option<Cursor>,
}

/// What stands in a list.
pub(super) trait Entry {
    /// Its identifier: the cursor of what comes after it.
    fn id(&self) -> String;

    /// Bytes of its texts of any length. What is always short does not count.
    fn bytes(&self) -> usize {
        0
    }
}

/// Takes entries until there are `most`, or they hold [`PAGE_BYTES`]; whether there are more. The
/// first is taken whatever its size: every page leads on.
///
/// # Errors
/// The first that an entry brings.
pub(super) fn gather<T, E>(
    entries: impl Iterator<Item = Result<T, E>>,
    most: usize,
    bytes: impl Fn(&T) -> usize,
) -> Result<(Vec<T>, bool), E> {
    let (mut data, mut held) = (Vec::new(), 0);
    for entry in entries {
        let entry = entry?;
        if data.len() == most || held >= PAGE_BYTES {
            return Ok((data, true));
        }
        held += bytes(&entry);
        data.push(entry);
    }
    Ok((data, false))
}
