//! Who asks: what handlers, limits and records know of a request's origin.

use std::{fmt, net::IpAddr};

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
    /// Root, at the other end of the Unix socket.
    User(u32),
    /// The supervisor's probe, or this process itself.
    Inside,
    Anonymous,
}

impl Caller {
    /// Who a connection alone makes of its client: root on the Unix socket and what is inside need no
    /// key. Its address is what the guard says.
    pub(super) fn of(peer: Peer, address: Option<IpAddr>, request_id: String) -> Self {
        let (identity, scope) = match peer {
            Peer::Unix(Some(0)) => (Identity::User(0), Some(Scope::Admin)),
            Peer::Tcp(_) | Peer::Unix(_) => (Identity::Anonymous, None),
            Peer::Inside => (Identity::Inside, Some(Scope::Admin)),
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

    /// Where a change of its comes from.
    pub(super) fn origin(&self) -> Origin {
        let request_id = Some(self.request_id.clone());
        Origin { actor: self.identity.to_string(), address: self.address, request_id }
    }
}

/// As records have it: `key_...`, `uid:0`, `inside` or `anonymous`.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_is_somebody_by_the_kernel_s_word() {
        let of = |peer| {
            let caller = Caller::of(peer, None, String::new());
            (caller.identity, caller.scope)
        };
        assert_eq!(of(Peer::Unix(Some(0))), (Identity::User(0), Some(Scope::Admin)));
        let own = rustix::process::geteuid().as_raw().max(1);
        for uid in [Some(own), Some(1), Some(65_534), Some(u32::MAX), None] {
            assert_eq!(of(Peer::Unix(uid)), (Identity::Anonymous, None), "{uid:?}");
        }
    }
}
