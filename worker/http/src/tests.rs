//! The crate over real sockets: plain blocking clients against the real accept loop.

#![expect(clippy::disallowed_methods, reason = "tests are the clients")]

mod agents;
mod bodies;
mod client;
mod closing;
mod copies;
mod document;
mod ended_keys;
mod events;
mod full;
mod guard;
mod health;
mod limits;
mod odd;
mod refusals;
mod secure;
mod sessions;
mod test_server;
mod turns;
mod worker;
mod workplaces;
