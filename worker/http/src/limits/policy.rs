//! The quotas by name, and which of them hold for a request.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use evonic_shared::{
    config::{self, Quota},
    named,
};

use evonic_domain::KeyId;
use evonic_store::{Charge, Meter};

/// What is known of who asks, when a request is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who<'a> {
    /// A key that is good.
    Key(&'a KeyId),
    /// A key was presented, and is refused.
    Refused,
    /// No key was presented.
    Nobody,
}

named! {
    /// What a quota counts, with its name in policies, metrics and the database.
    Subject {
        /// Requests with one key.
        Key = "key",
        /// Requests of one address.
        Address = "address",
        /// Keys that one address presented and that were refused.
        Failed = "failed",
    }
}

/// A quota with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    /// `key-1s`, `address-1m`, `failed-1h`.
    pub(super) name: String,
    pub(super) subject: Subject,
    pub(super) quota: Quota,
    /// Its index among those of its subject.
    pub(super) place: usize,
}

#[derive(Debug)]
pub(super) struct Policies([Vec<Policy>; Subject::ALL.len()]);

/// A quota that holds for a request.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) policy: &'a Policy,
    /// For whom, and at what cost.
    pub(super) meter: Meter,
}

impl Policies {
    pub(super) fn new(settings: &config::Limits) -> Self {
        Self(Subject::ALL.map(|subject| {
            let quotas = match subject {
                Subject::Key => &settings.key,
                Subject::Address => &settings.address,
                Subject::Failed => &settings.failed,
            };
            let quotas = quotas.iter().enumerate();
            quotas.map(|(place, &quota)| Policy::new(subject, quota, place)).collect()
        }))
    }

    pub(super) fn of(&self, subject: Subject) -> &[Policy] {
        &self.0[subject as usize]
    }

    /// What a request has to find room in. From a loopback address anybody of this machine may come, a
    /// command of an agent too: none of them takes it from a good key of another.
    pub(super) fn ask(&self, address: IpAddr, who: Who<'_>) -> Vec<Asked<'_>> {
        let is_shared = address.is_loopback();
        let address = address.to_string();
        let mut asked = Vec::new();
        let mut add = |subject: Subject, name: &str, charge: Charge| {
            let subject_name = format!("{} {name}", subject.name());
            asked.extend(self.of(subject).iter().map(|policy| Asked {
                policy,
                meter: Meter { subject: subject_name.clone(), quota: policy.quota, charge },
            }));
        };
        if let Who::Key(key) = who {
            if !is_shared {
                add(Subject::Address, &address, Charge::One);
            }
            add(Subject::Key, key.as_str(), Charge::One);
            if !is_shared {
                add(Subject::Failed, &address, Charge::Check);
            }
        } else {
            add(Subject::Address, &address, Charge::One);
            if who == Who::Refused && !is_shared {
                add(Subject::Failed, &address, Charge::One);
            }
        }
        asked
    }

    /// The place of the quota of failures that lets one through most seldom, and the time between
    /// two.
    pub(super) fn strictest_failure(&self) -> Option<(usize, Duration)> {
        let interval = |policy: &Policy| {
            Duration::from_secs(u64::from(policy.quota.seconds())) / policy.quota.requests()
        };
        self.of(Subject::Failed)
            .iter()
            .map(|policy| (policy.place, interval(policy)))
            .max_by_key(|(_, interval)| *interval)
    }
}

impl Policy {
    fn new(subject: Subject, quota: Quota, place: usize) -> Self {
        let name = format!("{}-{}", subject.name(), quota.window().replace(' ', ""));
        Self { name, subject, quota, place }
    }
}

/// What counts as one client: an IPv4 address, or the first 64 bits of an IPv6 address, of which
/// whoever has one has all.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}
