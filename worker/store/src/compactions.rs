//! What of a session's items is sent to its model: the items themselves, by address, and the
//! compactions that say which of them stand for others.

use std::ops::ControlFlow;

use rusqlite::{Row, params};

use crate::{
    AuditedWriter, Cursor, List, Paging, Reader, StoreError, Writer, column, error::During,
    page::Entry,
};
use evonic_domain::{
    Action, Compaction, CompactionKind, EventKind, Item, ItemAddress, Lease, ModelCall, ModelFacts,
    NewCompaction, SessionId, StoredItem, Turn, TurnId, Usage,
};

/// A session's last compaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastCompaction {
    pub number: u64,
    pub compaction: NewCompaction,
}

/// An item of a session, read to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionItem {
    pub address: ItemAddress,
    pub item: Item,
    /// As it is stored.
    pub bytes: u64,
    /// When its turn was first claimed: RFC 3339, UTC, milliseconds.
    pub started_at: String,
}

/// Where a turn stands in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnPlace {
    pub position: u64,
    /// Whether it has no message, and compacts its session.
    pub compacts: bool,
    /// Replies that it has.
    pub steps: u32,
}

impl Entry for Compaction {
    fn id(&self) -> String {
        self.number.to_string()
    }

    fn bytes(&self) -> usize {
        self.summary.as_ref().map_or(0, String::len)
    }
}

impl Entry for StoredItem {
    fn id(&self) -> String {
        self.id.clone()
    }

    fn bytes(&self) -> usize {
        match &self.item {
            Item::User { text, .. } | Item::Summary { text, .. } => text.len(),
            Item::LeftOut { .. } => 0,
            Item::Assistant { text, tool_calls, .. } => {
                text.len() + tool_calls.iter().map(|call| call.arguments.len()).sum::<usize>()
            }
            Item::ToolResult { content, .. } => content.len(),
        }
    }
}

impl Reader<'_> {
    /// Where a turn stands.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Sql`].
    pub fn turn_place(&self, turn: &TurnId) -> Result<TurnPlace, StoreError> {
        let sql = "SELECT position, compacts, steps FROM turns WHERE id = ?1";
        let place = self.first("read turn", sql, [turn.as_str()], |row| {
            Ok(TurnPlace {
                position: column::natural(row, "position")?,
                compacts: row.get("compacts")?,
                steps: row.get("steps")?,
            })
        })?;
        place.ok_or_else(|| StoreError::not_found("turn", turn))
    }

    /// The last compaction of a session, if there was one.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn last_compaction(
        &self,
        session: &SessionId,
    ) -> Result<Option<LastCompaction>, StoreError> {
        self.first(
            "read compaction",
            "SELECT number, data FROM compactions WHERE session_id = ?1
             ORDER BY number DESC LIMIT 1",
            [session.as_str()],
            |row| {
                let compaction = column::json(row, "data")?;
                Ok(LastCompaction { number: column::natural(row, "number")?, compaction })
            },
        )
    }

    /// Compactions of a session, oldest first.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the session, [`StoreError::Sql`].
    pub fn compactions(
        &self,
        session: &SessionId,
        paging: &Paging,
    ) -> Result<List<Compaction>, StoreError> {
        self.session(session)?;
        // After a cursor that was never given out there is nothing.
        let after = paging.after_id();
        let after = if after.is_empty() { 0 } else { after.parse().unwrap_or(i64::MAX) };
        self.page(
            "list compactions",
            "SELECT number, turn_id, data, created_at FROM compactions
             WHERE session_id = ?1 AND number > ?2 ORDER BY number LIMIT ?3",
            params![session.as_str(), after, paging.rows()],
            compaction,
            paging,
        )
    }

    /// Items of a session up to this turn's and after this address, from the last one backwards,
    /// until `take` breaks off. One is in memory at a time.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn items_backwards(
        &self,
        session: &SessionId,
        turn: u64,
        after: Option<ItemAddress>,
        mut take: impl FnMut(SessionItem) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let operation = "read items";
        let sql = "SELECT turns.position AS turn, turns.started_at, items.position AS item, data
             FROM turns JOIN items ON items.turn_id = turns.id
             WHERE turns.session_id = ?1 AND turns.position BETWEEN ?2 AND ?3
             AND (turns.position > ?2 OR items.position > ?4)
             ORDER BY turns.position DESC, items.position DESC";
        let (from, item) = after.map_or((0, -1), |after| (after.turn, i64::from(after.item)));
        let (from, turn) = (column::integer(from), column::integer(turn));
        let mut statement = self.connection().prepare_cached(sql).during(operation)?;
        let mut rows =
            statement.query(params![session.as_str(), from, turn, item]).during(operation)?;
        while let Some(row) = rows.next().during(operation)? {
            if take(session_item(row).during(operation)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The address of a session's first item after this one.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn item_after(
        &self,
        session: &SessionId,
        after: Option<ItemAddress>,
    ) -> Result<Option<ItemAddress>, StoreError> {
        let (turn, item) =
            after.map_or((0, -1), |after| (column::integer(after.turn), i64::from(after.item)));
        self.first(
            "read items",
            "SELECT turns.position AS turn, items.position AS item
             FROM turns JOIN items ON items.turn_id = turns.id
             WHERE turns.session_id = ?1 AND turns.position >= ?2
             AND (turns.position > ?2 OR items.position > ?3)
             ORDER BY turns.position, items.position LIMIT 1",
            params![session.as_str(), turn, item],
            address,
        )
    }

    /// One item of a session; [`None`] where there is none.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn item(
        &self,
        session: &SessionId,
        address: ItemAddress,
    ) -> Result<Option<Item>, StoreError> {
        self.first(
            "read item",
            "SELECT data FROM turns JOIN items ON items.turn_id = turns.id
             WHERE turns.position = ?2 AND turns.session_id = ?1 AND items.position = ?3",
            params![session.as_str(), column::integer(address.turn), address.item],
            |row| column::json(row, "data"),
        )
    }

    /// The stored items of a session, oldest first.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the session, [`StoreError::Sql`].
    pub fn items(
        &self,
        session: &SessionId,
        paging: &Paging,
    ) -> Result<List<StoredItem>, StoreError> {
        self.session(session)?;
        let (turn, item) = match &paging.after {
            None => (0, -1),
            // After a cursor that was never given out there is nothing.
            Some(Cursor(after)) => match after.parse::<ItemAddress>() {
                Ok(address) => (column::integer(address.turn), i64::from(address.item)),
                Err(_) => (i64::MAX, i64::MAX),
            },
        };
        self.page(
            "list items",
            "SELECT turns.position AS turn, turns.id AS turn_id, items.position AS item, data
             FROM turns JOIN items ON items.turn_id = turns.id
             WHERE turns.session_id = ?1 AND turns.position >= ?2
             AND (turns.position > ?2 OR items.position > ?3)
             ORDER BY turns.position, items.position LIMIT ?4",
            params![session.as_str(), turn, item, paging.rows()],
            |row| {
                Ok(StoredItem {
                    id: address(row)?.to_string(),
                    turn_id: column::parsed(row, "turn_id")?,
                    item: column::json(row, "data")?,
                })
            },
            paging,
        )
    }

    /// What was learnt of every endpoint.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn model_facts(&self) -> Result<Vec<(String, ModelFacts)>, StoreError> {
        self.all("read facts", "SELECT endpoint, data FROM model_facts", [], |row| {
            Ok((row.get("endpoint")?, column::json(row, "data")?))
        })
    }
}

fn address(row: &Row<'_>) -> rusqlite::Result<ItemAddress> {
    Ok(ItemAddress { turn: column::natural(row, "turn")?, item: row.get("item")? })
}

fn session_item(row: &Row<'_>) -> rusqlite::Result<SessionItem> {
    Ok(SessionItem {
        address: address(row)?,
        item: column::json(row, "data")?,
        bytes: row.get_ref("data")?.as_str()?.len() as u64,
        started_at: row.get::<_, Option<String>>("started_at")?.unwrap_or_default(),
    })
}

fn compaction(row: &Row<'_>) -> rusqlite::Result<Compaction> {
    let new: NewCompaction = column::json(row, "data")?;
    let NewCompaction { kind, range, tokens_before, tokens_after, model, view } = new;
    let summary = view.summary.filter(|_| kind == CompactionKind::Summarised);
    Ok(Compaction {
        number: column::natural(row, "number")?,
        turn_id: column::parsed(row, "turn_id")?,
        kind,
        range,
        tokens_before,
        tokens_after,
        model,
        summary: summary.map(|summary| summary.text),
        created_at: row.get("created_at")?,
    })
}

impl Writer<'_> {
    /// Commits a compaction as the one of this number: what is sent from then on,
    /// `context.compacted`, and what its summary took. A second time it does nothing: the lease's
    /// owner is the only one who compacts the session.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    pub fn compact(
        &mut self,
        lease: &Lease,
        number: u64,
        new: &NewCompaction,
        usage: Usage,
        cost: u64,
    ) -> Result<(), StoreError> {
        self.check_lease(lease)?;
        let stored = self.execute(
            "store compaction",
            "INSERT OR IGNORE INTO compactions (session_id, number, turn_id, data, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                lease.session_id.as_str(),
                column::integer(number),
                lease.turn_id.as_str(),
                column::to_json(new),
                column::now()
            ],
        )?;
        if stored == 0 {
            return Ok(());
        }
        let sql = "UPDATE turns SET takeovers = 0 WHERE id = ?1";
        self.execute("store compaction", sql, [lease.turn_id.as_str()])?;
        if let Some(model) = new.model.clone() {
            self.count_call(lease, &ModelCall { model, usage, cost })?;
        }
        let summary = new.view.summary.as_ref();
        let summary = summary.filter(|_| new.kind == CompactionKind::Summarised);
        let compacted = EventKind::ContextCompacted {
            number,
            kind: new.kind,
            range: new.range,
            tokens_before: new.tokens_before,
            tokens_after: new.tokens_after,
            summary: summary.map(|summary| summary.text.clone()),
        };
        self.add_events(&lease.session_id, &lease.turn_id, &[compacted])
    }

    /// Keeps what was learnt of an endpoint.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn keep_model_facts(
        &mut self,
        endpoint: &str,
        facts: &ModelFacts,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO model_facts (endpoint, data) VALUES (?1, ?2)
             ON CONFLICT (endpoint) DO UPDATE SET data = excluded.data";
        self.execute("keep facts", sql, params![endpoint, column::to_json(facts)]).map(drop)
    }
}

impl AuditedWriter<'_, '_> {
    /// Queues a turn that has no message and compacts the session; the one that waits already,
    /// where there is one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] `queue_full` above `max_queued`.
    pub fn request_compaction(
        &mut self,
        session: &SessionId,
        max_queued: u32,
        request_id: Option<&str>,
    ) -> Result<Turn, StoreError> {
        let agent = self.session(session)?.agent_id;
        let waiting = self.first(
            "queue turn",
            "SELECT id FROM turns WHERE session_id = ?1 AND state = 'queued' AND compacts = 1",
            [session.as_str()],
            |row| column::parsed::<TurnId>(row, "id"),
        )?;
        if let Some(waiting) = waiting {
            return self.turn(&waiting);
        }
        self.check_queue(session, max_queued)?;
        let turn = TurnId::new();
        let posted_by = self.actor().to_owned();
        self.execute(
            "queue turn",
            "INSERT INTO turns (id, session_id, state, steps, cancel_requested, partial_text,
             input_tokens, output_tokens, created_at, request_id, posted_by, agent_id, compacts)
             VALUES (?1, ?2, 'queued', 0, 0, 0, 0, 0, ?3, ?4, ?5, ?6, 1)",
            params![
                turn.as_str(),
                session.as_str(),
                column::now(),
                request_id,
                posted_by,
                agent.as_str()
            ],
        )?;
        self.wait_behind(&turn)?;
        self.record(Action::SessionCompact, session.as_str(), None, &[])?;
        self.turn(&turn)
    }
}
