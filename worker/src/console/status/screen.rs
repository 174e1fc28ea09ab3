//! The screen of `evonic status`: a pure function of a status.

use std::path::Path;

use evonic_shared::{
    kind::Kind,
    status::{
        Descriptors, Exit, PartHealth, Replacement, Restarts, State, Status, Worker, WorkerState,
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
pub(crate) struct Setting<'a> {
    /// Columns to fill.
    pub(crate) columns: usize,
    /// Colours.
    pub(crate) paint: Paint,
    /// The present.
    pub(crate) now: Timestamp,
    /// Where times are told.
    pub(crate) zone: TimeZone,
    /// Where post-mortems are.
    pub(crate) post_mortems: &'a Path,
    /// The last post-mortem's culprit, where it can be read.
    pub(crate) culprit: Option<&'a str>,
}

/// Columns of the labels on the left.
const LABEL: usize = 13;

/// Renders a status.
pub(crate) fn render(status: &Status, setting: &Setting<'_>) -> String {
    let mut screen = Screen { setting, lines: Vec::new() };
    screen.head(status);
    screen.listeners(status);
    match &status.worker {
        Some(worker) => screen.worker("worker", worker),
        None => screen.line("worker", [setting.paint.red("none")]),
    }
    if let Some(seconds) = status.next_start_seconds {
        screen.line("", [format!("next start in {}", duration(seconds))]);
    }
    if let Some(error) = &status.last_error {
        screen.line("", [setting.paint.red(error)]);
    }
    if let Some(worker) = &status.predecessor {
        screen.gap();
        screen.worker("predecessor", worker);
    }
    screen.restarts(status);
    screen.lines.join("\n") + "\n"
}

struct Screen<'a> {
    setting: &'a Setting<'a>,
    lines: Vec<String>,
}

impl Screen<'_> {
    fn gap(&mut self) {
        self.lines.push(String::new());
    }

    /// A line of words with space between them.
    fn line<const N: usize>(&mut self, label: &str, words: [String; N]) {
        let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let label = self.setting.paint.dim(&format!("{label:LABEL$}"));
        self.lines.push(format!("{label}{}", words.join("   ")).trim_end().to_owned());
    }

    fn head(&mut self, status: &Status) {
        let paint = self.setting.paint;
        let state = match status.state {
            State::Starting => paint.yellow("starting"),
            State::Running => paint.green("running"),
            State::Recycling => paint.yellow("recycling"),
            State::CrashLoop => paint.red("crash loop"),
            State::LeakLoop => paint.red("leak loop"),
            State::Stopping => paint.yellow("stopping"),
        };
        let words = [
            paint.bold(&format!("evonic {}", status.version)),
            state,
            format!("up {}", duration(status.uptime_seconds)),
            format!("pid {}", status.pid),
        ];
        self.lines.push(words.join("   "));
    }

    fn listeners(&mut self, status: &Status) {
        self.gap();
        for (index, listener) in status.listeners.iter().enumerate() {
            let waiting = match listener.accept_queue {
                Some(0) => "nobody waits".to_owned(),
                Some(waiting) => self.setting.paint.yellow(&format!("{waiting} waiting")),
                None => String::new(),
            };
            let label = if index == 0 { "listens on" } else { "" };
            let name = format!("{:<4}  {}", listener.name, listener.address);
            self.line(label, [name, waiting]);
        }
        self.gap();
    }

    fn worker(&mut self, label: &str, worker: &Worker) {
        let paint = self.setting.paint;
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
        let paint = self.setting.paint;
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
        let paint = self.setting.paint;
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
        let cells = self.setting.columns.saturating_sub(LABEL + 2).clamp(10, 80);
        self.line("", [format!("[{}]", bar::draw(&parts, fd.threshold, cells, paint))]);
        let [baseline_glyph, owned_glyph, unexplained_glyph] =
            parts.map(|part| (part.colour)(paint, &part.glyph.to_string()));
        let budget = fd.budget.map(|budget| format!(" of {budget}")).unwrap_or_default();
        self.line("", [format!("{owned_glyph} owned        {owned}{budget}"), kinds(fd)]);
        self.line("", [format!("{baseline_glyph} baseline     {baseline}")]);
        if let Some(count) = fd.unexplained {
            let figure = format!("{count} of {}", fd.unexplained_limit);
            let figure = if count >= fd.unexplained_limit {
                paint.red(&figure)
            } else if count > fd.unexplained_limit / 2 {
                paint.yellow(&figure)
            } else {
                figure
            };
            self.line("", [format!("{unexplained_glyph} unexplained  {figure}"), self.growth(fd)]);
        }
    }

    fn growth(&self, fd: &Descriptors) -> String {
        if fd.per_second.abs() < 0.05 {
            return self.setting.paint.dim("not growing");
        }
        let rate = format!("{:+.1} a second", fd.per_second);
        match fd.seconds_to_threshold {
            Some(seconds) => {
                self.setting.paint.yellow(&format!("{rate}, threshold in {}", duration(seconds)))
            }
            None => rate,
        }
    }

    fn restarts(&mut self, status: &Status) {
        self.gap();
        let Restarts { total, .. } = status.restarts;
        let reasons = reasons(&status.restarts);
        let words = if total == 0 { "none".to_owned() } else { format!("{total}: {reasons}") };
        self.line("restarts", [words]);
        if let Some(last) = &status.last_restart {
            self.last_restart(last);
        }
    }

    fn last_restart(&mut self, last: &Replacement) {
        let setting = self.setting;
        self.line(
            "last",
            [
                local_time(&last.at, &setting.zone),
                ago(&last.at, setting.now).unwrap_or_default(),
                format!("generation {}", last.generation),
                setting.paint.yellow(last.reason.name()),
            ],
        );
        self.line("", [last.detail.clone()]);
        self.line("", [fate(last)]);
        if let Some(culprit) = setting.culprit {
            self.line("", [format!("culprit: {}", setting.paint.bold(culprit))]);
        }
        if let Some(name) = &last.post_mortem {
            self.line("", [format!("post-mortem {}", setting.post_mortems.join(name).display())]);
        }
    }
}

/// Owned descriptors by kind, in the ledger's order, kinds of another version last.
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

/// The counters that are not zero.
fn reasons(restarts: &Restarts) -> String {
    let counters = [
        ("fd_threshold", restarts.fd_threshold),
        ("fd_ceiling", restarts.fd_ceiling),
        ("fd_unexplained", restarts.fd_unexplained),
        ("unhealthy", restarts.unhealthy),
        ("crash", restarts.crash),
        ("requested", restarts.requested),
    ];
    let counters = counters.into_iter().filter(|(_, count)| *count > 0);
    counters.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

/// How a replaced worker ended, and what it had been, in words.
pub(crate) fn fate(entry: &Replacement) -> String {
    #[expect(clippy::cast_precision_loss, reason = "two figures are shown")]
    let took = duration(entry.took_ms as f64 / 1000.0);
    let after = if entry.took_ms == 0 { String::new() } else { format!(" after {took}") };
    let lived = duration(entry.lived_seconds);
    format!("{}{after}, with {} descriptors; had lived {lived}", ended(&entry.exit), entry.fd_open)
}

fn ended(exit: &Exit) -> String {
    match exit {
        Exit::Code { code } => format!("exited with {code}"),
        Exit::Signal { signal, after_grace: true } => format!("{signal} when its grace was over"),
        Exit::Signal { signal, after_grace: false } => format!("ended by {signal}"),
        Exit::NotStarted { error } => format!("not started: {error}"),
    }
}
