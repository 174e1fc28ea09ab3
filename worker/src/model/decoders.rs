//! This room's decoders, for the fuzzer.

pub(crate) use super::{openai::answer, runbook::runbook};
