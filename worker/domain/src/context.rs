//! What of a session's items is sent to a model.
//!
//! Stored items are never changed. What is sent is a pure function of them and of the session's
//! last compaction.

use evonic_shared::named;
use serde::{Deserialize, Serialize};

use super::TurnId;

/// Where an item stands in its session. In order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ItemAddress {
    /// The position of its turn.
    pub turn: u64,
    /// Its place in the turn, from 0.
    pub item: u32,
}

impl std::str::FromStr for ItemAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let (turn, item) = text.split_once('.').ok_or(InvalidAddress)?;
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(turn) || !digits(item) {
            return Err(InvalidAddress);
        }
        let turn = turn.parse().map_err(|_| InvalidAddress)?;
        Ok(Self { turn, item: item.parse().map_err(|_| InvalidAddress)? })
    }
}

/// A text that is no [`ItemAddress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidAddress;

impl std::fmt::Display for InvalidAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an item's address is TURN.ITEM, two numbers")
    }
}

impl std::error::Error for InvalidAddress {}

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

named! {
    /// What a compaction did.
    CompactionKind {
        /// Results of tools are sent as their head and tail.
        Shortened = "shortened",
        /// A summary is sent in place of items.
        Summarised = "summarised",
        /// Items are not sent; a note says so.
        LeftOut = "left_out",
    }
}

/// A summary, and the items that it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub text: String,
    pub range: ItemRange,
}

/// Up to where results of tools are sent shortened, and to how many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortened {
    /// The last item that it is about.
    pub through: ItemAddress,
    /// What is left of a longer result, beside the note about the rest.
    pub bytes: u64,
}

/// What of a session's items is sent, from a compaction to the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextView {
    /// The last item that is not sent, nor is any before it but `message`.
    pub through: Option<ItemAddress>,
    /// The message of a turn of which the first steps are not sent.
    #[serde(default)]
    pub message: Option<ItemAddress>,
    /// What stands for the oldest of these items.
    #[serde(default)]
    pub summary: Option<Summary>,
    /// Which of them nothing stands for.
    #[serde(default)]
    pub left_out: Option<ItemRange>,
    /// By `through`, in order. What is after the last one is sent whole.
    #[serde(default)]
    pub shortened: Vec<Shortened>,
    /// The last item that there was: what replies before it say of their input is of another view.
    #[serde(default)]
    pub at: ItemAddress,
    /// Tokens of the endpoint for a thousand of the estimate, as far as its replies told.
    #[serde(default)]
    pub scale: Option<u32>,
}

/// A committed change of what is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewCompaction {
    pub kind: CompactionKind,
    /// The items that it is about.
    pub range: ItemRange,
    /// Estimate of what would have been sent.
    pub tokens_before: u64,
    /// Estimate of what is sent.
    pub tokens_after: u64,
    /// The configured name of the model that summarised.
    #[serde(default)]
    pub model: Option<String>,
    pub view: ContextView,
}

/// A compaction of a session, as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compaction {
    /// Counts from 1 within the session.
    pub number: u64,
    /// The turn in which it was made.
    pub turn_id: TurnId,
    pub kind: CompactionKind,
    pub range: ItemRange,
    pub tokens_before: u64,
    pub tokens_after: u64,
    pub model: Option<String>,
    /// The summary, of one that summarised.
    pub summary: Option<String>,
    /// RFC 3339, UTC, milliseconds.
    pub created_at: String,
}

/// An item as it is stored, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredItem {
    /// `TURN.ITEM`: what `read_file` reads as `evonic:item/TURN.ITEM`.
    pub id: String,
    pub turn_id: TurnId,
    pub item: super::Item,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        let address = ItemAddress { turn: 17, item: 4 };
        assert_eq!(address.to_string().parse(), Ok(address));
        for wrong in ["", "1", "1.", ".1", "1.2.3", "-1.2", "+1.2", "1.4294967296", "a.b"] {
            assert_eq!(wrong.parse::<ItemAddress>(), Err(InvalidAddress), "{wrong:?}");
        }
    }
}
