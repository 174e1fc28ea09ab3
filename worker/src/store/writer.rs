//! What can be written, within the writer's transaction.
//!
//! Every write of a turn names its [`Lease`] and fails with [`StoreError::Fenced`] when the
//! database knows another owner.

use crate::{
    domain::{
        Agent, AgentChange, AgentId, EventKind, Lease, NewAgent, NewSession, Outcome, Posted,
        Session, SessionChange, SessionId, ToolCall, Turn, TurnEnd, TurnId, Usage,
    },
    store::{Reader, StoreError},
};

/// The writer's handle within one transaction. Reads through [`Reader`] by dereference.
#[derive(Debug)]
pub struct Writer<'a> {
    reader: Reader<'a>,
}

impl<'a> std::ops::Deref for Writer<'a> {
    type Target = Reader<'a>;

    fn deref(&self) -> &Reader<'a> {
        &self.reader
    }
}

/// A turn as its new owner gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The right to write it.
    pub lease: Lease,
    /// The turn.
    pub turn: Turn,
    /// Its agent.
    pub agent: Agent,
    /// A call that was started and has no result: its worker died while it ran.
    pub interrupted: Option<PendingCall>,
    /// Whether text of an unfinished reply was published since the last committed step.
    pub partial_text: bool,
    /// The generation that ran it before, when it was taken over or handed over.
    pub predecessor: Option<u64>,
}

/// A tool call that was started and has no result yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingCall {
    /// The call.
    pub call: ToolCall,
    /// The mark that its processes carry in their environment (`EVONIC_CALL`).
    pub mark: String,
}

impl Writer<'_> {
    /// Adds an agent.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] `name_taken`.
    pub fn create_agent(&mut self, new: NewAgent) -> Result<Agent, StoreError> {
        let _ = new;
        todo!()
    }

    /// Changes an agent. A running turn goes on with what it read.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`] `name_taken`.
    pub fn change_agent(&mut self, id: &AgentId, change: AgentChange) -> Result<Agent, StoreError> {
        let _ = (id, change);
        todo!()
    }

    /// Deletes an agent, and with it its sessions.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`] `agent_in_use` while a turn of it is
    /// queued or running.
    pub fn delete_agent(&mut self, id: &AgentId) -> Result<(), StoreError> {
        let _ = id;
        todo!()
    }

    /// Adds a session.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the agent (by identifier or name).
    pub fn create_session(&mut self, new: NewSession) -> Result<Session, StoreError> {
        let _ = new;
        todo!()
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
        let _ = (id, change);
        todo!()
    }

    /// Deletes a session with its messages, turns and events.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`] `session_busy` while a turn of it is
    /// queued or running.
    pub fn delete_session(&mut self, id: &SessionId) -> Result<(), StoreError> {
        let _ = id;
        todo!()
    }

    /// Accepts a message and queues its turn. The same key with the same content returns what was
    /// stored the first time.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] `queue_full` above `max_queued`,
    /// `key_reused` when the key was used with other content.
    pub fn post_message(
        &mut self,
        session: &SessionId,
        content: &str,
        idempotency_key: Option<&str>,
        max_queued: u32,
    ) -> Result<Posted, StoreError> {
        let _ = (session, content, idempotency_key, max_queued);
        todo!()
    }

    /// Asks to cancel a turn. A queued one ends at once; of a running one the owner is told by
    /// the returned state. An ended one stays as it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn request_cancel(&mut self, id: &TurnId) -> Result<Turn, StoreError> {
        let _ = id;
        todo!()
    }

    /// Registers a worker: at least `proposed`, above every generation that ever was.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn register_generation(&mut self, proposed: u64, pid: u32) -> Result<u64, StoreError> {
        let _ = (proposed, pid);
        todo!()
    }

    /// Claims the oldest queued turn whose session has no running one, and appends `turn.started`
    /// or `turn.resumed`.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn claim_turn(&mut self, generation: u64) -> Result<Option<Claimed>, StoreError> {
        let _ = generation;
        todo!()
    }

    /// Queues again every running turn of a generation whose lock is known to be free. Returns
    /// how many.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn take_over(&mut self, dead: u64) -> Result<u32, StoreError> {
        let _ = dead;
        todo!()
    }

    /// Appends events of a turn that stand for nothing but themselves: deltas, output, retraction.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    pub fn append(&mut self, lease: &Lease, events: Vec<EventKind>) -> Result<(), StoreError> {
        let _ = (lease, events);
        todo!()
    }

    /// Commits a model reply with tool calls as the next step: its item, `step.completed`, its
    /// tokens.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    pub fn record_reply(
        &mut self,
        lease: &Lease,
        text: String,
        tool_calls: Vec<ToolCall>,
        usage: Usage,
    ) -> Result<(), StoreError> {
        let _ = (lease, text, tool_calls, usage);
        todo!()
    }

    /// Commits that a call is about to run, with the mark of its processes: `tool.started`.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    pub fn start_call(
        &mut self,
        lease: &Lease,
        call: &ToolCall,
        mark: &str,
    ) -> Result<(), StoreError> {
        let _ = (lease, call, mark);
        todo!()
    }

    /// Commits a call's result: its item, `tool.completed`.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    pub fn finish_call(
        &mut self,
        lease: &Lease,
        call: &ToolCall,
        outcome: Outcome,
        content: String,
    ) -> Result<(), StoreError> {
        let _ = (lease, call, outcome, content);
        todo!()
    }

    /// Ends a turn: its state, its last event, and for a completed one the assistant's message.
    /// For a turn whose last reply had no tool calls, `record_reply` came before it in the same
    /// transaction.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    pub fn end_turn(&mut self, lease: &Lease, end: TurnEnd) -> Result<(), StoreError> {
        let _ = (lease, end);
        todo!()
    }

    /// Hands a turn over at a step boundary: queued again, `turn.handed_over`.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    pub fn hand_over(&mut self, lease: &Lease) -> Result<(), StoreError> {
        let _ = lease;
        todo!()
    }
}
