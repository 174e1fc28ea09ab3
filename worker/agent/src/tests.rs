//! Turns on the real store, the real tools and real models.

mod bounds;
mod failing;
mod fair;
mod harness;
mod output;
mod reads;
mod places;
mod running;
mod stopping;
mod takeover;
