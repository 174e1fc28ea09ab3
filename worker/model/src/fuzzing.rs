//! Entry points for the fuzzer.

use evonic_shared::fuzzing::Decoder;

use crate::{openai, runbook};

/// This crate's decoders.
pub const DECODERS: &[(&str, Decoder)] =
    &[("model", openai::answer), ("runbook", runbook::runbook)];
