//! What `/metrics` prints besides the request counters: metrics that are read at each scrape.

use std::fmt;

use http::HeaderMap;
use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeMetric, prometheus_text,
        text::{encode_eof, encode_registry},
    },
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use crate::{
    accept::quality,
    places::Class,
    supervision::{SupervisorReport, epoch_seconds},
};
use evonic_domain::UsageSum;
use evonic_handles::Usage;
use evonic_shared::store_report::{StorageReport, StoreState};
use evonic_store::TakenTurn;
use evonic_workplace::{HostState, Level};

/// A text format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// What Prometheus asks for first.
    OpenMetrics,
    /// What everything reads that reads metrics.
    Prometheus,
}

impl Format {
    /// The one that a client wants more; OpenMetrics where it wants both as much.
    pub(super) fn wanted(headers: &HeaderMap) -> Self {
        let openmetrics = quality(headers, ("application", "openmetrics-text"), "1.0.0");
        if quality(headers, ("text", "plain"), "0.0.4") > openmetrics {
            Self::Prometheus
        } else {
            Self::OpenMetrics
        }
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// Values of one moment. Those that could not be read are left out.
#[derive(Debug)]
pub(super) struct ScrapeMetrics {
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: Option<u64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) start_time_seconds: f64,
    /// Handles by kind.
    pub(super) usage: Vec<Usage>,
    /// Connections that are served, by class.
    pub(super) places: [(Class, usize); Class::ALL.len()],
    /// Turns queued and running.
    pub(super) turns: Option<(u64, u64)>,
    /// What models took since the beginning, by name: a few.
    pub(super) model_totals: Vec<UsageSum>,
    /// How far budgets are spent, in hundredths: a few, each by who spent the most of it.
    pub(super) budgets: Vec<(String, u64)>,
    /// Turns that workers died with: a few.
    pub(super) fatal_turns: Vec<TakenTurn>,
    pub(super) generation: u64,
    /// Hosts and engines of workplaces: as many as the operator named.
    pub(super) hosts: Vec<HostState>,
    /// What keeps commands of local workplaces inside, once that was tried.
    pub(super) sandbox: Option<Level>,
    pub(super) supervision: SupervisorReport,
    /// What is wrong with the database.
    pub(super) database: Option<StoreState>,
    /// How large it is, once it was looked at.
    pub(super) storage: Option<StorageReport>,
    /// Sessions, events and bytes that retention took away.
    pub(super) taken: (u64, u64, u64),
}

/// One label and its value.
type Labels<'a> = [(&'static str, &'a str); 1];

impl ScrapeMetrics {
    /// The whole exposition.
    ///
    /// # Errors
    /// [`fmt::Error`] when a metric cannot be encoded.
    pub(super) fn expose(self, registry: &Registry, format: Format) -> Result<String, fmt::Error> {
        let mut scraped = Registry::default();
        scraped.register_collector(Box::new(self));
        let mut text = String::new();
        match format {
            Format::OpenMetrics => {
                encode_registry(&mut text, registry)?;
                encode_registry(&mut text, &scraped)?;
                encode_eof(&mut text)?;
            }
            Format::Prometheus => {
                prometheus_text::encode(&mut text, registry)?;
                prometheus_text::encode(&mut text, &scraped)?;
            }
        }
        Ok(text)
    }

    fn handles(&self, value: impl Fn(&Usage) -> u64) -> impl Iterator<Item = (Labels<'_>, u64)> {
        self.usage.iter().map(move |usage| ([("kind", usage.kind.name())], value(usage)))
    }

    fn hosts(&self, value: impl Fn(&HostState) -> u64) -> impl Iterator<Item = (Labels<'_>, u64)> {
        self.hosts.iter().map(move |host| ([("host", host.host.as_str())], value(host)))
    }

    /// What models took, and what of budgets is spent.
    fn models(&self, metrics: &mut Metrics<'_, '_>) -> fmt::Result {
        type Value = fn(&UsageSum) -> u64;
        let of_model = |value: Value| {
            self.model_totals.iter().map(move |sum| ([("model", sum.of.as_str())], value(sum)))
        };
        let kinds: [(&str, Value); 5] = [
            ("input", |sum| sum.usage.input_tokens),
            ("cached", |sum| sum.usage.cached_tokens),
            ("cache_write", |sum| sum.usage.cache_write_tokens),
            ("output", |sum| sum.usage.output_tokens),
            ("reasoning", |sum| sum.usage.reasoning_tokens),
        ];
        let tokens = self.model_totals.iter().flat_map(|sum| {
            let labels = move |kind| [("model", sum.of.as_str()), ("kind", kind)];
            kinds.map(|(kind, value)| (labels(kind), value(sum)))
        });
        metrics.counters(
            "evonic_model_tokens",
            "Tokens as the models' endpoints counted them, by kind: cached and written ones are \
             input, too, reasoning is output",
            tokens,
        )?;
        metrics.counters(
            "evonic_model_calls",
            "Calls of models that were committed",
            of_model(|sum| sum.calls),
        )?;
        metrics.counters(
            "evonic_model_uncounted_calls",
            "Calls of models whose endpoint counted no tokens",
            of_model(|sum| sum.uncounted_calls),
        )?;
        metrics.counters(
            "evonic_model_cost_pico_units",
            "What tokens cost, in pico-units of the currency of the prices",
            of_model(|sum| sum.cost),
        )?;
        metrics.gauges(
            "evonic_budget_spent_percent",
            "How much of a budget is spent in its present period, by who spent the most of it",
            self.budgets.iter().map(|(name, percent)| ([("budget", name.as_str())], *percent)),
        )
    }

    /// How large the database is, and what was taken away of it.
    fn storage(&self, metrics: &mut Metrics<'_, '_>) -> fmt::Result {
        let (sessions, events, bytes) = self.taken;
        metrics.counters(
            "evonic_retention_removed",
            "What retention took away, by what it is",
            [([("what", "session")], sessions), ([("what", "event")], events)],
        )?;
        metrics.counter(
            "evonic_retention_returned_bytes",
            "What retention gave back to the file system",
            bytes,
        )?;
        let Some(storage) = &self.storage else { return Ok(()) };
        for (name, help, value) in [
            ("evonic_database_bytes", "The database's file", Some(storage.database_bytes)),
            (
                "evonic_database_free_bytes",
                "What of the database's file holds nothing",
                Some(storage.free_bytes),
            ),
            ("evonic_database_log_bytes", "The database's log", Some(storage.log_bytes)),
            (
                "evonic_disk_free_bytes",
                "What is free on the database's file system",
                storage.disk_free_bytes,
            ),
            ("evonic_disk_floor_bytes", "retention.min_free", Some(storage.min_free_bytes)),
            (
                "evonic_disk_low",
                "Whether nothing new is accepted because too little is free",
                Some(u64::from(storage.is_low)),
            ),
            ("evonic_sessions", "Sessions, as counted at the last pass", storage.sessions),
            (
                "evonic_events",
                "Events of all sessions, as counted at the last pass",
                storage.events,
            ),
        ] {
            metrics.gauge(name, help, value)?;
        }
        Ok(())
    }

    /// The supervisor's, as far as it reported.
    fn supervisor(&self, metrics: &mut Metrics<'_, '_>) -> fmt::Result {
        metrics.gauge(
            "evonic_supervisor_heartbeat_time_seconds",
            "When the supervisor was last sent a heartbeat, in seconds since the epoch",
            self.supervision.heartbeat_at.map(|at| at.as_secs_f64()),
        )?;
        let Some(reported) = &self.supervision.metrics else { return Ok(()) };
        metrics.gauge(
            "evonic_supervisor_start_time_seconds",
            "When the supervisor started, in seconds since the epoch",
            epoch_seconds(&reported.started_at),
        )?;
        metrics.gauge(
            "evonic_supervisor_last_restart_time_seconds",
            "When the last replacement was decided, in seconds since the epoch",
            reported.last_restart_at.as_deref().and_then(epoch_seconds),
        )?;
        metrics.gauge(
            "evonic_supervisor_fds",
            "Descriptors, as the supervisor counted them",
            Some(u64::from(reported.fds)),
        )?;
        metrics.gauge(
            "evonic_supervisor_fds_threshold",
            "Descriptors at which the supervisor replaces the worker",
            Some(u64::from(reported.threshold)),
        )?;
        metrics.gauge(
            "evonic_supervisor_fds_ceiling",
            "Descriptors at which the supervisor stops the worker at once",
            Some(u64::from(reported.ceiling)),
        )?;
        let restarts = reported.restarts.by_reason().into_iter();
        metrics.counters(
            "evonic_supervisor_restarts",
            "Replacements of workers, over the supervisor's own restarts, by reason",
            restarts.map(|(reason, count)| ([("reason", reason.name())], count)),
        )
    }
}

impl Collector for ScrapeMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut metrics = Metrics(&mut encoder);
        metrics.gauge("process_open_fds", "Open descriptors", self.open_fds)?;
        metrics.gauge("process_max_fds", "The soft limit of descriptors", self.max_fds)?;
        metrics.gauge("process_resident_memory_bytes", "Resident memory", self.resident_bytes)?;
        metrics.gauge(
            "process_start_time_seconds",
            "When the process started, in seconds since the epoch",
            Some(self.start_time_seconds),
        )?;
        metrics.gauge("evonic_generation", "The worker's generation", Some(self.generation))?;
        let version = [([("version", env!("CARGO_PKG_VERSION"))], 1)];
        metrics.gauges("evonic_build_info", "The program's version", version)?;
        let sandbox = self.sandbox.map(|level| ([("level", level.name())], 1));
        metrics.gauges(
            "evonic_sandbox_info",
            "What keeps commands of local workplaces inside",
            sandbox,
        )?;
        let is = |state| u64::from(self.database == Some(state));
        metrics.gauges(
            "evonic_database_trouble",
            "Whether this is wrong with the database, by state",
            StoreState::ALL.map(|state| ([("state", state.name())], is(state))),
        )?;
        let handles = self.handles(|usage| u64::from(usage.permits));
        metrics.gauges("evonic_handles", "Handles in use, by kind", handles)?;
        let limits = self.handles(|usage| u64::from(usage.limit));
        metrics.gauges("evonic_handles_limit", "The most handles, by kind", limits)?;
        let owned = self.handles(|usage| u64::from(usage.descriptors));
        metrics.gauges("evonic_handles_fds", "Descriptors owned, by kind", owned)?;
        let places = self.places.iter();
        let places = places.map(|&(class, count)| ([("class", class.name())], count as u64));
        metrics.gauges("evonic_http_places", "Connections that are served, by class", places)?;
        if let Some((queued, running)) = self.turns {
            let turns = [([("state", "queued")], queued), ([("state", "running")], running)];
            metrics.gauges("evonic_turns", "Turns that have not ended, by state", turns)?;
        }
        let fatal = self.fatal_turns.iter();
        metrics.gauges(
            "evonic_turn_takeovers",
            "Workers that died while they had a turn, since its last step: the most fatal turns",
            fatal.map(|turn| ([("turn_id", turn.turn_id.as_str())], u64::from(turn.takeovers))),
        )?;
        metrics.gauges(
            "evonic_host_connections",
            "Open connections to a host or engine of workplaces",
            self.hosts(|host| u64::from(host.connections)),
        )?;
        metrics.gauges(
            "evonic_host_failures",
            "Failures in a row of a host or engine",
            self.hosts(|host| u64::from(host.failures)),
        )?;
        metrics.gauges(
            "evonic_host_left_alone",
            "Whether a host or engine is left alone for a while after its failures",
            self.hosts(|host| u64::from(host.left_alone_seconds.is_some())),
        )?;
        self.models(&mut metrics)?;
        self.storage(&mut metrics)?;
        self.supervisor(&mut metrics)?;
        metrics.counters(
            "evonic_handles_refused",
            "Handles refused because all of their kind were in use",
            self.handles(|usage| usage.refused),
        )
    }
}

/// Encodes metrics.
struct Metrics<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Metrics<'_, '_> {
    /// A gauge without labels, left out where it has no value.
    fn gauge<N>(&mut self, name: &str, help: &str, value: Option<N>) -> fmt::Result
    where
        ConstGauge<N>: EncodeMetric,
    {
        let Some(value) = value else { return Ok(()) };
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    fn gauges<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'l>, u64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        let encode =
            |(labels, value)| ConstGauge::new(value).encode(encoder.encode_family(&labels)?);
        values.into_iter().try_for_each(encode)
    }

    fn counters<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'static str, &'l str); N], u64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        let encode =
            |(labels, value)| ConstCounter::new(value).encode(encoder.encode_family(&labels)?);
        values.into_iter().try_for_each(encode)
    }
}
