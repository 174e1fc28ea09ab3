//! Who asks: what handlers, limits and records know of a request's origin.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use crate::guard::Peer;
use evonic_domain::{AgentId, KeyId, Origin, Scope};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// The client's address; none on the Unix socket and from inside.
    pub(super) address: Option<IpAddr>,
    pub(super) identity: Identity,
    /// What it may do; none where it may only use what is free.
    pub(super) scope: Option<Scope>,
    /// The only agents that it may see and use; none where it may use every one.
    pub(super) agents: Option<Vec<AgentId>>,
    /// The request's identifier, as it is answered and logged.
    pub(super) request_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    Key(KeyId),
    /// The user of a process at the other end of the Unix socket.
    User(u32),
    /// The supervisor's probe, or this process itself.
    Inside,
    Anonymous,
}

impl Caller {
    /// Who a connection alone makes of its client: the Unix socket and what is inside need no key.
    pub(super) fn of(peer: Peer, request_id: String) -> Self {
        let (address, identity, scope) = match peer {
            Peer::Tcp(address) => (Some(canonical(address)), Identity::Anonymous, None),
            // The guard lets nobody else come this far.
            Peer::Unix(Some(uid)) => (None, Identity::User(uid), Some(Scope::Admin)),
            Peer::Unix(None) | Peer::Command => (None, Identity::Anonymous, None),
            Peer::Inside => (None, Identity::Inside, Some(Scope::Admin)),
        };
        Self { address, identity, scope, agents: None, request_id }
    }

    /// The key's identifier, where one was presented.
    pub(super) const fn key(&self) -> Option<&KeyId> {
        match &self.identity {
            Identity::Key(id) => Some(id),
            Identity::User(_) | Identity::Inside | Identity::Anonymous => None,
        }
    }

    /// Whether it may see and use an agent.
    pub(super) fn may_use(&self, agent: &AgentId) -> bool {
        self.agents.as_ref().is_none_or(|agents| agents.contains(agent))
    }

    /// Who it is, for records: `key_...`, `uid:0`, `inside` or `anonymous`.
    pub(super) fn actor(&self) -> String {
        self.identity.to_string()
    }

    /// Where a change of its comes from.
    pub(super) fn origin(&self) -> Origin {
        let request_id = Some(self.request_id.clone());
        Origin { actor: self.actor(), address: self.address, request_id }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => id.fmt(f),
            Self::User(uid) => write!(f, "uid:{uid}"),
            Self::Inside => f.write_str("inside"),
            Self::Anonymous => f.write_str("anonymous"),
        }
    }
}

/// An IPv4 client of an IPv6 listener is the same client.
const fn canonical(address: SocketAddr) -> IpAddr {
    address.ip().to_canonical()
}
