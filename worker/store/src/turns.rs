//! Turns, and the transcript that each is shown.

use std::collections::HashSet;

use rusqlite::{Row, params};

use crate::{
    AuditedWriter, List, Paging, Reader, StoreError, column, error::During, page::Entry,
    record::Record,
};
use evonic_domain::{
    Action, EventKind, Item, SessionId, ToolCall, Turn, TurnError, TurnId, TurnState, Usage,
    Waiting,
};

impl Record for Turn {
    const NAME: &'static str = "turn";
    const TABLE: &'static str = "turns";

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let error = match row.get_ref("error_code")? {
            rusqlite::types::ValueRef::Null => None,
            _ => Some(TurnError {
                code: column::word(row, "error_code")?,
                message: row.get("error_message")?,
            }),
        };
        Ok(Self {
            id: column::parsed(row, "id")?,
            session_id: column::parsed(row, "session_id")?,
            state: column::word(row, "state")?,
            steps: row.get("steps")?,
            owner: column::natural_or_null(row, "owner")?,
            cancel_requested: row.get("cancel_requested")?,
            error,
            usage: Usage {
                input_tokens: column::natural(row, "input_tokens")?,
                cached_tokens: column::natural(row, "cached_tokens")?,
                cache_write_tokens: column::natural(row, "cache_write_tokens")?,
                output_tokens: column::natural(row, "output_tokens")?,
                reasoning_tokens: column::natural(row, "reasoning_tokens")?,
            },
            cost: column::natural(row, "cost")?,
            waiting: waiting(row)?,
            request_id: row.get("request_id")?,
            created_at: row.get("created_at")?,
            started_at: row.get("started_at")?,
            ended_at: row.get("ended_at")?,
        })
    }
}

/// Until when a turn waits; nothing where that time is over.
fn waiting(row: &Row<'_>) -> rusqlite::Result<Option<Waiting>> {
    let Some(until) = row.get::<_, Option<String>>("wait_until")? else { return Ok(None) };
    let (reason, message) = (column::word(row, "wait_reason")?, row.get("wait_message")?);
    Ok(Some(Waiting { reason, until, message }))
}

impl Entry for Turn {
    fn id(&self) -> String {
        self.id.to_string()
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
        self.find("read turn", "id = ?1", id.as_str())
    }

    /// Turns of a session, oldest first.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the session, [`StoreError::Sql`].
    pub fn turns(&self, session: &SessionId, paging: &Paging) -> Result<List<Turn>, StoreError> {
        self.list_of_session("list turns", session, paging)
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

    /// The items of a turn, oldest first. One is in memory at a time.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn turn_items(&self, turn: &TurnId, mut take: impl FnMut(Item)) -> Result<(), StoreError> {
        let sql = "SELECT data FROM items WHERE turn_id = ?1 ORDER BY position";
        let mut statement = self.connection().prepare_cached(sql).during("read items")?;
        let mut rows = statement.query([turn.as_str()]).during("read items")?;
        while let Some(row) = rows.next().during("read items")? {
            take(column::json(row, "data").during("read items")?);
        }
        Ok(())
    }

    /// The calls of a turn's last reply that have no result, in order. Its items are read from the
    /// last one back to that reply, one at a time.
    pub(super) fn open_calls(&self, turn: &TurnId) -> Result<Vec<ToolCall>, StoreError> {
        let sql = "SELECT data FROM items WHERE turn_id = ?1 ORDER BY position DESC";
        let mut statement = self.connection().prepare_cached(sql).during("read items")?;
        let mut rows = statement.query([turn.as_str()]).during("read items")?;
        let mut closed = HashSet::new();
        while let Some(row) = rows.next().during("read items")? {
            match column::json(row, "data").during("read items")? {
                Item::User { .. } | Item::Summary { .. } | Item::LeftOut { .. } => {}
                Item::Assistant { mut tool_calls, .. } => {
                    tool_calls.retain(|call| !closed.contains(&call.id));
                    return Ok(tool_calls);
                }
                Item::ToolResult { call_id, .. } => drop(closed.insert(call_id)),
            }
        }
        Ok(Vec::new())
    }

    /// Which of these turns have a cancel requested.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn cancels(&self, turns: &[TurnId]) -> Result<Vec<TurnId>, StoreError> {
        let sql = "SELECT id FROM turns
             WHERE cancel_requested = 1 AND id IN (SELECT value FROM json_each(?1))";
        self.all("read cancels", sql, [column::to_json(&turns)], |row| column::parsed(row, "id"))
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
    /// is left of that has to be killed, by who claims the turn next. The owner of a
    /// running one learns of it by the returned state. An ended one stays as it is.
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
                     wait_ends = NULL, wait_ms = NULL, wait_boot = NULL, wait_until = NULL,
                     wait_reason = NULL, wait_message = NULL,
                     ended_at = ?2 WHERE id = ?1",
                    params![id.as_str(), column::now()],
                )?;
                // Those behind it waited for it.
                if turn.waiting.is_some() {
                    self.end_wait(&turn.session_id)?;
                }
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
