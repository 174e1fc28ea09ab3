//! The program `evonic`: the worker's lifecycle, and the operator's command line.

pub mod console;
pub mod lifecycle;
