//! The workplace of a session on another machine.

/// See [`super::super::Place`].
#[derive(Clone, Debug)]
pub(crate) struct Ssh {}
