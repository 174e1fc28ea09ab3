//! Containers of sessions: what this instance made on which engine, and for whom.
//!
//! A row is written before its container is made and removed after it is gone. So whoever lists an
//! engine first and reads the rows after that sees the row of every container that has one, also
//! while another worker is making it.

use rusqlite::{Row, params};

use crate::{Reader, StoreError, Writer, column};
use evonic_domain::{SessionId, WorkplaceId};

/// A container that is there, or is about to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRow {
    /// Its workplace.
    pub workplace: WorkplaceId,
    /// Its session.
    pub session: SessionId,
    /// The engine's address.
    pub engine: String,
    /// Its name, and that of its volume.
    pub name: String,
    /// The engine's identifier; absent until it is made, empty when it has vanished since.
    pub container: Option<String>,
    /// When it was last used: RFC 3339, UTC, milliseconds.
    pub used_at: String,
    /// Whether its session or its workplace was deleted.
    pub orphan: bool,
}

const SELECT: &str = "SELECT *, NOT EXISTS (SELECT 1 FROM sessions WHERE id = session_id)
     OR NOT EXISTS (SELECT 1 FROM workplaces WHERE id = workplace_id) AS orphan FROM containers";

fn container(row: &Row<'_>) -> rusqlite::Result<ContainerRow> {
    Ok(ContainerRow {
        workplace: column::parsed(row, "workplace_id")?,
        session: column::parsed(row, "session_id")?,
        engine: row.get("engine")?,
        name: row.get("name")?,
        container: row.get("container")?,
        used_at: row.get("used_at")?,
        orphan: row.get("orphan")?,
    })
}

impl Reader<'_> {
    /// Every container, the least recently used first.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn containers(&self) -> Result<Vec<ContainerRow>, StoreError> {
        self.all("list containers", &format!("{SELECT} ORDER BY used_at, name"), [], container)
    }
}

impl Writer<'_> {
    /// Notes that a session is about to use its container; returns its row as it was, or a new one.
    /// One on another engine than before is a new one.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn want_container(
        &mut self,
        workplace: &WorkplaceId,
        session: &SessionId,
        engine: &str,
        name: &str,
    ) -> Result<ContainerRow, StoreError> {
        let now = column::now();
        self.execute(
            "want container",
            "INSERT INTO containers (workplace_id, session_id, engine, name, container, used_at)
             VALUES (?1, ?2, ?3, ?4, NULL, ?5)
             ON CONFLICT (workplace_id, session_id) DO UPDATE SET used_at = ?5,
                 container = CASE WHEN engine = ?3 THEN container ELSE NULL END, engine = ?3",
            params![workplace.as_str(), session.as_str(), engine, name, now],
        )?;
        let sql = format!("{SELECT} WHERE workplace_id = ?1 AND session_id = ?2");
        self.one("read container", &sql, [workplace.as_str(), session.as_str()], container)
    }

    /// Notes the engine's identifier of a container that was made.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn container_made(&mut self, name: &str, id: &str) -> Result<(), StoreError> {
        let sql = "UPDATE containers SET container = ?2 WHERE name = ?1";
        self.execute("note container", sql, params![name, id]).map(drop)
    }

    /// Notes that a container was removed by others. Its next use makes it anew, and its agent
    /// is informed.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn container_vanished(&mut self, name: &str, id: &str) -> Result<(), StoreError> {
        let sql = "UPDATE containers SET container = '' WHERE name = ?1 AND container = ?2";
        self.execute("note lost container", sql, params![name, id]).map(drop)
    }

    /// Notes that these containers were used.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn containers_used(&mut self, names: &[String]) -> Result<(), StoreError> {
        let sql = "UPDATE containers SET used_at = ?2
             WHERE name IN (SELECT value FROM json_each(?1))";
        let parameters = params![column::to_json(&names), column::now()];
        self.execute("note use of container", sql, parameters).map(drop)
    }

    /// Forgets a container that is gone, with its workspace.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn container_gone(&mut self, name: &str) -> Result<(), StoreError> {
        self.execute("forget container", "DELETE FROM containers WHERE name = ?1", [name]).map(drop)
    }
}
