//! Turns, and the transcript that each is shown.

use rusqlite::{Row, params};

use crate::{AuditedWriter, List, Paging, Reader, StoreError, column, page::Entry};
use evonic_domain::{
    Action, EventKind, Item, SessionId, Turn, TurnError, TurnId, TurnState, Usage,
};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, session_id, state, steps, owner, cancel_requested, error_code, \
             error_message, input_tokens, output_tokens, created_at, started_at, ended_at, \
             request_id FROM turns ",
            $rest
        )
    };
}

fn turn(row: &Row<'_>) -> rusqlite::Result<Turn> {
    let error = match row.get_ref("error_code")? {
        rusqlite::types::ValueRef::Null => None,
        _ => Some(TurnError {
            code: column::word(row, "error_code")?,
            message: row.get("error_message")?,
        }),
    };
    Ok(Turn {
        id: column::parsed(row, "id")?,
        session_id: column::parsed(row, "session_id")?,
        state: column::word(row, "state")?,
        steps: row.get("steps")?,
        owner: column::natural_or_null(row, "owner")?,
        cancel_requested: row.get("cancel_requested")?,
        error,
        usage: Usage {
            input_tokens: column::natural(row, "input_tokens")?,
            output_tokens: column::natural(row, "output_tokens")?,
        },
        request_id: row.get("request_id")?,
        created_at: row.get("created_at")?,
        started_at: row.get("started_at")?,
        ended_at: row.get("ended_at")?,
    })
}

impl Entry for Turn {
    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn bytes(&self) -> usize {
        self.error.as_ref().map_or(0, |error| error.message.len())
    }
}

impl Reader<'_> {
    /// A turn.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Sql`].
    pub fn turn(&self, id: &TurnId) -> Result<Turn, StoreError> {
        self.first("read turn", select!("WHERE id = ?1"), [id.as_str()], turn)?
            .ok_or_else(|| StoreError::not_found("turn", id))
    }

    /// Turns of a session, oldest first.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the session, [`StoreError::Sql`].
    pub fn turns(&self, session: &SessionId, paging: &Paging) -> Result<List<Turn>, StoreError> {
        self.session(session)?;
        let place = "SELECT position FROM turns WHERE id = ?1 AND session_id = ?2";
        let after = self.place("list turns", place, session, paging)?;
        self.page(
            "list turns",
            select!("WHERE session_id = ?1 AND position > ?2 ORDER BY position LIMIT ?3"),
            params![session.as_str(), after, paging.rows()],
            turn,
            paging,
        )
    }

    /// The transcript that the model is shown for this turn: every item of its session up to and
    /// with this turn, in order; none of turns queued after it.
    ///
    /// Every call of an ended turn has its result: what did not run says so.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn transcript(&self, turn: &TurnId) -> Result<Vec<Item>, StoreError> {
        self.all(
            "read transcript",
            "SELECT items.data FROM turns AS shown
             JOIN turns ON turns.session_id = shown.session_id AND turns.position <= shown.position
             JOIN items ON items.turn_id = turns.id
             WHERE shown.id = ?1 ORDER BY turns.position, items.position",
            [turn.as_str()],
            |row| column::json(row, "data"),
        )
    }

    /// Items of one turn, in order.
    pub(super) fn items(&self, turn: &TurnId) -> Result<Vec<Item>, StoreError> {
        self.all(
            "read items",
            "SELECT data FROM items WHERE turn_id = ?1 ORDER BY position",
            [turn.as_str()],
            |row| column::json(row, "data"),
        )
    }

    /// Which of these turns have a cancel requested.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn cancels(&self, turns: &[TurnId]) -> Result<Vec<TurnId>, StoreError> {
        let mut requested = Vec::new();
        for turn in turns {
            let sql = "SELECT 1 FROM turns WHERE id = ?1 AND cancel_requested = 1";
            if self.first("read cancels", sql, [turn.as_str()], |_| Ok(()))?.is_some() {
                requested.push(turn.clone());
            }
        }
        Ok(requested)
    }

    /// Turns by state: queued and running, for metrics and readiness.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn backlog(&self) -> Result<(u64, u64), StoreError> {
        self.one(
            "count turns",
            "SELECT (SELECT COUNT(*) FROM turns WHERE state = 'queued') AS queued,
                    (SELECT COUNT(*) FROM turns WHERE state = 'running') AS running",
            [],
            |row| Ok((column::natural(row, "queued")?, column::natural(row, "running")?)),
        )
    }
}

impl AuditedWriter<'_, '_> {
    /// Asks to cancel a turn. A queued one ends at once, unless a call of it was interrupted: what
    /// is left of that has to be killed, by who claims the turn next. Of a running one the owner
    /// is told by the returned state. An ended one stays as it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn request_cancel(&mut self, id: &TurnId) -> Result<Turn, StoreError> {
        let turn = self.turn(id)?;
        match turn.state {
            TurnState::Queued if self.pending_call(id)?.is_none() => {
                self.close_calls(&turn.session_id, id)?;
                self.execute(
                    "cancel turn",
                    "UPDATE turns SET state = 'cancelled', cancel_requested = 1, partial_text = 0,
                     ended_at = ?2 WHERE id = ?1",
                    params![id.as_str(), column::now()],
                )?;
                self.add_events(&turn.session_id, id, &[EventKind::TurnCancelled {}])?;
            }
            TurnState::Queued | TurnState::Running => {
                let sql = "UPDATE turns SET cancel_requested = 1 WHERE id = ?1";
                self.execute("cancel turn", sql, [id.as_str()])?;
            }
            TurnState::Completed | TurnState::Failed | TurnState::Cancelled => return Ok(turn),
        }
        let asked = self.turn(id)?;
        if asked != turn {
            let within = Some(turn.session_id.as_str());
            self.record(Action::TurnCancel, id.as_str(), within, &[])?;
        }
        Ok(asked)
    }
}
