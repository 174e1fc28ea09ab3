//! Metrics of requests and connections; no label holds an identifier.

use std::{sync::atomic::AtomicI64, time::Duration};

use evonic_shared::named;
use http::{Method, StatusCode};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// Upper bounds of the duration histogram, in seconds: a page read is under a millisecond, a
/// long wait is a minute.
const BUCKETS: [f64; 12] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 60.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Served {
    method: &'static str,
    route: &'static str,
    status: u16,
}

impl Served {
    /// From what was asked and answered; the template is empty where no route answered.
    pub(super) fn new(method: &Method, template: &'static str, status: StatusCode) -> Self {
        let method = match *method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::POST => "POST",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            _ => "other",
        };
        let route = if template.is_empty() { "none" } else { template };
        Self { method, route, status: status.as_u16() }
    }
}

named! {
    /// Why a connection was refused before any route.
    Refusal {
        /// Every place is in use.
        Full = "full",
        /// The address has as many connections as one may have.
        Address = "address",
        /// The key has as many connections as one may have.
        Key = "key",
        /// What came is no request.
        Malformed = "malformed",
        /// The headers did not end in time.
        SlowHeaders = "slow_headers",
        /// TLS was not agreed on.
        Handshake = "handshake",
    }
}

/// One label and its value.
type Label = [(&'static str, &'static str); 1];

/// The counters of a server's requests and connections.
#[derive(Debug)]
pub(super) struct Metrics {
    requests: Family<Served, Counter>,
    durations: Family<Label, Histogram, fn() -> Histogram>,
    refused: Family<Label, Counter>,
    evicted: Counter,
    connections: Gauge<i64, AtomicI64>,
}

impl Metrics {
    /// At zero, in this registry.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let requests = Family::<Served, Counter>::default();
        let buckets: fn() -> Histogram = || Histogram::new(BUCKETS);
        let durations = Family::new_with_constructor(buckets);
        let refused = Family::<Label, Counter>::default();
        let evicted = Counter::default();
        let connections = Gauge::<i64, AtomicI64>::default();
        registry.register(
            "evonic_http_requests",
            "Requests answered, by method, route and status",
            requests.clone(),
        );
        registry.register(
            "evonic_http_request_duration_seconds",
            "From a request's headers to its answer's",
            durations.clone(),
        );
        registry.register(
            "evonic_http_refused",
            "Connections refused before any route: no place free, too many of one address or key, no \
             TLS, no request, headers too slow",
            refused.clone(),
        );
        registry.register(
            "evonic_http_evicted",
            "Connections closed while they waited for their client, for another to have their place",
            evicted.clone(),
        );
        registry.register("evonic_http_connections", "Connections of clients", connections.clone());
        Self { requests, durations, refused, evicted, connections }
    }

    pub(super) fn served(&self, served: &Served, took: Duration) {
        self.requests.get_or_create(served).inc();
        self.durations.get_or_create(&[("route", served.route)]).observe(took.as_secs_f64());
    }

    pub(super) fn refused(&self, reason: Refusal) {
        self.refused.get_or_create(&[("reason", reason.name())]).inc();
    }

    /// Counts a connection that gave its place up.
    pub(super) fn evicted(&self) {
        self.evicted.inc();
    }

    /// Counts a connection for as long as the guard lives.
    pub(super) fn connection(&self) -> Counted {
        self.connections.inc();
        Counted(self.connections.clone())
    }
}

/// A connection, counted.
#[derive(Debug)]
pub(super) struct Counted(Gauge<i64, AtomicI64>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
