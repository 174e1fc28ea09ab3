//! Messages, and how one becomes a turn.

use rusqlite::params;

use crate::{
    AuditedWriter, Conflict, List, Paging, Reader, StoreError, Writer, column, page::Entry,
    record::Record,
};
use evonic_domain::{
    Action, Attachment, EventKind, Item, Message, MessageId, Posted, ResponseFormat, Role,
    SessionId, Turn, TurnId, TurnState, Usage,
};

impl Record for Message {
    const NAME: &'static str = "message";
    const TABLE: &'static str = "messages";
    const JSON: &'static [&'static str] = &["attachments"];
}

/// A message that is posted, and what its turn needs beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewPost {
    pub content: String,
    /// Contents that the session refers to.
    pub attachments: Vec<Attachment>,
    pub response_format: Option<ResponseFormat>,
    pub idempotency_key: Option<String>,
    /// SHA-256 of the request, where it has a key.
    pub fingerprint: Option<[u8; 32]>,
    /// Queued turns of the session above which it is refused.
    pub max_queued: u32,
    /// Of the request.
    pub request_id: Option<String>,
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
        cost: 0,
        waiting: None,
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

    /// Whether a message was stored under this key in this session.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn is_posted(&self, session: &SessionId, key: &str) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM messages WHERE session_id = ?1 AND idempotency_key = ?2";
        self.exists("post message", sql, [session.as_str(), key])
    }

    /// What was stored under this key, if anything was: by the same request, or by one that asked
    /// for the same in text alone.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] `key_reused` where it was another one, [`StoreError::Sql`].
    pub fn posted(&self, session: &SessionId, new: &NewPost) -> Result<Option<Posted>, StoreError> {
        let Some(key) = &new.idempotency_key else { return Ok(None) };
        let sql = "SELECT messages.*, fingerprint IS NOT NULL AND fingerprint = ?3 AS is_same,
                       (SELECT response_format FROM turns WHERE turns.id = messages.turn_id)
                           AS response_format
             FROM messages WHERE session_id = ?1 AND idempotency_key = ?2";
        let fingerprint = new.fingerprint.map(|fingerprint| fingerprint.to_vec());
        let found =
            self.first("post message", sql, params![session.as_str(), key, fingerprint], |row| {
                let format: Option<String> = row.get("response_format")?;
                Ok((Message::from_row(row)?, row.get::<_, bool>("is_same")?, format))
            })?;
        let Some((message, is_same, format)) = found else { return Ok(None) };
        let is_text = message.attachments.is_empty() && new.attachments.is_empty();
        let says_the_same = is_text
            && message.content == new.content
            && format == new.response_format.as_ref().map(column::to_json);
        if !is_same && !says_the_same {
            return Err(StoreError::key_reused(key));
        }
        let first = self.turn(&message.turn_id)?.request_id;
        Ok(Some(Posted { turn: queued(&message, first.as_deref()), message }))
    }
}

impl AuditedWriter<'_, '_> {
    /// As [`AuditedWriter::post`], for a message of text alone.
    ///
    /// # Errors
    /// As there.
    pub fn post_message(
        &mut self,
        session: &SessionId,
        content: &str,
        idempotency_key: Option<&str>,
        max_queued: u32,
        request_id: Option<&str>,
    ) -> Result<Posted, StoreError> {
        let new = NewPost {
            content: content.to_owned(),
            idempotency_key: idempotency_key.map(str::to_owned),
            max_queued,
            request_id: request_id.map(str::to_owned),
            ..NewPost::default()
        };
        self.post(session, new)
    }

    /// Accepts a message and queues its turn, which keeps the request's identifier. The same key
    /// with the same request returns what was stored the first time.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also of an attachment that the session does not refer to;
    /// [`StoreError::Conflict`] `queue_full` above `max_queued`, `key_reused` when the key was used
    /// for another message.
    pub fn post(&mut self, session: &SessionId, new: NewPost) -> Result<Posted, StoreError> {
        let agent = self.session(session)?.agent_id;
        if let Some(posted) = self.posted(session, &new)? {
            return Ok(posted);
        }
        self.require_room()?;
        self.check_queue(session, new.max_queued)?;
        self.use_blobs(session, new.attachments.iter().map(|it| it.sha256.as_str()))?;
        let NewPost { content, attachments, response_format, request_id, .. } = new;
        let message = Message {
            id: MessageId::new(),
            session_id: session.clone(),
            turn_id: TurnId::new(),
            role: Role::User,
            content: content.clone(),
            attachments: attachments.clone(),
            created_at: column::now(),
        };
        let posted_by = self.actor().to_owned();
        self.execute(
            "queue turn",
            "INSERT INTO turns (id, session_id, state, steps, cancel_requested, partial_text,
             input_tokens, output_tokens, created_at, request_id, posted_by, agent_id,
             response_format)
             VALUES (?1, ?2, 'queued', 0, 0, 0, 0, 0, ?3, ?4, ?5, ?6, ?7)",
            params![
                message.turn_id.as_str(),
                session.as_str(),
                message.created_at,
                request_id,
                posted_by,
                agent.as_str(),
                response_format.as_ref().map(column::to_json)
            ],
        )?;
        self.wait_behind(&message.turn_id)?;
        self.add_item(&message.turn_id, &Item::User { text: content, attachments })?;
        self.add_message(&message, new.idempotency_key.as_deref(), new.fingerprint)?;
        let within = Some(session.as_str());
        self.record(Action::MessageCreate, message.id.as_str(), within, &[])?;
        Ok(Posted { turn: queued(&message, request_id.as_deref()), message })
    }
}

impl Writer<'_> {
    /// Stores a message and says so.
    pub(super) fn add_message(
        &mut self,
        message: &Message,
        idempotency_key: Option<&str>,
        fingerprint: Option<[u8; 32]>,
    ) -> Result<(), StoreError> {
        let key = idempotency_key.map(str::to_owned);
        let fingerprint = fingerprint.map(|fingerprint| fingerprint.to_vec());
        let more = vec![
            ("idempotency_key".to_owned(), key.into()),
            ("fingerprint".to_owned(), fingerprint.into()),
        ];
        self.insert("store message", message, more)?;
        let created = EventKind::MessageCreated {
            message_id: message.id.clone(),
            role: message.role,
            content: message.content.clone(),
            attachments: message.attachments.clone(),
        };
        self.add_events(&message.session_id, &message.turn_id, &[created])
    }

    pub(super) fn check_queue(
        &self,
        session: &SessionId,
        max_queued: u32,
    ) -> Result<(), StoreError> {
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
