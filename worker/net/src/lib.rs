//! The network as a client uses it.

#[doc(hidden)]
pub mod fuzzing;
pub mod sse;
