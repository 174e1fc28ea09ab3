//! This room's decoders, for the fuzzer.

pub(crate) use super::{
    config_file::decoded as ssh_config, known_hosts::decoded as known_hosts, sftp::decoded as sftp,
};
