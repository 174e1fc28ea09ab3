//! What can be written, within the writer's transaction.
//!
//! Every write of a turn names its [`Lease`] and fails with [`StoreError::Fenced`] when the
//! database knows another owner. The writes themselves stand with what they write: `agents`,
//! `sessions`, `messages`, `claims`, `steps`.

use std::time::Duration;

use rusqlite::{Connection, Params, params_from_iter};

use crate::{
    Conflict, Reader, StoreError,
    budgets::BudgetPresence,
    error::During,
    record::{Columns, Record},
};
use evonic_domain::{Agent, Event, Lease, ResponseFormat, ToolCall, Turn};

/// The writer's handle within one transaction. Reads through [`Reader`] by dereference.
#[derive(Debug)]
pub struct Writer<'a> {
    reader: Reader<'a>,
    /// Appended and not yet published.
    pub(super) events: Vec<Event>,
    pub(super) budget_presence: BudgetPresence,
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
    /// How long workers have run it before.
    pub ran: Duration,
    /// Workers that died while they had it, since its last committed step.
    pub takeovers: u32,
    /// Faults of the endpoint in its present model call before.
    pub faults: u32,
    /// For how long that call was tried, with what it waited in between.
    pub tried: Duration,
    /// The form that its answer must have, if it must.
    pub response_format: Option<ResponseFormat>,
    /// How often the model was asked again because its reply had not that form.
    pub corrections: u32,
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
        Self { call, command_id, workplace, output_offset: 0, repeated: None }
    }
}

impl<'a> Writer<'a> {
    pub(super) const fn new(connection: &'a Connection, budget_presence: BudgetPresence) -> Self {
        Self { reader: Reader::new(connection), events: Vec::new(), budget_presence }
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

    /// Adds a record, with these columns beside those of its fields.
    pub(super) fn insert<T: Record>(
        &mut self,
        operation: &'static str,
        record: &T,
        more: Columns,
    ) -> Result<(), StoreError> {
        let (names, values): (Vec<_>, Vec<_>) = record.columns().into_iter().chain(more).unzip();
        let (table, places) = (T::TABLE, vec!["?"; names.len()].join(", "));
        let sql = format!("INSERT INTO {table} ({}) VALUES ({places})", names.join(", "));
        self.execute(operation, &sql, params_from_iter(values)).map(drop)
    }

    /// Writes every field of a record that is there.
    pub(super) fn update<T: Record>(
        &mut self,
        operation: &'static str,
        record: &T,
    ) -> Result<(), StoreError> {
        let (names, mut values): (Vec<_>, Vec<_>) = record.columns().into_iter().unzip();
        values.push(record.id().into());
        let (table, places) = (T::TABLE, vec!["?"; names.len()].join(", "));
        let sql = format!("UPDATE {table} SET ({}) = ({places}) WHERE id = ?", names.join(", "));
        self.execute(operation, &sql, params_from_iter(values)).map(drop)
    }

    /// Refuses a name by which `find` finds something.
    pub(super) fn require_free<T>(
        &self,
        what: &str,
        name: &str,
        find: impl FnOnce(&Reader<'a>, &str) -> Result<T, StoreError>,
    ) -> Result<(), StoreError> {
        match find(&self.reader, name) {
            Ok(_) => {
                let message = format!("{what} is named {name} already");
                Err(StoreError::conflict(Conflict::NameTaken, message))
            }
            Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
