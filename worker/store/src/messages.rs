//! Messages, and how one becomes a turn.

use rusqlite::params;

use crate::{
    AuditedWriter, Conflict, List, Paging, Reader, StoreError, Writer, column, page::Entry,
    record::Record,
};
use evonic_domain::{
    Action, EventKind, Item, Message, MessageId, Posted, Role, SessionId, Turn, TurnId, TurnState,
    Usage,
};

impl Record for Message {
    const NAME: &'static str = "message";
    const TABLE: &'static str = "messages";
}

/// A turn as it is queued.
fn queued(message: &Message, request_id: Option<&str>) -> Turn {
    Turn {
        id: message.turn_id.clone(),
        session_id: message.session_id.clone(),
        state: TurnState::Queued,
        steps: 0,
        owner: None,
        cancel_requested: false,
        error: None,
        usage: Usage::default(),
        request_id: request_id.map(str::to_owned),
        created_at: message.created_at.clone(),
        started_at: None,
        ended_at: None,
    }
}

impl Entry for Message {
    fn id(&self) -> String {
        self.id.to_string()
    }

    fn bytes(&self) -> usize {
        self.content.len()
    }
}

impl Reader<'_> {
    /// Messages of a session, oldest first.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the session, [`StoreError::Sql`].
    pub fn messages(
        &self,
        session: &SessionId,
        paging: &Paging,
    ) -> Result<List<Message>, StoreError> {
        self.list_of_session("list messages", session, paging)
    }
}

impl AuditedWriter<'_, '_> {
    /// Accepts a message and queues its turn, which keeps the request's identifier. The same key
    /// with the same content returns what was stored the first time.
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
        request_id: Option<&str>,
    ) -> Result<Posted, StoreError> {
        let agent = self.session(session)?.agent_id;
        if let Some(posted) = self.posted(session, content, idempotency_key)? {
            return Ok(posted);
        }
        self.require_room()?;
        self.check_queue(session, max_queued)?;
        let message = Message {
            id: MessageId::new(),
            session_id: session.clone(),
            turn_id: TurnId::new(),
            role: Role::User,
            content: content.to_owned(),
            created_at: column::now(),
        };
        let posted_by = self.actor().to_owned();
        self.execute(
            "queue turn",
            "INSERT INTO turns (id, session_id, state, steps, cancel_requested, partial_text,
             input_tokens, output_tokens, created_at, request_id, posted_by, agent_id)
             VALUES (?1, ?2, 'queued', 0, 0, 0, 0, 0, ?3, ?4, ?5, ?6)",
            params![
                message.turn_id.as_str(),
                session.as_str(),
                message.created_at,
                request_id,
                posted_by,
                agent.as_str()
            ],
        )?;
        self.add_item(&message.turn_id, &Item::User { text: content.to_owned() })?;
        self.add_message(&message, idempotency_key)?;
        let within = Some(session.as_str());
        self.record(Action::MessageCreate, message.id.as_str(), within, &[])?;
        Ok(Posted { turn: queued(&message, request_id), message })
    }
}

impl Writer<'_> {
    /// Stores a message and says so.
    pub(super) fn add_message(
        &mut self,
        message: &Message,
        idempotency_key: Option<&str>,
    ) -> Result<(), StoreError> {
        let key = idempotency_key.map(str::to_owned);
        self.insert("store message", message, vec![("idempotency_key".to_owned(), key.into())])?;
        let created = EventKind::MessageCreated {
            message_id: message.id.clone(),
            role: message.role,
            content: message.content.clone(),
        };
        self.add_events(&message.session_id, &message.turn_id, &[created])
    }

    /// What was stored under this key, if anything was.
    fn posted(
        &self,
        session: &SessionId,
        content: &str,
        idempotency_key: Option<&str>,
    ) -> Result<Option<Posted>, StoreError> {
        let Some(key) = idempotency_key else { return Ok(None) };
        let sql = "SELECT * FROM messages WHERE session_id = ?1 AND idempotency_key = ?2";
        match self.first("post message", sql, [session.as_str(), key], Message::from_row)? {
            Some(message) if message.content == content => {
                let first = self.turn(&message.turn_id)?.request_id;
                Ok(Some(Posted { turn: queued(&message, first.as_deref()), message }))
            }
            Some(_) => Err(StoreError::key_reused(key)),
            None => Ok(None),
        }
    }

    fn check_queue(&self, session: &SessionId, max_queued: u32) -> Result<(), StoreError> {
        let waiting = self.one(
            "post message",
            "SELECT COUNT(*) AS waiting FROM turns WHERE session_id = ?1 AND state = 'queued'",
            [session.as_str()],
            |row| column::natural(row, "waiting"),
        )?;
        if waiting >= u64::from(max_queued) {
            let message = format!("session {session} has {waiting} queued turns");
            return Err(StoreError::conflict(Conflict::QueueFull, message));
        }
        Ok(())
    }
}
