//! The HTTP server: warp filters behind an accept loop of our own.
//!
//! Owns the connections of clients from their accept to their close, what every request passes
//! (guard, keys, limits), the route table and its handlers, and the event streams.
//!
//! It must not have: SQL, descriptors without a permit of kind `http`, work of agents within a
//! request (a handler writes what was asked to the store and wakes the queue), or a path that is
//! not in the table of `routes`.
//!
//! ```text
//! acceptor -> connection -> request_service (guard, admission) -> route -> store, agents
//! ```
//!
//! | Part | What it does |
//! |---|---|
//! | `server`, `server_state`, `shutdown` | start and drain; what all connections share |
//! | `acceptor`, `tls` | permit, accept, handshake |
//! | `places` | who may hold a connection, and who gives one up when there is no place |
//! | `connection`, `byte_stream`, `lingering_stream`, `connection_timers` | a connection's time limits, and its close without a reset |
//! | `request_service`, `guard`, `proxies`, `own_addresses`, `proxy_secret`, `observed_body` | what every request passes and every answer carries |
//! | `admission`, `caller`, `keyring`, `limits` | who asks, whether they may, and how often |
//! | `route`, `router`, `call`, `query`, `header`, `body`, `idempotency` | a line of the table, and what its handler is given |
//! | `routes`, `state`, `visibility`, `running_copies` | the table, the handlers, and what they share |
//! | `answer`, `problem`, `event_stream`, `session_stream`, `open_streams` | what handlers answer |
//! | `health`, `metrics`, `exposition`, `process`, `supervision` | what the worker says of itself |

mod accept;
mod acceptor;
mod admission;
mod answer;
mod blob_upload;
mod body;
mod byte_stream;
mod call;
mod caller;
mod connection;
mod connection_timers;
mod event_stream;
mod exposition;
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod header;
mod health;
mod idempotency;
mod keyring;
mod limits;
mod lingering_stream;
mod metrics;
mod observed_body;
mod open_streams;
mod own_addresses;
mod places;
mod problem;
mod process;
mod proxies;
mod proxy_secret;
mod query;
mod request_framing;
mod request_service;
mod request_stream;
mod route;
mod router;
mod routes;
mod running_copies;
mod server;
mod server_state;
mod session_stream;
mod shutdown;
mod state;
mod supervision;
mod tls;
mod visibility;

#[cfg(test)]
mod tests;

pub use self::{
    server::{Listeners, Server, ServerError},
    state::App,
    supervision::Supervision,
    tls::TlsError,
};
