//! What of a session's items is sent to a model.
//!
//! Stored items are never changed. What is sent is a pure function of them and of the session's
//! last compaction.

use serde::{Deserialize, Serialize};

/// Where an item stands in its session. In order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ItemAddress {
    /// The position of its turn.
    pub turn: u64,
    /// Its place in the turn, from 0.
    pub item: u32,
}

impl std::fmt::Display for ItemAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.turn, self.item)
    }
}

/// Items from the one to the other, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemRange {
    pub first: ItemAddress,
    pub last: ItemAddress,
}
