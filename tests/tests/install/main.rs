//! Installing: one module for each numbered point of what it must show.

mod api;
mod unit;
