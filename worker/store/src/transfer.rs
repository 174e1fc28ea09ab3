//! Sessions as lines of JSON: written by [`Export`], read by [`Importer`].
//!
//! ```text
//! {"kind":"export","version":1,"schema":N,"program":"0.1.0"}
//! {"kind":"session","id":"ses_...","agent":"runbook","title":"","last_event":9,...}
//! {"kind":"turn","id":"trn_...","state":"completed",...}     each with its items and calls behind it
//! {"kind":"item","turn_id":"trn_...","position":0,"data":"..."}
//! {"kind":"call","turn_id":"trn_...","step":1,...}
//! {"kind":"compaction","number":1,"turn_id":"trn_...","data":"..."}
//! {"kind":"blob","sha256":"...","bytes":5,...}               with its pieces behind it
//! {"kind":"piece","position":0,"data":{"base64":"..."}}
//! {"kind":"message",...}
//! {"kind":"event","sequence":1,"name":"message.created","data":"..."}
//! {"kind":"session_end","id":"ses_...","lines":11,"whole":true}
//! {"kind":"end","sessions":1}
//! ```
//!
//! A line of a row has the columns of its table by their names, so that a column that comes with a
//! later schema is in the file without more. An importer refuses a later version, a later schema, and
//! any kind or field that it does not know: nothing is left out silently. What is told by where a line
//! stands (the session of a turn) and what belongs to the database (positions, marks, waits) is not in
//! it. What calls of models took goes along as the session's own; bills and budgets do not.
//!
//! A table that hangs on sessions or turns gets its line here: [`PARTS`].

mod address;
mod export;
mod import;
mod row;

pub use self::{
    export::{Export, ExportOf},
    import::{Existing, ImportError, ImportOptions, Imported, Importer},
};

/// The version of the form.
const VERSION: u64 = 1;

/// The longest line that is read, in bytes.
pub const MAX_LINE_BYTES: usize = 64 << 20;

/// What a part hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Session,
    Turn,
    /// A content of an attachment.
    Blob,
}

/// Rows that go with a session.
#[derive(Clone, Copy, Debug)]
struct Part {
    kind: &'static str,
    table: &'static str,
    /// What they are selected from: the table, unless a line has more than that.
    rows: &'static str,
    owner: Owner,
    /// The columns by which they are ordered within their owner.
    order: &'static [&'static str],
    /// Whether the first of them grows: what came since a session was begun is not in its export.
    grows: bool,
    /// Columns that are not in a line.
    left_out: &'static [&'static str],
    /// Columns that are not in a line, but in lines of before: they are passed over.
    of_before: &'static [&'static str],
}

/// Columns of a session that are not in its line: `agent` stands for the first.
const SESSION_LEFT_OUT: [&str; 7] =
    ["agent_id", "hidden", "active_day", "fold_to", "fold_day", "fold_at", "folded_away"];

/// What only means something to the workers of one database: who had a turn, since when, and how long
/// it was put off.
const TURN_OF_BEFORE: [&str; 13] = [
    "last_owner",
    "takeovers",
    "claimed_at",
    "claimed_uptime",
    "wait_until",
    "wait_reason",
    "wait_message",
    "wait_ends",
    "wait_ms",
    "wait_boot",
    "attempts",
    "attempted_at",
    "tried_ms",
];

/// Every table that hangs on a session, in the order of its lines; those of a turn behind each turn,
/// those of a content behind each content.
const PARTS: [Part; 8] = [
    Part {
        kind: "turn",
        table: "turns",
        rows: "turns",
        owner: Owner::Session,
        order: &["position"],
        grows: true,
        left_out: &["position", "session_id", "agent_id", "owner"],
        of_before: &TURN_OF_BEFORE,
    },
    Part {
        kind: "item",
        table: "items",
        rows: "items",
        owner: Owner::Turn,
        order: &["position"],
        grows: false,
        left_out: &[],
        of_before: &[],
    },
    Part {
        kind: "call",
        table: "calls",
        rows: "calls",
        owner: Owner::Turn,
        order: &["step", "call_id"],
        grows: false,
        left_out: &[],
        of_before: &[],
    },
    Part {
        kind: "compaction",
        table: "compactions",
        rows: "compactions",
        owner: Owner::Session,
        order: &["number"],
        grows: true,
        left_out: &["session_id"],
        of_before: &[],
    },
    Part {
        kind: "blob",
        table: "session_blobs",
        rows: "session_blobs JOIN blobs
               ON blobs.id = blob AND is_used = 1 AND sha256 IS NOT NULL",
        owner: Owner::Session,
        order: &["sha256"],
        grows: false,
        left_out: &["session_id", "blob", "id", "is_used"],
        of_before: &[],
    },
    Part {
        kind: "piece",
        table: "blob_pieces",
        rows: "blob_pieces",
        owner: Owner::Blob,
        order: &["position"],
        grows: false,
        left_out: &["blob"],
        of_before: &[],
    },
    Part {
        kind: "message",
        table: "messages",
        rows: "messages",
        owner: Owner::Session,
        order: &["position"],
        grows: true,
        left_out: &["position", "session_id"],
        of_before: &[],
    },
    Part {
        kind: "event",
        table: "events",
        rows: "events",
        owner: Owner::Session,
        order: &["sequence"],
        grows: true,
        left_out: &["session_id"],
        of_before: &[],
    },
];

impl Part {
    fn leaves_out(&self, column: &str) -> bool {
        self.left_out.contains(&column) || self.of_before.contains(&column)
    }

    /// What has lines of its own behind each of these, and the column that names it.
    fn below(&self) -> Option<(Owner, &'static str)> {
        match self.kind {
            "turn" => Some((Owner::Turn, "id")),
            "blob" => Some((Owner::Blob, "blob")),
            _ => None,
        }
    }
}

impl Owner {
    /// The column that names it.
    const fn column(self) -> &'static str {
        match self {
            Self::Session => "session_id",
            Self::Turn => "turn_id",
            Self::Blob => "blob",
        }
    }
}

/// The tables whose rows are exported with a session.
#[cfg(test)]
pub(super) fn tables() -> Vec<&'static str> {
    PARTS.iter().map(|part| part.table).collect()
}
