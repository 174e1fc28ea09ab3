//! Turns on the real store, the real tools and real models.

mod failing;
mod harness;
mod running;
mod stopping;
mod takeover;
