//! Turns as durable state machines.
//!
//! A bounded number of queue workers claim turns from the store; each model reply, tool call and
//! tool result is committed before the next step starts. Ownership is a kernel lock that dies
//! with the process: one locked file per generation in `STATE_DIR/generations`.
//!
//! | Part | What it does |
//! |---|---|
//! | `agents` | the handle: start, wake, cancel, drain |
//! | `queue` | claims turns and runs each in a task of its own |
//! | `admission`, `fairness` | who holds a place, and who gets the next one: pure |
//! | `alarm` | when a turn that waits until a time can be claimed |
//! | `turn`, `step` | one turn: its state machine, and the pure choice of the next step |
//! | `repeats` | the loop guard: calls that are made again and again: pure |
//! | `turn_writer` | commits of a turn, retried until they are on disk |
//! | `acceptance` | what a model cannot be given, known before it is asked |
//! | `blobs` | contents of attachments, for models; those that nobody attached |
//! | `context` | what of a session is sent to its model, and which compaction comes next |
//! | `response_schema` | the form that an answer must have, and replies held against it |
//! | `job`, `coalesce` | one model or tool call, and its output as few events |
//! | `ownership`, `watch` | locks of generations; turns of dead ones are taken over |
//! | `facts` | what is learnt of models, kept over restarts |
//! | `state`, `running_turns` | what these share |
//!
//! Not here: HTTP, SQL, what a tool does (`evonic-tools`), how a model is asked (`evonic-model`).

mod acceptance;
mod admission;
mod agents;
mod alarm;
mod blobs;
mod coalesce;
mod context;
mod facts;
mod fairness;
mod job;
mod ownership;
mod queue;
mod repeats;
mod response_schema;
mod running_turns;
mod state;
mod step;
mod turn;
mod turn_writer;
mod watch;

pub use self::{
    acceptance::{Unacceptable, check_message},
    agents::{AgentDeps, Agents},
    ownership::{Generation, OwnershipError, generations_folder},
    response_schema::{Fault, ResponseSchema},
};

#[cfg(test)]
mod tests;
