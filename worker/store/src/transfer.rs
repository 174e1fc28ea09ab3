//! Sessions as lines of JSON: written by [`Export`], read by [`Importer`].
//!
//! ```text
//! {"kind":"export","version":1,"schema":N,"program":"0.1.0"}
//! {"kind":"session","id":"ses_...","agent":"runbook","title":"","last_event":9,...}
//! {"kind":"turn","id":"trn_...","state":"completed",...}     each with its items and calls behind it
//! {"kind":"item","turn_id":"trn_...","position":0,"data":"..."}
//! {"kind":"call","turn_id":"trn_...","step":1,...}
//! {"kind":"message",...}
//! {"kind":"event","sequence":1,"name":"message.created","data":"..."}
//! {"kind":"session_end","id":"ses_...","lines":8,"whole":true}
//! {"kind":"end","sessions":1}
//! ```
//!
//! A line of a row has the columns of its table by their names, so that a column that comes with a
//! later schema is in the file without more. An importer refuses a later version, a later schema, and
//! any kind or field that it does not know: nothing is left out silently. What is told by where a line
//! stands (the session of a turn) and what belongs to the database (positions, marks) is not in it.
//!
//! A table that hangs on sessions or turns gets its line here: [`PARTS`].

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
}

/// Rows that go with a session.
#[derive(Clone, Copy, Debug)]
struct Part {
    kind: &'static str,
    table: &'static str,
    owner: Owner,
    /// The columns by which they are ordered within their owner.
    order: &'static [&'static str],
    /// Columns that are not in a line.
    left_out: &'static [&'static str],
}

/// Columns of a session that are not in its line: `agent` stands for the first.
const SESSION_LEFT_OUT: [&str; 7] =
    ["agent_id", "hidden", "active_day", "fold_to", "fold_day", "fold_at", "folded_away"];

/// Every table that hangs on a session, in the order of its lines; those of a turn behind each turn.
const PARTS: [Part; 5] = [
    Part {
        kind: "turn",
        table: "turns",
        owner: Owner::Session,
        order: &["position"],
        left_out: &["position", "session_id", "agent_id", "owner"],
    },
    Part { kind: "item", table: "items", owner: Owner::Turn, order: &["position"], left_out: &[] },
    Part {
        kind: "call",
        table: "calls",
        owner: Owner::Turn,
        order: &["step", "call_id"],
        left_out: &[],
    },
    Part {
        kind: "message",
        table: "messages",
        owner: Owner::Session,
        order: &["position"],
        left_out: &["position", "session_id"],
    },
    Part {
        kind: "event",
        table: "events",
        owner: Owner::Session,
        order: &["sequence"],
        left_out: &["session_id"],
    },
];

impl Owner {
    /// The column that names it.
    const fn column(self) -> &'static str {
        match self {
            Self::Session => "session_id",
            Self::Turn => "turn_id",
        }
    }
}

/// The tables whose rows are exported with a session.
#[cfg(test)]
pub(super) fn tables() -> Vec<&'static str> {
    PARTS.iter().map(|part| part.table).collect()
}
