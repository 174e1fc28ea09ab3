//! Each part proves itself; the ages of the proofs are the heartbeat.
