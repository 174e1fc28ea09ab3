//! Who waits for a worker.

use rusqlite::Row;

use crate::{Reader, StoreError, column};
use evonic_domain::TurnId;

/// The first queued turn of each caller and agent, found by jumps in `turns_waiting`; then of each
/// the first that may be claimed.
pub(super) const WAITING: &str = "
    WITH RECURSIVE firsts (position) AS (
        SELECT (SELECT position FROM turns WHERE state = 'queued' AND wait_ends IS NULL
                ORDER BY posted_by, agent_id, position LIMIT 1)
        UNION ALL
        SELECT COALESCE(
            (SELECT later.position FROM turns AS later
             WHERE later.state = 'queued' AND later.wait_ends IS NULL
             AND later.posted_by = turns.posted_by
             AND later.agent_id > turns.agent_id
             ORDER BY later.agent_id, later.position LIMIT 1),
            (SELECT later.position FROM turns AS later
             WHERE later.state = 'queued' AND later.wait_ends IS NULL
             AND later.posted_by > turns.posted_by
             ORDER BY later.posted_by, later.agent_id, later.position LIMIT 1))
        FROM firsts JOIN turns ON turns.position = firsts.position
    ), heads (position) AS (
        SELECT (SELECT head.position FROM turns AS head
                WHERE head.state = 'queued' AND head.wait_ends IS NULL
                AND head.posted_by = turns.posted_by AND head.agent_id = turns.agent_id
                AND NOT EXISTS (
                    SELECT 1 FROM turns AS other
                    WHERE other.session_id = head.session_id AND other.state = 'running')
                AND NOT EXISTS (
                    SELECT 1 FROM turns AS earlier
                    WHERE earlier.session_id = head.session_id AND earlier.state = 'queued'
                    AND earlier.position < head.position)
                ORDER BY head.position LIMIT 1)
        FROM firsts JOIN turns ON turns.position = firsts.position
    )
    SELECT turns.id, turns.posted_by, turns.agent_id, turns.position
    FROM heads JOIN turns ON turns.position = heads.position";

/// The first queued turn that may be claimed of those whose cancel was requested.
const CANCELLED: &str = "SELECT id, posted_by, agent_id, position FROM turns AS head
    WHERE head.state = 'queued' AND head.wait_ends IS NULL AND head.cancel_requested = 1
    AND NOT EXISTS (
        SELECT 1 FROM turns AS other
        WHERE other.session_id = head.session_id AND other.state = 'running')
    AND NOT EXISTS (
        SELECT 1 FROM turns AS earlier
        WHERE earlier.session_id = head.session_id AND earlier.state = 'queued'
        AND earlier.position < head.position)
    ORDER BY head.position LIMIT 1";

/// The first turn that may be claimed of those that one caller posted to one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingTurn {
    pub turn_id: TurnId,
    /// Who posted its message, as the audit log names them; empty for a turn of an earlier version.
    pub posted_by: String,
    /// Identifier of its agent; empty for a turn of an earlier version.
    pub agent_id: String,
    /// Its place in the order in which turns were posted.
    pub position: u64,
}

impl Reader<'_> {
    /// The turns that may be claimed: of each caller and agent the first queued one whose session
    /// has neither a running turn nor an earlier queued one.
    ///
    /// Costs what there are callers and agents with queued turns, not what there are turns: the
    /// index is entered once for each of them, and turns that wait until a time are not in it.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn waiting_turns(&self) -> Result<Vec<WaitingTurn>, StoreError> {
        self.all("read queue", WAITING, [], waiting_turn)
    }

    /// The oldest turn that may be claimed of those that only have to end: their cancel was
    /// requested. Looks at every queued turn.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn cancelled_turn(&self) -> Result<Option<WaitingTurn>, StoreError> {
        self.first("read queue", CANCELLED, [], waiting_turn)
    }

    /// The place of the turn that was posted last; 0 when there is none.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn last_position(&self) -> Result<u64, StoreError> {
        let sql = "SELECT COALESCE(MAX(position), 0) AS position FROM turns";
        self.one("read queue", sql, [], |row| column::natural(row, "position"))
    }
}

fn waiting_turn(row: &Row<'_>) -> rusqlite::Result<WaitingTurn> {
    Ok(WaitingTurn {
        turn_id: column::parsed(row, "id")?,
        posted_by: row.get("posted_by")?,
        agent_id: row.get("agent_id")?,
        position: column::natural(row, "position")?,
    })
}
