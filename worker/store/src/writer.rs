//! What can be written, within the writer's transaction.
//!
//! Every write of a turn names its [`Lease`] and fails with [`StoreError::Fenced`] when the
//! database knows another owner. The writes themselves stand with what they write: `agents`,
//! `sessions`, `messages`, `claims`, `steps`.

use rusqlite::{Connection, Params};

use crate::{Reader, StoreError, error::During};
use evonic_domain::{Agent, Event, Lease, ToolCall, Turn};

/// The writer's handle within one transaction. Reads through [`Reader`] by dereference.
#[derive(Debug)]
pub struct Writer<'a> {
    reader: Reader<'a>,
    /// Appended and not yet published.
    events: Vec<Event>,
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
    /// Names its command for ever: its record, and its processes (`EVONIC_CALL`).
    pub command_id: String,
    /// Where it was started: identifier of a workplace, or `local`.
    pub workplace: String,
    /// Bytes of its output that are in the event log; [`PendingCall::ALL`] once the log says that
    /// no more of it is shown.
    pub output_offset: u64,
    /// Workers in a row that died while they had it, without a byte more of its output.
    pub takeovers: u32,
    /// Why it runs a second time, if it does.
    pub repeated: Option<String>,
}

impl PendingCall {
    /// Stands for all of an output: the largest integer of the database.
    pub const ALL: u64 = i64::MAX.unsigned_abs();

    /// A call that is about to run there, for the first time.
    #[must_use]
    pub fn new(call: ToolCall, command_id: &str, workplace: &str) -> Self {
        let (command_id, workplace) = (command_id.to_owned(), workplace.to_owned());
        Self { call, command_id, workplace, output_offset: 0, takeovers: 0, repeated: None }
    }
}

impl<'a> Writer<'a> {
    pub(super) const fn new(connection: &'a Connection) -> Self {
        Self { reader: Reader::new(connection), events: Vec::new() }
    }

    /// Runs a statement; returns how many rows it changed.
    pub(super) fn execute(
        &mut self,
        operation: &'static str,
        sql: &str,
        parameters: impl Params,
    ) -> Result<usize, StoreError> {
        self.connection()
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(parameters))
            .during(operation)
    }

    /// Remembers an event for when the transaction is committed.
    pub(super) fn remember(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Where the events of the next closure begin.
    pub(super) const fn position(&self) -> usize {
        self.events.len()
    }

    /// Forgets the events of a closure that is undone.
    pub(super) fn forget_after(&mut self, position: usize) {
        self.events.truncate(position);
    }

    /// What was appended, in order.
    pub(super) fn into_events(self) -> Vec<Event> {
        self.events
    }
}
