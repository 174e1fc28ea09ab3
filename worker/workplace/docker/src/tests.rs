//! Tests against a real engine.

mod commands;
mod files;
mod lifecycle;
mod world;
