//! Turns on the real store, the real tools and real models.

mod bounds;
mod failing;
mod fair;
mod harness;
mod output;
mod places;
mod reads;
mod running;
mod stopping;
mod takeover;
