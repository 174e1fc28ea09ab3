//! Sessions.

use rusqlite::{Row, ToSql, params};

use crate::{
    AuditedWriter, Conflict, List, Paging, Reader, StoreError, audited_writer::differences, column,
    page::Entry,
};
use evonic_domain::{Action, AgentId, NewSession, Session, SessionChange, SessionId};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, agent_id, title, last_event, created_at, updated_at FROM sessions ",
            $rest
        )
    };
}

fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: column::parsed(row, "id")?,
        agent_id: column::parsed(row, "agent_id")?,
        title: row.get("title")?,
        last_event: column::natural(row, "last_event")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

impl Entry for Session {
    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn bytes(&self) -> usize {
        self.title.len()
    }
}

impl Reader<'_> {
    /// A session.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Sql`].
    pub fn session(&self, id: &SessionId) -> Result<Session, StoreError> {
        self.first("read session", select!("WHERE id = ?1"), [id.as_str()], session)?
            .ok_or_else(|| StoreError::not_found("session", id))
    }

    /// Sessions, oldest first; of these agents when given.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn sessions(
        &self,
        agents: Option<&[AgentId]>,
        paging: &Paging,
    ) -> Result<List<Session>, StoreError> {
        let (after, limit) = (paging.after_id(), paging.rows());
        match agents {
            Some(agents) => {
                let among = column::placeholders(agents.len(), 3);
                let sql = format!(
                    select!("WHERE id > ?1 AND agent_id IN ({}) ORDER BY id LIMIT ?2"),
                    among
                );
                let mut parameters: Vec<&dyn ToSql> = vec![&after, &limit];
                let ids: Vec<&str> = agents.iter().map(AgentId::as_str).collect();
                parameters.extend(ids.iter().map(|id| id as &dyn ToSql));
                self.page("list sessions", &sql, &parameters[..], session, paging)
            }
            None => {
                let sql = select!("WHERE id > ?1 ORDER BY id LIMIT ?2");
                self.page("list sessions", sql, params![after, limit], session, paging)
            }
        }
    }
}

impl AuditedWriter<'_, '_> {
    /// Adds a session.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the agent (by identifier or name).
    pub fn create_session(&mut self, new: NewSession) -> Result<Session, StoreError> {
        // A name cannot look like an identifier: it has no underscore.
        let agent_id = self
            .first(
                "create session",
                "SELECT id FROM agents WHERE id = ?1 OR name = ?1",
                [&new.agent],
                |row| column::parsed(row, "id"),
            )?
            .ok_or_else(|| StoreError::not_found("agent", &new.agent))?;
        let now = column::now();
        let session = Session {
            id: SessionId::new(),
            agent_id,
            title: new.title,
            last_event: 0,
            created_at: now.clone(),
            updated_at: now,
        };
        self.execute(
            "create session",
            "INSERT INTO sessions (id, agent_id, title, last_event, created_at, updated_at)
             VALUES (?1, ?2, ?3, 0, ?4, ?5)",
            params![
                session.id.as_str(),
                session.agent_id.as_str(),
                session.title,
                session.created_at,
                session.updated_at,
            ],
        )?;
        self.record(Action::SessionCreate, session.id.as_str(), None, &[])?;
        Ok(session)
    }

    /// Changes a session.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn change_session(
        &mut self,
        id: &SessionId,
        change: SessionChange,
    ) -> Result<Session, StoreError> {
        let before = self.session(id)?;
        let mut session = before.clone();
        session.title = change.title.unwrap_or(session.title);
        session.updated_at = column::now();
        self.execute(
            "change session",
            "UPDATE sessions SET title = ?2, updated_at = ?3 WHERE id = ?1",
            params![id.as_str(), session.title, session.updated_at],
        )?;
        let fields = differences(&before, &session);
        self.record(Action::SessionUpdate, id.as_str(), None, &fields)?;
        Ok(session)
    }

    /// Deletes a session with its messages, turns and events.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`] `session_busy` while a turn of it is
    /// queued or running.
    pub fn delete_session(&mut self, id: &SessionId) -> Result<(), StoreError> {
        let session = self.session(id)?;
        let busy: bool = self.one(
            "delete session",
            "SELECT EXISTS (SELECT 1 FROM turns
             WHERE session_id = ?1 AND state IN ('queued', 'running')) AS busy",
            [id.as_str()],
            |row| row.get("busy"),
        )?;
        if busy {
            let message = format!("session {} has turns that are queued or running", session.id);
            return Err(StoreError::conflict(Conflict::SessionBusy, message));
        }
        self.execute("delete session", "DELETE FROM sessions WHERE id = ?1", [id.as_str()])?;
        self.record(Action::SessionDelete, id.as_str(), None, &[])
    }
}
