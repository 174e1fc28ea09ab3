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
//! | `fairness` | who gets the next place: pure |
//! | `turn`, `step` | one turn: its state machine, and the pure choice of the next step |
//! | `turn_writer` | commits of a turn, retried until they are on disk |
//! | `context` | what of a session is sent to its model, and which compaction comes next |
//! | `job`, `coalesce` | one model or tool call, and its output as few events |
//! | `ownership`, `watch` | locks of generations; turns of dead ones are taken over |
//! | `facts` | what is learnt of models, kept over restarts |
//! | `state`, `running_turns` | what these share |
//!
//! Not here: HTTP, SQL, what a tool does (`evonic-tools`), how a model is asked (`evonic-model`).

mod agents;
mod coalesce;
mod context;
mod facts;
mod fairness;
mod job;
mod ownership;
mod queue;
mod running_turns;
mod state;
mod step;
mod turn;
mod turn_writer;
mod watch;

pub use self::{
    agents::{AgentDeps, Agents},
    ownership::{Generation, OwnershipError, generations_folder},
};

#[cfg(test)]
mod tests;
