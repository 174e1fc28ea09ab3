//! Sessions.

use crate::{
    AuditedWriter, Conflict, List, Paging, Reader, StoreError, audited_writer::differences, column,
    page::Entry, record::Record, retention::REMOVED,
};
use evonic_domain::{Action, AgentId, NewSession, Session, SessionChange, SessionId, Usage};

impl Record for Session {
    const NAME: &'static str = "session";
    const TABLE: &'static str = "sessions";
    const JSON: &'static [&'static str] = &["usage"];
    const SHOWN: &'static str = "hidden IS NULL";
}

impl Entry for Session {
    fn id(&self) -> String {
        self.id.to_string()
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
        self.find("read session", "id = ?1", id.as_str())
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
        self.list("list sessions", agents.map(|ids| ("agent_id", ids)), paging)
    }
}

impl AuditedWriter<'_, '_> {
    /// Adds a session.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the agent (by identifier or name).
    pub fn create_session(&mut self, new: NewSession) -> Result<Session, StoreError> {
        let agent_id = self.agent(&new.agent)?.id;
        self.require_room()?;
        let now = column::now();
        let session = Session {
            id: SessionId::new(),
            agent_id,
            title: new.title,
            last_event: 0,
            usage: Usage::default(),
            cost: 0,
            created_at: now.clone(),
            updated_at: now,
        };
        let day = self.day()?;
        self.insert("create session", &session, vec![("active_day".to_owned(), day.into())])?;
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
        self.update("change session", &session)?;
        let fields = differences(&before, &session);
        self.record(Action::SessionUpdate, id.as_str(), None, &fields)?;
        Ok(session)
    }

    /// Deletes a session with its messages, turns and events. Of a long one the rest goes by
    /// [`Writer::purge_some`](crate::Writer::purge_some). Returns whether nothing of it is left.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`] `session_busy` while a turn of it is
    /// queued or running.
    pub fn delete_session(&mut self, id: &SessionId) -> Result<bool, StoreError> {
        let session = self.session(id)?;
        let sql = "SELECT 1 FROM turns WHERE session_id = ?1 AND state IN ('queued', 'running')";
        if self.exists("delete session", sql, [id.as_str()])? {
            let message = format!("session {} has turns that are queued or running", session.id);
            return Err(StoreError::conflict(Conflict::SessionBusy, message));
        }
        // A long one would keep every other write waiting: it goes little by little.
        self.execute(
            "delete session",
            "UPDATE sessions SET hidden = ?2 WHERE id = ?1",
            [id.as_str(), REMOVED],
        )?;
        let is_gone = self.purge_some(id.as_str())?;
        self.record(Action::SessionDelete, id.as_str(), None, &[])?;
        Ok(is_gone)
    }
}
