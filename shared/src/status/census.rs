//! What a worker's descriptors are, and post-mortems.

use serde::{Deserialize, Serialize};

use super::Descriptors;
use crate::reason::Reason;

/// A worker's descriptors by kind and by target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Census {
    /// [`super::FORMAT`].
    pub format: u32,
    /// When it was taken: RFC 3339, UTC, milliseconds.
    pub at: String,
    /// Generation of the worker.
    pub generation: u64,
    /// The worker's pid.
    pub pid: u32,
    /// Open descriptors seen.
    pub open: u32,
    /// By kind of object (`tcp`, `unix`, `pipe`, `file`, `eventfd`, ...), the highest count first.
    pub kinds: Vec<Count>,
    /// The targets with the highest counts, at most 20: a path, or a peer (`tcp 127.0.0.1:443`).
    pub top: Vec<Count>,
}

/// A line of a census.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The kind or the target.
    pub name: String,
    /// The count.
    pub count: u32,
    /// The growth since the worker became ready; may be negative.
    pub growth: i64,
}

/// A post-mortem file: `STATE_DIR/post-mortems/GENERATION-REASON.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PostMortem {
    /// [`super::FORMAT`].
    pub format: u32,
    /// Why the worker was replaced.
    pub reason: Reason,
    /// The finding in a sentence.
    pub detail: String,
    /// The most likely culprit as a sentence: the kind that grew most, and its top target.
    pub culprit: String,
    /// The descriptors at the trigger.
    pub fd: Descriptors,
    /// The census at the trigger, sorted by growth, the greatest first.
    pub census: Census,
    /// The census when the worker became ready, if it ever was.
    pub ready: Option<Census>,
}
