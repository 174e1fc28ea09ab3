//! Entry points for the fuzzer.

use evonic_shared::fuzzing::Decoder;

use crate::screen::fuzz;

/// This crate's decoders.
pub const DECODERS: &[(&str, Decoder)] = &[("screen", fuzz)];
