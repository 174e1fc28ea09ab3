//! What a turn's owner commits, step by step.

use rusqlite::params;

use crate::{PendingCall, StoreError, Writer, column};
use evonic_domain::{
    Carried, EventKind, Item, Lease, Message, MessageId, ModelCall, Outcome, Role, SessionId,
    ToolCall, Turn, TurnEnd, TurnId, TurnState, Usage,
};

/// What the model is shown of a call that its turn's end left without a result.
const NOT_FINISHED: &str = "The turn ended before this call had a result.";

/// A model's reply, to be committed as a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewReply {
    pub text: String,
    /// The calls it asks for, in order.
    pub tool_calls: Vec<ToolCall>,
    pub usage: Usage,
    /// The configured name of the model that made it.
    pub model: String,
    /// Of its tokens, in pico-units.
    pub cost: u64,
    pub carried: Option<Carried>,
}

impl Writer<'_> {
    /// Appends events of a turn that stand for nothing but themselves: deltas, output, retraction.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    pub fn append(&mut self, lease: &Lease, events: Vec<EventKind>) -> Result<(), StoreError> {
        self.check_lease(lease)?;
        let partial_text = events.iter().rev().find_map(|event| match event {
            EventKind::TextDelta { .. } => Some(true),
            EventKind::TextRetracted { .. } => Some(false),
            _ => None,
        });
        if let Some(partial_text) = partial_text {
            self.execute(
                "append events",
                "UPDATE turns SET partial_text = ?2 WHERE id = ?1 AND partial_text <> ?2",
                params![lease.turn_id.as_str(), partial_text],
            )?;
        }
        self.add_events(&lease.session_id, &lease.turn_id, &events)
    }

    /// Commits a model reply as the next step: its item, `step.completed`, its tokens in every
    /// sum, `budget.reached` where one is.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    pub fn record_reply(&mut self, lease: &Lease, reply: NewReply) -> Result<(), StoreError> {
        self.check_lease(lease)?;
        let NewReply { text, tool_calls, usage, model, cost, carried } = reply;
        let step = self.one(
            "record reply",
            "UPDATE turns SET steps = steps + 1, partial_text = 0, takeovers = 0, attempts = 0,
             attempted_at = NULL, tried_ms = 0
             WHERE id = ?1 RETURNING steps",
            [lease.turn_id.as_str()],
            |row| row.get("steps"),
        )?;
        let call = ModelCall { model: model.clone(), usage, cost };
        let item = Item::Assistant {
            text: text.clone(),
            tool_calls,
            usage,
            cost,
            model: model.clone(),
            carried,
        };
        self.add_item(&lease.turn_id, &item)?;
        let completed = EventKind::StepCompleted { step, text, usage, cost, model };
        self.add_events(&lease.session_id, &lease.turn_id, &[completed])?;
        self.count(&lease.turn_id, &call)?;
        Ok(())
    }

    /// Commits that the reply of [`Writer::record_reply`], in the same transaction, has not the form
    /// that it must have, and what the model is told of that: `output.refused`.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    pub fn refuse_output(
        &mut self,
        lease: &Lease,
        path: &str,
        message: &str,
        note: &str,
    ) -> Result<(), StoreError> {
        self.check_lease(lease)?;
        let sql = "UPDATE turns SET corrections = corrections + 1 WHERE id = ?1";
        self.execute("refuse output", sql, [lease.turn_id.as_str()])?;
        let refused =
            EventKind::OutputRefused { path: path.to_owned(), message: message.to_owned() };
        self.add_events(&lease.session_id, &lease.turn_id, &[refused])?;
        self.add_item(&lease.turn_id, &Item::user(note))
    }

    /// Commits that a call is about to run, with the command id of its command and its place:
    /// `tool.started`. One that was interrupted is started again, under a command id of its own.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    pub fn start_call(&mut self, lease: &Lease, start: &PendingCall) -> Result<(), StoreError> {
        self.check_lease(lease)?;
        let PendingCall { call, command_id, workplace, repeated, .. } = start;
        self.execute(
            "start call",
            "INSERT INTO calls (turn_id, step, call_id, name, arguments, command_id, workplace, repeated)
             SELECT id, steps, ?2, ?3, ?4, ?5, ?6, ?7 FROM turns WHERE id = ?1
             ON CONFLICT (turn_id, step, call_id) DO UPDATE SET
                 command_id = excluded.command_id, workplace = excluded.workplace, output_offset = 0,
                 repeated = excluded.repeated, outcome = NULL",
            params![
                lease.turn_id.as_str(),
                call.id,
                call.name,
                call.arguments,
                command_id,
                workplace,
                repeated
            ],
        )?;
        let started = EventKind::ToolStarted {
            call_id: call.id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
        };
        self.add_events(&lease.session_id, &lease.turn_id, &[started])
    }

    /// Appends output of the call that runs, and remembers up to which byte of it the events go:
    /// whoever continues the call continues there.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    pub fn show_output(
        &mut self,
        lease: &Lease,
        call_id: &str,
        text: String,
        output_offset: u64,
    ) -> Result<(), StoreError> {
        self.check_lease(lease)?;
        self.execute(
            "show output",
            "UPDATE calls SET output_offset = ?3
             WHERE turn_id = ?1 AND call_id = ?2 AND outcome IS NULL AND output_offset <> ?3",
            params![lease.turn_id.as_str(), call_id, column::integer(output_offset)],
        )?;
        let output = EventKind::ToolOutput { call_id: call_id.to_owned(), text };
        self.add_events(&lease.session_id, &lease.turn_id, &[output])
    }

    /// Commits a call's result as a step: its item, `tool.completed`.
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
        self.check_lease(lease)?;
        let sql = "UPDATE turns SET takeovers = 0 WHERE id = ?1 AND takeovers > 0";
        self.execute("finish call", sql, [lease.turn_id.as_str()])?;
        self.add_result(&lease.session_id, &lease.turn_id, call, outcome, content)
    }

    /// Ends a turn: its state, its last event, and for a completed one the assistant's message.
    /// For a turn whose last reply had no tool calls, `record_reply` came before it in the same
    /// transaction. Calls that have no result yet get one that says so.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    pub fn end_turn(&mut self, lease: &Lease, end: TurnEnd) -> Result<(), StoreError> {
        self.check_lease(lease)?;
        let (session, turn) = (&lease.session_id, &lease.turn_id);
        self.close_calls(session, turn)?;
        let (state, error, event) = match end {
            TurnEnd::Completed { text } => {
                self.add_answer(lease, text)?;
                let Turn { usage, cost, .. } = self.turn(turn)?;
                (TurnState::Completed, None, EventKind::TurnCompleted { usage, cost })
            }
            TurnEnd::Compacted => {
                let Turn { usage, cost, .. } = self.turn(turn)?;
                (TurnState::Completed, None, EventKind::TurnCompleted { usage, cost })
            }
            TurnEnd::Failed(error) => {
                let event = EventKind::TurnFailed { error: error.clone() };
                (TurnState::Failed, Some(error), event)
            }
            TurnEnd::Cancelled => (TurnState::Cancelled, None, EventKind::TurnCancelled {}),
        };
        let (code, message) = error.map(|error| (error.code.name(), error.message)).unzip();
        self.execute(
            "end turn",
            "UPDATE turns SET state = ?2, error_code = ?3, error_message = ?4, ended_at = ?5,
             owner = NULL, partial_text = 0 WHERE id = ?1",
            params![turn.as_str(), state.name(), code, message, column::now()],
        )?;
        self.add_events(session, turn, &[event])
    }

    /// Gives every call of the last reply that has no result one that says so: a transcript with
    /// an open call is refused by models.
    pub(super) fn close_calls(
        &mut self,
        session: &SessionId,
        turn: &TurnId,
    ) -> Result<(), StoreError> {
        for call in self.open_calls(turn)? {
            self.add_result(session, turn, &call, Outcome::Cancelled, NOT_FINISHED.to_owned())?;
        }
        Ok(())
    }

    /// Adds an item at the end of a turn.
    pub(super) fn add_item(&mut self, turn: &TurnId, item: &Item) -> Result<(), StoreError> {
        let data = column::to_json(item);
        self.execute(
            "store item",
            "INSERT INTO items (turn_id, position, data)
             SELECT ?1, COALESCE(MAX(position) + 1, 0), ?2 FROM items WHERE turn_id = ?1",
            params![turn.as_str(), data],
        )?;
        Ok(())
    }

    fn add_result(
        &mut self,
        session: &SessionId,
        turn: &TurnId,
        call: &ToolCall,
        outcome: Outcome,
        content: String,
    ) -> Result<(), StoreError> {
        self.execute(
            "finish call",
            "UPDATE calls SET outcome = ?3
             WHERE turn_id = ?1 AND call_id = ?2 AND outcome IS NULL",
            params![turn.as_str(), call.id, outcome.name()],
        )?;
        let (call_id, name) = (call.id.clone(), call.name.clone());
        let item = Item::ToolResult {
            call_id: call_id.clone(),
            name: name.clone(),
            outcome,
            content: content.clone(),
        };
        self.add_item(turn, &item)?;
        let completed = EventKind::ToolCompleted { call_id, name, outcome, content };
        self.add_events(session, turn, &[completed])?;
        Ok(())
    }

    fn add_answer(&mut self, lease: &Lease, text: String) -> Result<(), StoreError> {
        let message = Message {
            id: MessageId::new(),
            session_id: lease.session_id.clone(),
            turn_id: lease.turn_id.clone(),
            role: Role::Assistant,
            content: text,
            attachments: Vec::new(),
            created_at: column::now(),
        };
        self.add_message(&message, None, None)
    }
}
