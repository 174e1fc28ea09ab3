//! The agent server: HTTP in front, turns of agents behind it, SQLite below.
//!
//! | Room | What it holds |
//! |---|---|
//! | [`handles`] | the budget and ledger of descriptors; the only doors that open one |
//! | [`domain`] | agents, sessions, messages, turns, items, events: plain values |
//! | [`store`] | SQLite: all SQL, per-request handles, the group-commit writer, the event hub |
//! | [`model`] | what answers a turn: OpenAI-compatible endpoints, and the runbook |
//! | [`tools`] | what a model may call |
//! | [`workplace`] | where tools act: files and commands of the local workplace |
//! | [`agent`] | turns as durable state machines, their queue and ownership |
//! | [`http`] | accept loop, routes, problem details, health, metrics |
//! | [`supervision`] | what the supervisor told of itself |
//! | [`life`] | start, control channel, heartbeat, drain, backstop |
//! | [`sse`] | server-sent events, decoded |
//! | [`console`] | the operator's command line |
//!
//! # Invariants
//! - A descriptor that load can multiply is opened only by the gates named in [`handles`], under a
//!   permit.
//! - `domain` knows no database, no HTTP and no clock. SQL stands nowhere but in `store`.
//! - `http` runs no agent work: it writes what was asked to the store and wakes the queue.
//! - `agent` never writes a turn it does not own: every write names its generation.

pub mod agent;
pub mod console;
#[cfg(any(test, feature = "fuzzing"))]
pub mod decoders;
pub mod domain;
pub mod handles;
pub mod http;
pub mod life;
pub mod model;
pub mod sse;
pub mod store;
pub mod supervision;
pub mod tools;
pub mod workplace;
