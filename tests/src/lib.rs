//! End-to-end tests of both real programs against real parts.
