//! What `/metrics` prints besides the request counters: metrics that are read at each scrape.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeLabelSet, EncodeMetric,
        text::{encode_eof, encode_registry},
    },
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use crate::supervision::{SupervisorReport, epoch_seconds};
use evonic_handles::Usage;
use evonic_workplace::HostState;

/// Values of one moment. Those that could not be read are left out.
#[derive(Debug)]
pub(super) struct ScrapeMetrics {
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: Option<u64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) start_time_seconds: f64,
    /// Handles by kind.
    pub(super) usage: Vec<Usage>,
    /// Turns queued and running.
    pub(super) turns: Option<(u64, u64)>,
    pub(super) generation: u64,
    /// Hosts and engines of workplaces: as many as the operator named.
    pub(super) hosts: Vec<HostState>,
    pub(super) supervision: SupervisorReport,
}

type Labels = [(&'static str, &'static str); 1];

impl ScrapeMetrics {
    /// The whole exposition, in the OpenMetrics text format that Prometheus reads.
    ///
    /// # Errors
    /// [`fmt::Error`] when a metric cannot be encoded.
    pub(super) fn expose(self, registry: &Registry) -> Result<String, fmt::Error> {
        let mut scraped = Registry::default();
        scraped.register_collector(Box::new(self));
        let mut text = String::new();
        encode_registry(&mut text, registry)?;
        encode_registry(&mut text, &scraped)?;
        encode_eof(&mut text)?;
        Ok(text)
    }

    fn handles(&self, value: impl Fn(&Usage) -> u64) -> Vec<(Labels, u64)> {
        self.usage.iter().map(|usage| ([("kind", usage.kind.name())], value(usage))).collect()
    }

    fn hosts(&self, value: impl Fn(&HostState) -> u64) -> Vec<([(&'static str, &str); 1], u64)> {
        self.hosts.iter().map(|host| ([("host", host.host.as_str())], value(host))).collect()
    }
}

impl ScrapeMetrics {
    /// The supervisor's, as far as it reported.
    fn supervisor(&self, gauges: &mut Gauges<'_, '_>) -> fmt::Result {
        if let Some(at) = self.supervision.heartbeat_at {
            gauges.seconds(
                "evonic_supervisor_heartbeat_time_seconds",
                "When the supervisor was last sent a heartbeat, in seconds since the epoch",
                at.as_secs_f64(),
            )?;
        }
        let Some(reported) = &self.supervision.metrics else { return Ok(()) };
        let times = [
            (
                "evonic_supervisor_start_time_seconds",
                "When the supervisor started, in seconds since the epoch",
                Some(&reported.started_at),
            ),
            (
                "evonic_supervisor_last_restart_time_seconds",
                "When the last replacement was decided, in seconds since the epoch",
                reported.last_restart_at.as_ref(),
            ),
        ];
        for (name, help, time) in times {
            if let Some(seconds) = time.and_then(|time| epoch_seconds(time)) {
                gauges.seconds(name, help, seconds)?;
            }
        }
        for (name, help, value) in [
            ("evonic_supervisor_fds", "Descriptors, as the supervisor counted them", reported.fds),
            (
                "evonic_supervisor_fds_threshold",
                "Descriptors at which the supervisor replaces the worker",
                reported.threshold,
            ),
            (
                "evonic_supervisor_fds_ceiling",
                "Descriptors at which the supervisor stops the worker at once",
                reported.ceiling,
            ),
        ] {
            gauges.one(name, help, Some(u64::from(value)))?;
        }
        let mut restarts = gauges.0.encode_descriptor(
            "evonic_supervisor_restarts",
            "Replacements of workers, over the supervisor's own restarts, by reason",
            None,
            MetricType::Counter,
        )?;
        for (reason, count) in reported.restarts.by_reason() {
            let labels = [("reason", reason.name())];
            ConstCounter::new(count).encode(restarts.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl Collector for ScrapeMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauges = Gauges(&mut encoder);
        gauges.one("process_open_fds", "Open descriptors", self.open_fds)?;
        gauges.one("process_max_fds", "The soft limit of descriptors", self.max_fds)?;
        gauges.one("process_resident_memory_bytes", "Resident memory", self.resident_bytes)?;
        gauges.seconds(
            "process_start_time_seconds",
            "When the process started, in seconds since the epoch",
            self.start_time_seconds,
        )?;
        gauges.one("evonic_generation", "The worker's generation", Some(self.generation))?;
        gauges.each(
            "evonic_build_info",
            "The program's version",
            vec![([("version", env!("CARGO_PKG_VERSION"))], 1)],
        )?;
        let handles = self.handles(|usage| u64::from(usage.permits));
        gauges.each("evonic_handles", "Handles in use, by kind", handles)?;
        let limits = self.handles(|usage| u64::from(usage.limit));
        gauges.each("evonic_handles_limit", "The most handles, by kind", limits)?;
        let owned = self.handles(|usage| u64::from(usage.descriptors));
        gauges.each("evonic_handles_fds", "Descriptors owned, by kind", owned)?;
        if let Some((queued, running)) = self.turns {
            let turns = vec![([("state", "queued")], queued), ([("state", "running")], running)];
            gauges.each("evonic_turns", "Turns that have not ended, by state", turns)?;
        }
        gauges.each(
            "evonic_host_connections",
            "Open connections to a host or engine of workplaces",
            self.hosts(|host| u64::from(host.connections)),
        )?;
        gauges.each(
            "evonic_host_failures",
            "Failures in a row of a host or engine",
            self.hosts(|host| u64::from(host.failures)),
        )?;
        gauges.each(
            "evonic_host_left_alone",
            "Whether a host or engine is left alone for a while after its failures",
            self.hosts(|host| u64::from(host.left_alone_seconds.is_some())),
        )?;
        self.supervisor(&mut gauges)?;
        let mut refused = encoder.encode_descriptor(
            "evonic_handles_refused",
            "Handles refused because all of their kind were in use",
            None,
            MetricType::Counter,
        )?;
        for (labels, count) in self.handles(|usage| usage.refused) {
            ConstCounter::new(count).encode(refused.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// Encodes gauges.
struct Gauges<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Gauges<'_, '_> {
    fn one(&mut self, name: &str, help: &str, value: Option<u64>) -> fmt::Result {
        let Some(value) = value else { return Ok(()) };
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    fn seconds(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    fn each<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: Vec<(L, u64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            ConstGauge::new(value).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
