//! The network as a client uses it.
//!
//! | Module | Owns |
//! |---|---|
//! | `resolve` | name look-ups |
//! | `connect` | TCP connections, and TLS over them |
//! | `tls` | trusted authorities and own certificates of a TLS client |
//! | [`outbound`] | addresses from outside: one policy, and the only way to ask them |
//! | [`sse`] | the decoder of `text/event-stream` |
//!
//! Has no retries and no pool, and HTTP only to ask an address from outside: who connects, how often
//! and for what is decided above.

mod account;
mod connect;
#[doc(hidden)]
pub mod fuzzing;
pub mod outbound;
mod resolve;
pub mod sse;
mod tls;

pub use tokio_rustls::TlsConnector;

pub use self::{
    account::Account,
    connect::{ConnectError, Connector, Keepalive, Stream},
    resolve::{Peer, ResolveError, resolve, resolve_blocking},
    tls::{Authorities, Identity, TlsError, client},
};
