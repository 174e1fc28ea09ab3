//! Which connection of a host a channel is opened on.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::{Host, end_one_unused};
use crate::connection::{ChannelSlot, Connection, Role};

impl Host {
    /// A slot on a connection of this role. Transfers spread over new connections while they may.
    pub(super) fn free(&self, role: Role) -> Option<ChannelSlot> {
        let mut found = self.alive();
        found.retain(|connection| connection.role == role && connection.is_usable());
        found.sort_by_key(|connection| connection.usage().users);
        let may_spread = role == Role::Transfers
            && found.len() < self.max_connections(role)
            && self.shares.available_permits() > 0;
        let mut found = found.iter().filter(|one| !may_spread || one.usage().users == 0);
        found.find_map(Connection::take_slot)
    }

    /// A slot on a connection of another role, when there can be none of this one.
    pub(crate) fn borrowed(&self, role: Role) -> Option<ChannelSlot> {
        let from = match role {
            Role::Commands => return None,
            Role::Files => Role::Transfers,
            Role::Transfers => Role::Files,
        };
        let mut found = self.alive();
        found.retain(|connection| connection.role == role || connection.role == from);
        found.sort_by_key(|one| one.usage().users);
        found.iter().find_map(Connection::take_slot)
    }

    pub(crate) fn max_connections(&self, role: Role) -> usize {
        let all = self.settings.per_host as usize;
        match role {
            Role::Commands => all.saturating_sub(1).max(1),
            Role::Files => 1,
            Role::Transfers => all.saturating_sub(2),
        }
    }

    /// Whether the server lets a connection of this role have fewer channels than usual.
    pub(super) fn is_limited(&self, role: Role) -> bool {
        self.alive().iter().any(|one| one.role == role && one.is_limited())
    }

    /// The right to one more connection of a role; an unused one of another role gives way.
    pub(super) fn share(&self, role: Role) -> Option<OwnedSemaphorePermit> {
        let connections = self.alive();
        let of_role = connections.iter().filter(|one| one.role == role && one.is_usable());
        if of_role.count() >= self.max_connections(role) {
            return None;
        }
        let share = Arc::clone(&self.shares).try_acquire_owned().ok();
        if share.is_none() {
            end_one_unused(connections.iter().filter(|one| one.role != role));
        }
        share
    }
}
