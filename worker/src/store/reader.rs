//! What can be read, within one transaction of one handle.

use crate::{
    domain::{Agent, AgentId, AgentName, Event, Item, Message, Session, SessionId, Turn, TurnId},
    store::{List, Paging, StoreError},
};

/// A handle that lives no longer than the call that got it.
#[derive(Debug)]
pub struct Reader<'a> {
    connection: &'a rusqlite::Connection,
}

impl Reader<'_> {
    /// An agent by its identifier.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Sql`].
    pub fn agent(&self, id: &AgentId) -> Result<Agent, StoreError> {
        let _ = (self.connection, id);
        todo!()
    }

    /// An agent by its name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Sql`].
    pub fn agent_named(&self, name: &AgentName) -> Result<Agent, StoreError> {
        let _ = name;
        todo!()
    }

    /// Agents, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn agents(&self, paging: &Paging) -> Result<List<Agent>, StoreError> {
        let _ = paging;
        todo!()
    }

    /// A session.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Sql`].
    pub fn session(&self, id: &SessionId) -> Result<Session, StoreError> {
        let _ = id;
        todo!()
    }

    /// Sessions, oldest first; of one agent when given.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn sessions(
        &self,
        agent: Option<&AgentId>,
        paging: &Paging,
    ) -> Result<List<Session>, StoreError> {
        let _ = (agent, paging);
        todo!()
    }

    /// Messages of a session, oldest first.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the session, [`StoreError::Sql`].
    pub fn messages(
        &self,
        session: &SessionId,
        paging: &Paging,
    ) -> Result<List<Message>, StoreError> {
        let _ = (session, paging);
        todo!()
    }

    /// A turn.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Sql`].
    pub fn turn(&self, id: &TurnId) -> Result<Turn, StoreError> {
        let _ = id;
        todo!()
    }

    /// Turns of a session, oldest first.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the session, [`StoreError::Sql`].
    pub fn turns(&self, session: &SessionId, paging: &Paging) -> Result<List<Turn>, StoreError> {
        let _ = (session, paging);
        todo!()
    }

    /// The transcript that the model is shown for this turn: every item of its session up to and
    /// with this turn, in order; none of turns queued after it.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn transcript(&self, turn: &TurnId) -> Result<Vec<Item>, StoreError> {
        let _ = turn;
        todo!()
    }

    /// Events of a session after a sequence number, in order, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the session, [`StoreError::Sql`].
    pub fn events(
        &self,
        session: &SessionId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        let _ = (session, after, limit);
        todo!()
    }

    /// Which of these turns have a cancel requested.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn cancels(&self, turns: &[TurnId]) -> Result<Vec<TurnId>, StoreError> {
        let _ = turns;
        todo!()
    }

    /// Generations other than `own` that own running turns.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn foreign_owners(&self, own: u64) -> Result<Vec<u64>, StoreError> {
        let _ = own;
        todo!()
    }

    /// Turns by state: queued and running, for metrics and readiness.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn backlog(&self) -> Result<(u64, u64), StoreError> {
        todo!()
    }
}
