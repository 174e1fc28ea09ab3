//! The event log of each session.

use rusqlite::params;

use crate::{Reader, StoreError, Writer, column};
use evonic_domain::{Event, EventKind, SessionId, TurnId};

impl Reader<'_> {
    /// Events of a session after a sequence number, in order: at most `limit`, and fewer when they
    /// are long; whether there are more.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the session, [`StoreError::Sql`].
    pub fn events(
        &self,
        session: &SessionId,
        after: u64,
        limit: u32,
    ) -> Result<(Vec<Event>, bool), StoreError> {
        let (events, more) = self.some(
            "read events",
            "SELECT sequence, name, data FROM events
             WHERE session_id = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3",
            params![session.as_str(), column::integer(after), i64::from(limit) + 1],
            |row| {
                Ok(Event {
                    session_id: session.clone(),
                    sequence: column::natural(row, "sequence")?,
                    name: row.get("name")?,
                    data: row.get("data")?,
                })
            },
            limit,
            |event: &Event| event.data.len(),
        )?;
        if events.is_empty() {
            self.session(session)?;
        }
        Ok((events, more))
    }
}

impl Writer<'_> {
    /// Appends events of a turn to its session's log.
    pub(super) fn add_events(
        &mut self,
        session: &SessionId,
        turn: &TurnId,
        kinds: &[EventKind],
    ) -> Result<(), StoreError> {
        if kinds.is_empty() {
            return Ok(());
        }
        let at = column::now();
        let last = self
            .first(
                "append events",
                "UPDATE sessions SET last_event = last_event + ?2, updated_at = ?3 WHERE id = ?1
                 RETURNING last_event",
                params![session.as_str(), column::integer(kinds.len() as u64), at],
                |row| column::natural(row, "last_event"),
            )?
            .ok_or_else(|| StoreError::not_found("session", session))?;
        let first = last + 1 - kinds.len() as u64;
        for (sequence, kind) in (first..).zip(kinds) {
            let (name, data) = kind.name_and_data(turn, &at);
            self.execute(
                "append events",
                "INSERT INTO events (session_id, sequence, name, data) VALUES (?1, ?2, ?3, ?4)",
                params![session.as_str(), column::integer(sequence), name, data],
            )?;
            self.events.push(Event { session_id: session.clone(), sequence, name, data });
        }
        Ok(())
    }
}
