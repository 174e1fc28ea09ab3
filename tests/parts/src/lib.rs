//! Real parts that tests start themselves, and that are gone when they are dropped.
//!
//! - [`Sshd`]: OpenSSH's server on a loopback port of its own, with users made for it.
//! - [`Engine`]: a Docker engine with folders of its own, and an image made without a registry.
//!
//! Both need root. A part that is missing fails the test, with the package that has it.

mod engine;
mod sshd;

pub use engine::Engine;
pub use sshd::{Account, Sshd};
