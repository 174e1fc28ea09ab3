//! A client of SFTP version 3 (draft-ietf-secsh-filexfer-02), with OpenSSH's extensions.
//!
//! ```text
//! Handshake --server()--> Server --client()--> Client --open_file()--> File --> Reader, Writer
//!     |                                           |
//!     v                                           v  requests, each with an identifier
//! Incoming <-- bytes of the server            PacketSink --> bytes to the server
//! ```
//! Not libssh2's SFTP, which ssh2 offers without `posix-rename` and which answers one request at a
//! time. Here many requests are under way at once. Dropping a request's future costs nothing but
//! its reply.
//!
//! # Invariants
//! - Knows nothing of evonic and nothing of SSH: bytes go out through a [`PacketSink`] and come in
//!   through [`Incoming`].
//! - Paths are the server's bytes. A relative one begins at the [`RemoteHome`], which only the
//!   server's own `SSH_FXP_REALPATH` makes.
//! - Starts no task and no thread, and opens no descriptor.

mod client;
mod error;
mod file;
#[doc(hidden)]
pub mod fuzzing;
mod home;
mod packet;
mod requests;
mod write_window;

pub use client::{Client, FileSystem, Handshake, Printed, Server};
pub use error::{Error, PacketError};
pub use file::{File, Reader, Writer};
pub use home::RemoteHome;
pub use packet::Attributes;
pub use requests::{Incoming, PacketSink};
