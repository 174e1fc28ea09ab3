//! Entry points for the fuzzer.

use evonic_shared::fuzzing::Decoder;

use crate::{remote, runbook};

/// This crate's decoders.
pub const DECODERS: &[(&str, Decoder)] =
    &[
    ("model", remote::openai_answer),
    ("messages", remote::messages_answer),
    ("runbook", runbook::runbook),
];
