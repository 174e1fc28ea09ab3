//! What a runner and its followers say to each other, over `SOCK_SEQPACKET`: a packet a message.
//!
//! | From | First byte | Then |
//! |---|---|---|
//! | follower | `{` | a [`Request`], once, as JSON |
//! | follower | `k` | kill the command |
//! | runner | `s` | nothing: the command runs |
//! | runner | `o` | a piece of its output, the next one for this follower |
//! | runner | `e` | the [`Status`], as JSON; nothing follows |
//! | runner | `x` | nothing: another runner has the command; nothing follows |

use serde::{Deserialize, Serialize};

use crate::record::Status;

/// The most bytes of one packet.
pub const PACKET_BYTES: usize = 64 << 10;

/// The most bytes of output in one packet.
pub(crate) const PIECE_BYTES: usize = PACKET_BYTES - 1;

/// The first packet of a follower that connects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// That of the record: who may read the record may follow.
    pub token: String,
    /// The first byte of the output that it wants; none of it when absent.
    pub follow: Option<u64>,
    /// Whether the command is killed.
    #[serde(default)]
    pub kill: bool,
}

impl Request {
    /// Its packet.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("it has no map")
    }
}

/// The packet that kills, of a follower that is accepted already.
pub const KILL: &[u8] = b"k";

/// A packet of a runner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Started,
    Output(Vec<u8>),
    Ended(Status),
    Taken,
}

impl Event {
    /// Its packet.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Started => b"s".to_vec(),
            Self::Output(bytes) => [b"o", bytes.as_slice()].concat(),
            Self::Ended(status) => {
                [b"e".to_vec(), serde_json::to_vec(status).expect("it has no map")].concat()
            }
            Self::Taken => b"x".to_vec(),
        }
    }

    /// Reads a packet; [`None`] when it is none of these.
    #[must_use]
    pub fn decode(packet: &[u8]) -> Option<Self> {
        let (first, rest) = packet.split_first()?;
        match first {
            b's' => Some(Self::Started),
            b'o' => Some(Self::Output(rest.to_vec())),
            b'e' => serde_json::from_slice(rest).ok().map(Self::Ended),
            b'x' => Some(Self::Taken),
            _ => None,
        }
    }
}
