//! Messages on the channel between supervisor and worker.
//!
//! One `SOCK_SEQPACKET` pair a worker; one JSON object a packet, at most [`MAX_PACKET_BYTES`].
//! End of file means that the other side has ended. The supervisor counts and drops a packet that it
//! cannot decode (the worker is not trusted); to the worker such a packet is a defect.
//!
//! ```text
//! worker                                  supervisor
//!   | -- hello (budget, kinds) ------------> |   within supervisor.start_timeout
//!   | -- ready ----------------------------> |   accepts connections from now on
//!   | -- heartbeat every heartbeat_interval> |   carries the age of each part's last proof
//!   | -- high_descriptor ------------------> |   at most once a second
//!   | <----------------------- drain ------- |   followed by SIGTERM; either is enough
//!   | -- draining -------------------------> |   stopped accepting
//!   | -- failed ---------------------------> |   why it ends by itself, right before it does
//!   | <------------- predecessor_gone ------ |   its turns may be taken over
//!   | <--------------------- metrics ------- |   after a heartbeat, when they have changed
//!   | EOF                                    |
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    escape::Escaped,
    named::named,
    reason::Reason,
    status::Restarts,
    store_report::{StorageReport, StoreReport},
};

/// Version of this protocol. A hello with another one is refused.
pub const PROTOCOL: u32 = 1;

/// The largest packet either side sends or accepts, in bytes.
pub const MAX_PACKET_BYTES: usize = 16 * 1024;

named! {
    /// A part of the worker that must prove itself alive.
    Part {
        /// A request went through the real router and came back.
        Http = "http",
        /// A question went through the real writer's queue and was answered by its thread, and one
        /// went through a reader's thread. A lock of another process, a full disk or a lost file is
        /// an answer too: no replacement mends it.
        Store = "store",
        /// The queue of turns answered between two turns, and its claimer is alive.
        Agents = "agents",
    }
}

/// A message of the worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromWorker {
    /// The first message.
    Hello(Hello),
    /// It accepts connections. Descriptors open now and not owned are its baseline.
    Ready,
    /// The regular proof that it is alive.
    Heartbeat {
        /// Counts from 1.
        sequence: u64,
        /// Milliseconds since the last completed round trip of each part.
        age_ms: BTreeMap<Part, u64>,
        /// What keeps commands of local workplaces inside; none until it was tried, and where they
        /// are refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sandbox: Option<String>,
        /// What is wrong with its database; none while nothing is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        database: Option<StoreReport>,
        /// How large its database is; none until it was looked at.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        storage: Option<StorageReport>,
    },
    /// It opened a descriptor numbered past `fd.threshold`.
    HighDescriptor {
        /// The descriptor's number.
        number: u32,
    },
    /// It stopped accepting and hands over.
    Draining,
    /// It cannot start, or go on: the last message, also instead of a hello.
    Failed {
        /// Why, in a sentence of at most [`MAX_REASON_BYTES`].
        reason: String,
    },
}

/// The longest [`FromWorker::Failed`], in bytes of its sentence as UTF-8.
pub const MAX_REASON_BYTES: usize = 1000;

/// A sentence as one line of at most [`MAX_REASON_BYTES`], in which nothing is invisible. It says so
/// where something is left out.
pub fn reason_line(sentence: &str) -> String {
    const CUT: &str = " (cut)";
    let line = Escaped(sentence).to_string();
    if line.len() <= MAX_REASON_BYTES {
        return line;
    }
    let most = MAX_REASON_BYTES - CUT.len();
    let end = (0..=most).rev().find(|&end| line.is_char_boundary(end)).unwrap_or(0);
    line[..end].to_owned() + CUT
}

/// What a worker says first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of the worker.
    pub protocol: u32,
    /// Version of the worker's package.
    pub version: String,
    /// The generation it took: at least the proposed one.
    pub generation: u64,
    /// Names of the fd page's slots, in order.
    pub kinds: Vec<String>,
    /// Upper bound of the descriptors it owns, by kind.
    pub budget: BTreeMap<String, u32>,
    /// Whether it shows [`ToWorker::Metrics`].
    #[serde(default)]
    pub wants_metrics: bool,
}

/// A message of the supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToWorker {
    /// Stop accepting, hand over, exit. SIGTERM follows and means the same.
    Drain {
        /// Why.
        reason: Reason,
        /// Milliseconds until SIGKILL.
        grace_ms: u64,
    },
    /// The worker of this generation is dead and reaped.
    PredecessorGone {
        /// Its generation.
        generation: u64,
    },
    /// The supervisor's metrics, to be shown with the worker's own. Only to a worker whose hello
    /// asked for them.
    Metrics(SupervisorMetrics),
}

/// The supervisor's metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisorMetrics {
    /// When the supervisor started: RFC 3339, UTC, milliseconds.
    pub started_at: String,
    /// Replacements by reason, over the supervisor's own restarts.
    pub restarts: Restarts,
    /// When the last replacement was decided, if there was one.
    pub last_restart_at: Option<String>,
    /// This worker's descriptors at the last count.
    pub fds: u32,
    /// `fd.threshold`.
    pub threshold: u32,
    /// `fd.ceiling`.
    pub ceiling: u32,
}

/// Why a packet was refused.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The packet is longer than [`MAX_PACKET_BYTES`].
    #[error("packet of {length} bytes, of at most {MAX_PACKET_BYTES}")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// The packet is not one of the messages.
    #[error("packet is no message of this protocol")]
    Malformed(#[source] serde_json::Error),
}

/// Encodes a message as one packet.
pub fn encode<M: Serialize>(message: &M) -> Vec<u8> {
    serde_json::to_vec(message).expect("messages have string keys and no fallible fields")
}

/// Decodes one packet as [`FromWorker`] or [`ToWorker`].
///
/// # Errors
/// [`DecodeError`] when the packet is too long or not a message.
pub fn decode<M: DeserializeOwned>(packet: &[u8]) -> Result<M, DecodeError> {
    if packet.len() > MAX_PACKET_BYTES {
        return Err(DecodeError::TooLong { length: packet.len() });
    }
    serde_json::from_slice(packet).map_err(DecodeError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_bounded_line_of_visible_text() {
        assert_eq!(reason_line("no certificate: a.pem"), "no certificate: a.pem");
        assert_eq!(reason_line("a\n\u{1b}[2J"), "a\\x{a}\\x{1b}[2J");
        for long in ["x".repeat(2000), "\u{e9}".repeat(2000), "\n".repeat(2000)] {
            let line = reason_line(&long);
            assert!(line.len() <= MAX_REASON_BYTES && line.ends_with(" (cut)"), "{line}");
            assert!(line.len() > MAX_REASON_BYTES - 10, "{line}");
        }
    }
}
