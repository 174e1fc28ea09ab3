//! The screen of `evonic status`: a pure function of a status and its context.

use std::path::Path;

use evonic_shared::{
    kind::Kind,
    status::{
        Descriptors, Exit, Measure, PartHealth, Replacement, State, Status, Tampering, Worker,
        WorkerState,
    },
    store_report::{StorageReport, StoreReport},
};
use jiff::{Timestamp, tz::TimeZone};

use super::bar::{self, Part};
use crate::console::{
    format::{ago, bytes, duration, local_time},
    text::{Style, Text, text},
};

/// What the screen depends on beside the status.
#[derive(Clone, Debug)]
pub(crate) struct ScreenContext<'a> {
    pub(crate) columns: usize,
    pub(crate) now: Timestamp,
    /// The zone that times are shown in.
    pub(crate) zone: TimeZone,
    pub(crate) post_mortems: &'a Path,
    /// Of the last post-mortem, where it can be read.
    pub(crate) culprit: Option<&'a str>,
}

/// Columns of the labels on the left.
const LABEL_COLUMNS: usize = 13;

pub(crate) fn render(status: &Status, context: &ScreenContext<'_>) -> Text {
    let mut screen = Screen { context, page: Text::default() };
    screen.head(status);
    screen.listeners(status);
    match &status.worker {
        Some(worker) => screen.worker("worker", worker),
        None => screen.line("worker", [Style::Red.of("none")]),
    }
    if let Some(seconds) = status.next_start_seconds {
        screen.line("", [format!("next start in {}", duration(seconds)).into()]);
    }
    if let Some(error) = &status.last_error {
        screen.line("", [Style::Red.of(error)]);
    }
    if let Some(worker) = &status.predecessor {
        screen.blank_line();
        screen.worker("predecessor", worker);
    }
    screen.restarts(status);
    if let Some(tampering) = &status.last_tampering {
        screen.tampering(tampering);
    }
    screen.page
}

struct Screen<'a> {
    context: &'a ScreenContext<'a>,
    page: Text,
}

impl Screen<'_> {
    fn blank_line(&mut self) {
        self.page.end_line();
    }

    /// A line of parts with space between them; empty ones are left out.
    fn line<const N: usize>(&mut self, label: &str, parts: [Text; N]) {
        let mut line = Style::Dim.of(format!("{label:LABEL_COLUMNS$}"));
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        for (index, part) in parts.enumerate() {
            if index > 0 {
                line.push("   ");
            }
            line.push(part);
        }
        self.page.line(line.trimmed());
    }

    fn head(&mut self, status: &Status) {
        let state = match status.state {
            State::Starting => Style::Yellow.of("starting"),
            State::Running => Style::Green.of("running"),
            State::Recycling => Style::Yellow.of("recycling"),
            State::CrashLoop => Style::Red.of("crash loop"),
            State::LeakLoop => Style::Red.of("leak loop"),
            State::Stopping => Style::Yellow.of("stopping"),
        };
        let version = Style::Bold.of(format!("evonic {}", status.version));
        let rest = format!("   up {}   pid {}", duration(status.uptime_seconds), status.pid);
        self.page.line(text![version, "   ", state, rest]);
    }

    fn listeners(&mut self, status: &Status) {
        self.blank_line();
        for (index, listener) in status.listeners.iter().enumerate() {
            let waiting = match listener.accept_queue {
                Some(0) => "nobody waits".into(),
                Some(waiting) => Style::Yellow.of(format!("{waiting} waiting")),
                None => Text::default(),
            };
            let label = if index == 0 { "listens on" } else { "" };
            let name = Text::from(&listener.name).padded(4);
            let name = text![name, "  ", &listener.address];
            self.line(label, [name, waiting]);
        }
        self.blank_line();
    }

    fn worker(&mut self, label: &str, worker: &Worker) {
        let state = match worker.state {
            WorkerState::Starting => Style::Yellow.of("starting"),
            WorkerState::Ready => Style::Green.of("ready"),
            WorkerState::Draining => Style::Yellow.of("draining"),
            WorkerState::Killed => Style::Red.of("killed"),
        };
        self.line(
            label,
            [
                format!("generation {}", worker.generation).into(),
                state,
                format!("up {}", duration(worker.uptime_seconds)).into(),
                format!("pid {}", worker.pid).into(),
                bytes(worker.rss_bytes).into(),
            ],
        );
        self.health(worker);
        if let Some(level) = &worker.sandbox {
            let style = if level == "namespaces" { Style::Green } else { Style::Yellow };
            self.line("sandbox", [style.of(level)]);
        }
        if let Some(StoreReport { state, detail, advice, since }) = &worker.database {
            let since = ago(since, self.context.now).unwrap_or_default();
            let name = state.name().replace('_', " ");
            self.line("database", [Style::Red.of(name), Style::Dim.of(since)]);
            self.line("", [detail.into()]);
            self.line("", [Style::Dim.of(advice)]);
        }
        if let Some(storage) = &worker.storage {
            self.storage(storage);
        }
        self.descriptors(&worker.fd);
    }

    /// How large the database is, and whether its disk has room.
    fn storage(&mut self, storage: &StorageReport) {
        let free = match storage.free_bytes {
            0 => Text::default(),
            free => Style::Dim.of(format!("{} of it free", bytes(free))),
        };
        let counted = storage.sessions.zip(storage.events).map(|(sessions, events)| {
            let (sessions, events) = (count_of(sessions, "session"), count_of(events, "event"));
            let when = storage.counted_at.as_deref().and_then(|at| ago(at, self.context.now));
            let when = when.map(|when| format!(" ({when})")).unwrap_or_default();
            Style::Dim.of(format!("{sessions}, {events}{when}"))
        });
        self.line(
            "storage",
            [
                bytes(storage.database_bytes).into(),
                free,
                format!("log {}", bytes(storage.log_bytes)).into(),
                counted.unwrap_or_default(),
            ],
        );
        if let (true, Some(free)) = (storage.is_low, storage.disk_free_bytes) {
            let (free, floor) = (bytes(free), bytes(storage.min_free_bytes));
            self.line("", [Style::Red.of(format!(
                "{free} left on its disk, less than retention.min_free ({floor}): nothing new is accepted"
            ))]);
        }
    }

    fn health(&mut self, worker: &Worker) {
        let part = |name: &str, health| match health {
            PartHealth::Unknown => text![name, " ", Style::Dim.of("unknown")],
            PartHealth::Ok => text![name, " ", Style::Green.of("ok")],
            PartHealth::Late => text![name, " ", Style::Red.of("late")],
        };
        let heartbeat = match worker.last_heartbeat_seconds {
            Some(seconds) => format!("heartbeat {} ago", duration(seconds)).into(),
            None => Style::Dim.of("no heartbeat yet"),
        };
        let health = &worker.health;
        self.line(
            "health",
            [
                part("http", health.http),
                part("store", health.store),
                part("agents", health.agents),
                heartbeat,
            ],
        );
    }

    fn descriptors(&mut self, fd: &Descriptors) {
        let percent = u64::from(fd.open) * 100 / u64::from(fd.threshold.max(1));
        let lines = format!("ceiling {}, limit {}", fd.ceiling, fd.limit);
        self.line(
            "descriptors",
            [
                text![Style::Bold.of(fd.open), format!(" of {}", fd.threshold)],
                format!("{percent} %").into(),
                Style::Dim.of(lines),
            ],
        );
        let owned: u32 = fd.owned.values().sum();
        let unexplained = fd.unexplained.unwrap_or(0);
        let baseline = fd.baseline.unwrap_or_else(|| fd.open.saturating_sub(owned));
        let parts = [
            Part { glyph: '▒', count: baseline, style: Style::Dim },
            Part { glyph: '█', count: owned, style: Style::Cyan },
            Part { glyph: '!', count: unexplained, style: Style::Red },
        ];
        let cells = self.context.columns.saturating_sub(LABEL_COLUMNS + 2).clamp(10, 80);
        self.line("", [text!["[", bar::draw(&parts, fd.threshold, cells), "]"]]);
        let [baseline_glyph, owned_glyph, unexplained_glyph] =
            parts.map(|part| part.style.of(part.glyph));
        let budget = fd.budget.map(|budget| format!(" of {budget}")).unwrap_or_default();
        let owned = format!(" owned        {owned}{budget}");
        self.line("", [text![owned_glyph, owned], kinds(fd).into()]);
        self.line("", [text![baseline_glyph, format!(" baseline     {baseline}")]]);
        if let Some(count) = fd.unexplained {
            let usage = format!("{count} of {}", fd.unexplained_limit);
            let usage = if count >= fd.unexplained_limit {
                Style::Red.of(usage)
            } else if count > fd.unexplained_limit / 2 {
                Style::Yellow.of(usage)
            } else {
                usage.into()
            };
            self.line("", [text![unexplained_glyph, " unexplained  ", usage], growth(fd)]);
        }
    }

    fn restarts(&mut self, status: &Status) {
        self.blank_line();
        let total = status.restarts.total;
        let reasons = status.restarts.by_reason().into_iter().filter(|(_, count)| *count > 0);
        let reasons: Vec<_> = reasons.map(|(reason, count)| format!("{reason} {count}")).collect();
        let summary =
            if total == 0 { "none".to_owned() } else { format!("{total}: {}", reasons.join(", ")) };
        self.line("restarts", [summary.into()]);
        if let Some(last) = &status.last_restart {
            self.last_restart(last);
        }
    }

    fn tampering(&mut self, last: &Tampering) {
        let context = self.context;
        self.blank_line();
        let at = local_time(&last.at, &context.zone).into();
        let ago = ago(&last.at, context.now).unwrap_or_default().into();
        self.line("tampering", [at, ago, Style::Red.of(measure(last.measure))]);
        self.line("", [Text::quoted(&last.detail, LABEL_COLUMNS)]);
    }

    fn last_restart(&mut self, last: &Replacement) {
        let context = self.context;
        self.line(
            "last",
            [
                local_time(&last.at, &context.zone).into(),
                ago(&last.at, context.now).unwrap_or_default().into(),
                format!("generation {}", last.generation).into(),
                Style::Yellow.of(last.reason.name()),
            ],
        );
        self.line("", [Text::quoted(&last.detail, LABEL_COLUMNS)]);
        self.line("", [exit_summary(last).into()]);
        if let Some(culprit) = context.culprit {
            self.line("", [text!["culprit: ", Style::Bold.of(culprit)]]);
        }
        if let Some(name) = &last.post_mortem {
            let path = context.post_mortems.join(name);
            self.line("", [format!("post-mortem {}", path.display()).into()]);
        }
    }
}

fn growth(fd: &Descriptors) -> Text {
    if fd.per_second.abs() < 0.05 {
        return Style::Dim.of("not growing");
    }
    let rate = format!("{:+.1} a second", fd.per_second);
    match fd.seconds_to_threshold {
        Some(seconds) => Style::Yellow.of(format!("{rate}, threshold in {}", duration(seconds))),
        None => rate.into(),
    }
}

/// Owned descriptors by kind, in the fd page's order, kinds of another version last.
fn kinds(fd: &Descriptors) -> String {
    let known = Kind::ALL.iter().filter_map(|kind| fd.owned.get_key_value(kind.name()));
    let is_known = |name: &str| Kind::ALL.iter().any(|kind| kind.name() == name);
    let others = fd.owned.iter().filter(|(name, _)| !is_known(name));
    let kinds: Vec<String> = known
        .chain(others)
        .filter(|(_, count)| **count > 0)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    kinds.join(", ")
}

fn count_of(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// What the supervisor did about a change to itself.
pub(crate) const fn measure(measure: Measure) -> &'static str {
    match measure {
        Measure::PutBack => "put back",
        Measure::Reported => "cannot be put back",
        Measure::Exit => "a clean supervisor was to start",
    }
}

/// How a replaced worker ended, and what it was.
pub(crate) fn exit_summary(entry: &Replacement) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
    let took = duration(entry.took_ms as f64 / 1000.0);
    let after = if entry.took_ms == 0 { String::new() } else { format!(" after {took}") };
    let lived = duration(entry.lived_seconds);
    format!(
        "{}{after}, with {} descriptors; had lived {lived}",
        exit_text(&entry.exit),
        entry.fd_open
    )
}

fn exit_text(exit: &Exit) -> String {
    match exit {
        Exit::Code { code } => format!("exited with {code}"),
        Exit::Signal { signal, after_grace: true } => format!("{signal} when its grace was over"),
        Exit::Signal { signal, after_grace: false } => format!("ended by {signal}"),
        Exit::NotStarted { error } => format!("not started: {error}"),
    }
}
