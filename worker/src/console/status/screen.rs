//! The screen of `evonic status`: a pure function of a status and its context.

use std::path::Path;

use evonic_shared::{
    kind::Kind,
    status::{
        Descriptors, Exit, Measure, PartHealth, Replacement, State, Status, Tampering, Worker,
        WorkerState,
    },
};
use jiff::{Timestamp, tz::TimeZone};

use super::bar::{self, Part};
use crate::console::{
    format::{ago, bytes, duration, local_time},
    terminal::Paint,
};

/// What the screen depends on beside the status.
#[derive(Clone, Debug)]
pub(crate) struct ScreenContext<'a> {
    pub(crate) columns: usize,
    pub(crate) paint: Paint,
    pub(crate) now: Timestamp,
    /// The zone that times are shown in.
    pub(crate) zone: TimeZone,
    pub(crate) post_mortems: &'a Path,
    /// Of the last post-mortem, where it can be read.
    pub(crate) culprit: Option<&'a str>,
}

/// Columns of the labels on the left.
const LABEL_COLUMNS: usize = 13;

pub(crate) fn render(status: &Status, context: &ScreenContext<'_>) -> String {
    let mut screen = Screen { context, lines: Vec::new() };
    screen.head(status);
    screen.listeners(status);
    match &status.worker {
        Some(worker) => screen.worker("worker", worker),
        None => screen.line("worker", [context.paint.red("none")]),
    }
    if let Some(seconds) = status.next_start_seconds {
        screen.line("", [format!("next start in {}", duration(seconds))]);
    }
    if let Some(error) = &status.last_error {
        screen.line("", [context.paint.red(error)]);
    }
    if let Some(worker) = &status.predecessor {
        screen.blank_line();
        screen.worker("predecessor", worker);
    }
    screen.restarts(status);
    if let Some(tampering) = &status.last_tampering {
        screen.tampering(tampering);
    }
    screen.lines.join("\n") + "\n"
}

struct Screen<'a> {
    context: &'a ScreenContext<'a>,
    lines: Vec<String>,
}

impl Screen<'_> {
    fn blank_line(&mut self) {
        self.lines.push(String::new());
    }

    /// A line of parts with space between them; empty ones are left out.
    fn line<const N: usize>(&mut self, label: &str, parts: [String; N]) {
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let label = self.context.paint.dim(&format!("{label:LABEL_COLUMNS$}"));
        self.lines.push(format!("{label}{}", parts.join("   ")).trim_end().to_owned());
    }

    fn head(&mut self, status: &Status) {
        let paint = self.context.paint;
        let state = match status.state {
            State::Starting => paint.yellow("starting"),
            State::Running => paint.green("running"),
            State::Recycling => paint.yellow("recycling"),
            State::CrashLoop => paint.red("crash loop"),
            State::LeakLoop => paint.red("leak loop"),
            State::Stopping => paint.yellow("stopping"),
        };
        let parts = [
            paint.bold(&format!("evonic {}", status.version)),
            state,
            format!("up {}", duration(status.uptime_seconds)),
            format!("pid {}", status.pid),
        ];
        self.lines.push(parts.join("   "));
    }

    fn listeners(&mut self, status: &Status) {
        self.blank_line();
        for (index, listener) in status.listeners.iter().enumerate() {
            let waiting = match listener.accept_queue {
                Some(0) => "nobody waits".to_owned(),
                Some(waiting) => self.context.paint.yellow(&format!("{waiting} waiting")),
                None => String::new(),
            };
            let label = if index == 0 { "listens on" } else { "" };
            let name = format!("{:<4}  {}", listener.name, listener.address);
            self.line(label, [name, waiting]);
        }
        self.blank_line();
    }

    fn worker(&mut self, label: &str, worker: &Worker) {
        let paint = self.context.paint;
        let state = match worker.state {
            WorkerState::Starting => paint.yellow("starting"),
            WorkerState::Ready => paint.green("ready"),
            WorkerState::Draining => paint.yellow("draining"),
            WorkerState::Killed => paint.red("killed"),
        };
        self.line(
            label,
            [
                format!("generation {}", worker.generation),
                state,
                format!("up {}", duration(worker.uptime_seconds)),
                format!("pid {}", worker.pid),
                bytes(worker.rss_bytes),
            ],
        );
        self.health(worker);
        self.descriptors(&worker.fd);
    }

    fn health(&mut self, worker: &Worker) {
        let paint = self.context.paint;
        let part = |name, health| match health {
            PartHealth::Unknown => format!("{name} {}", paint.dim("unknown")),
            PartHealth::Ok => format!("{name} {}", paint.green("ok")),
            PartHealth::Late => format!("{name} {}", paint.red("late")),
        };
        let heartbeat = match worker.last_heartbeat_seconds {
            Some(seconds) => format!("heartbeat {} ago", duration(seconds)),
            None => paint.dim("no heartbeat yet"),
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
        let paint = self.context.paint;
        let percent = u64::from(fd.open) * 100 / u64::from(fd.threshold.max(1));
        let lines = format!("ceiling {}, limit {}", fd.ceiling, fd.limit);
        self.line(
            "descriptors",
            [
                format!("{} of {}", paint.bold(&fd.open.to_string()), fd.threshold),
                format!("{percent} %"),
                paint.dim(&lines),
            ],
        );
        let owned: u32 = fd.owned.values().sum();
        let unexplained = fd.unexplained.unwrap_or(0);
        let baseline = fd.baseline.unwrap_or_else(|| fd.open.saturating_sub(owned));
        let parts = [
            Part { glyph: '▒', count: baseline, colour: Paint::dim },
            Part { glyph: '█', count: owned, colour: Paint::cyan },
            Part { glyph: '!', count: unexplained, colour: Paint::red },
        ];
        let cells = self.context.columns.saturating_sub(LABEL_COLUMNS + 2).clamp(10, 80);
        self.line("", [format!("[{}]", bar::draw(&parts, fd.threshold, cells, paint))]);
        let [baseline_glyph, owned_glyph, unexplained_glyph] =
            parts.map(|part| (part.colour)(paint, &part.glyph.to_string()));
        let budget = fd.budget.map(|budget| format!(" of {budget}")).unwrap_or_default();
        self.line("", [format!("{owned_glyph} owned        {owned}{budget}"), kinds(fd)]);
        self.line("", [format!("{baseline_glyph} baseline     {baseline}")]);
        if let Some(count) = fd.unexplained {
            let usage = format!("{count} of {}", fd.unexplained_limit);
            let usage = if count >= fd.unexplained_limit {
                paint.red(&usage)
            } else if count > fd.unexplained_limit / 2 {
                paint.yellow(&usage)
            } else {
                usage
            };
            self.line("", [format!("{unexplained_glyph} unexplained  {usage}"), self.growth(fd)]);
        }
    }

    fn growth(&self, fd: &Descriptors) -> String {
        if fd.per_second.abs() < 0.05 {
            return self.context.paint.dim("not growing");
        }
        let rate = format!("{:+.1} a second", fd.per_second);
        match fd.seconds_to_threshold {
            Some(seconds) => {
                self.context.paint.yellow(&format!("{rate}, threshold in {}", duration(seconds)))
            }
            None => rate,
        }
    }

    fn restarts(&mut self, status: &Status) {
        self.blank_line();
        let total = status.restarts.total;
        let reasons = status.restarts.by_reason().into_iter().filter(|(_, count)| *count > 0);
        let reasons: Vec<_> = reasons.map(|(reason, count)| format!("{reason} {count}")).collect();
        let summary =
            if total == 0 { "none".to_owned() } else { format!("{total}: {}", reasons.join(", ")) };
        self.line("restarts", [summary]);
        if let Some(last) = &status.last_restart {
            self.last_restart(last);
        }
    }

    fn tampering(&mut self, last: &Tampering) {
        let context = self.context;
        self.blank_line();
        let at = local_time(&last.at, &context.zone);
        let ago = ago(&last.at, context.now).unwrap_or_default();
        self.line("tampering", [at, ago, context.paint.red(measure(last.measure))]);
        self.line("", [last.detail.clone()]);
    }

    fn last_restart(&mut self, last: &Replacement) {
        let context = self.context;
        self.line(
            "last",
            [
                local_time(&last.at, &context.zone),
                ago(&last.at, context.now).unwrap_or_default(),
                format!("generation {}", last.generation),
                context.paint.yellow(last.reason.name()),
            ],
        );
        self.line("", [last.detail.clone()]);
        self.line("", [exit_summary(last)]);
        if let Some(culprit) = context.culprit {
            self.line("", [format!("culprit: {}", context.paint.bold(culprit))]);
        }
        if let Some(name) = &last.post_mortem {
            self.line("", [format!("post-mortem {}", context.post_mortems.join(name).display())]);
        }
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

/// What the supervisor did about a change to itself.
pub(crate) const fn measure(measure: Measure) -> &'static str {
    match measure {
        Measure::PutBack => "put back",
        Measure::Told => "cannot be put back",
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
