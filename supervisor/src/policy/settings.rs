//! The part of the configuration that the policy needs.

use evonic_shared::config::{Config, Fd, Supervisor};

#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub fd: Fd,
    pub supervisor: Supervisor,
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Self { fd: config.fd.clone(), supervisor: config.supervisor.clone() }
    }
}
