//! Tests against a real engine.

mod commands;
mod files;
mod keeping;
mod world;
