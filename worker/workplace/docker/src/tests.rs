//! Tests against a real engine, and against one that plays false.

mod commands;
mod files;
mod hostile;
mod lifecycle;
mod world;
