//! Turns on the real store, the real tools and real models.

mod running;
mod shop;
mod stopping;
mod takeover;
