//! Turns on the real store, the real tools and real models.

mod blobs;
mod bounds;
mod compacting;
mod failing;
mod fair;
mod harness;
mod output;
mod places;
mod reads;
mod running;
mod stopping;
mod takeover;
