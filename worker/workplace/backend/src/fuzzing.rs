//! Entry points for the fuzzer.

use evonic_shared::fuzzing::Decoder;

use crate::search::fuzzing::{archive, gitignore, listing, ripgrep};

/// This crate's decoders.
pub const DECODERS: &[(&str, Decoder)] =
    &[("archive", archive), ("gitignore", gitignore), ("listing", listing), ("ripgrep", ripgrep)];
