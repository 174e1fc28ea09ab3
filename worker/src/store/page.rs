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

/// One page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List<T> {
    /// Its entries, oldest first.
    pub data: Vec<T>,
    /// The cursor of the next page; null at the end.
    pub next: Option<Cursor>,
}
