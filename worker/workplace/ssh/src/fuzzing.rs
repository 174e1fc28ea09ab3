//! Entry points for the fuzzer.

use evonic_shared::fuzzing::Decoder;

use crate::{config_file, known_hosts};

/// This crate's decoders.
pub const DECODERS: &[(&str, Decoder)] =
    &[("known_hosts", known_hosts::decoded), ("ssh_config", config_file::decoded)];
