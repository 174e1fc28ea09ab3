//! The control channel, on a plain thread.
