//! This room's decoders, for the fuzzer.

pub(crate) use super::{
    search::decoders::{archive, listing},
    ssh::decoders::{known_hosts, sftp, ssh_config},
};
