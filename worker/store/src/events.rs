//! The event log of each session.

use rusqlite::{Row, params};

use crate::{Reader, StoreError, Writer, column, error::During};
use evonic_domain::{Event, EventKind, SessionId, TurnId};

/// Events that are read at once to be sent on.
#[derive(Debug)]
pub struct EventPage {
    /// In order, and short enough to be held whole.
    pub events: Vec<Event>,
    /// What follows on them.
    pub next: AfterPage,
}

impl EventPage {
    /// The sequences of its events, also of a long one that follows on them.
    pub fn sequences(&self) -> impl Iterator<Item = u64> {
        let long = match &self.next {
            AfterPage::Long(event) => Some(event.sequence),
            AfterPage::End | AfterPage::More => None,
        };
        self.events.iter().map(|event| event.sequence).chain(long)
    }
}

/// What follows on a page of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterPage {
    /// Nothing yet.
    End,
    /// Another page.
    More,
    /// One that is too long for a page: it is read in pieces.
    Long(LongEvent),
}

/// How a session's log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogBounds {
    /// Its last event; 0 when it has none.
    pub last: u64,
    /// Up to this event pieces of it were folded; 0 where none were.
    pub folded: u64,
}

/// An event without its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongEvent {
    /// From 1, within the session.
    pub sequence: u64,
    /// As [`Event::name`].
    pub name: String,
    /// The turn that it says something of; none where it is of something within a turn.
    pub turn_id: Option<String>,
    /// How long its data is.
    pub bytes: u64,
}

/// An event, or what stands for one that is too long.
enum Found {
    Short(Event),
    Long(LongEvent),
}

impl Reader<'_> {
    /// Events of a session after a sequence number, in order: so many, and so many bytes of data,
    /// at the most.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the session, [`StoreError::Sql`].
    pub fn event_page(
        &self,
        session: &SessionId,
        after: u64,
        limit: u32,
        bytes: usize,
    ) -> Result<EventPage, StoreError> {
        let operation = "read events";
        let mut statement = self
            .connection()
            .prepare_cached(
                "SELECT sequence, name, octet_length(data) AS bytes,
                        CASE WHEN octet_length(data) <= ?3 THEN data END AS data,
                        CASE WHEN octet_length(data) > ?3 AND name LIKE 'turn.%'
                             THEN data ->> 'turn_id' END AS turn_id
                 FROM events WHERE session_id = ?1 AND sequence > ?2 ORDER BY sequence",
            )
            .during(operation)?;
        let most = column::integer(bytes as u64);
        let rows = statement
            .query_map(params![session.as_str(), column::integer(after), most], |row| {
                found(session, row)
            })
            .during(operation)?;
        let (mut page, mut left) = (EventPage { events: Vec::new(), next: AfterPage::End }, bytes);
        for row in rows {
            page.next = match row.during(operation)? {
                Found::Short(event)
                    if page.events.len() < limit as usize && event.data.len() <= left =>
                {
                    left -= event.data.len();
                    page.events.push(event);
                    continue;
                }
                Found::Short(_) => AfterPage::More,
                Found::Long(event) => AfterPage::Long(event),
            };
            break;
        }
        if page.events.is_empty() && page.next == AfterPage::End {
            self.session(session)?;
        }
        Ok(page)
    }

    /// How a session's log stands.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the session, [`StoreError::Sql`].
    pub fn log_bounds(&self, session: &SessionId) -> Result<LogBounds, StoreError> {
        let sql = "SELECT last_event, iif(folded_away > 0, folded, 0) AS folded FROM sessions
             WHERE id = ?1 AND hidden IS NULL";
        let bounds = self.first("read session", sql, [session.as_str()], |row| {
            let (last, folded) = ("last_event", "folded");
            Ok(LogBounds {
                last: column::natural(row, last)?,
                folded: column::natural(row, folded)?,
            })
        })?;
        bounds.ok_or_else(|| StoreError::not_found("session", session))
    }

    /// The last event up to this one with which a step or a turn ended; 0 where none did: what
    /// comes after it is whole without anything before it.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn step_end(&self, session: &SessionId, upto: u64) -> Result<u64, StoreError> {
        let end = self.first(
            "read events",
            "SELECT sequence FROM events WHERE session_id = ?1 AND sequence <= ?2 AND name IN
                 ('step.completed', 'turn.completed', 'turn.failed', 'turn.cancelled')
             ORDER BY sequence DESC LIMIT 1",
            params![session.as_str(), column::integer(upto)],
            |row| column::natural(row, "sequence"),
        )?;
        Ok(end.unwrap_or(0))
    }

    /// A piece of an event's data, from a byte on.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the session is gone, [`StoreError::Sql`].
    pub fn event_piece(
        &self,
        session: &SessionId,
        sequence: u64,
        from: u64,
        bytes: usize,
    ) -> Result<Vec<u8>, StoreError> {
        let (from, bytes) = (column::integer(from), column::integer(bytes as u64));
        let piece = self.first(
            "read event",
            "SELECT substr(CAST(data AS BLOB), ?3 + 1, ?4) AS piece FROM events
             WHERE session_id = ?1 AND sequence = ?2",
            params![session.as_str(), column::integer(sequence), from, bytes],
            |row| row.get("piece"),
        )?;
        piece.ok_or_else(|| StoreError::not_found("session", session))
    }
}

fn found(session: &SessionId, row: &Row<'_>) -> rusqlite::Result<Found> {
    let (sequence, name) = (column::natural(row, "sequence")?, row.get("name")?);
    Ok(match row.get("data")? {
        Some(data) => Found::Short(Event { session_id: session.clone(), sequence, name, data }),
        None => Found::Long(LongEvent {
            sequence,
            name,
            turn_id: row.get("turn_id")?,
            bytes: column::natural(row, "bytes")?,
        }),
    })
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
                "UPDATE sessions SET last_event = last_event + ?2, updated_at = ?3,
                     active_day = (SELECT MAX(number) FROM days)
                 WHERE id = ?1 RETURNING last_event",
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
