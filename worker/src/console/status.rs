//! `evonic status`, once or with `--watch`.

mod bar;
mod hosts;
pub(super) mod screen;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use evonic_shared::{
    config::Config,
    status::{PostMortem, Reply, Request, Status},
};
use jiff::{Timestamp, tz::TimeZone};

use screen::{ScreenContext, render};

use super::{
    api::Api,
    command::StatusOptions,
    error::{ConsoleError, Result},
    output::{Console, compact, pretty},
    server::Server,
    supervisor::{Supervisor, unexpected},
};

/// The oldest a screen becomes when nothing changes.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// The pause before a supervisor that is gone is connected to again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Runs the command.
pub(super) fn run(options: &StatusOptions, config: &Config, console: &mut Console<'_>) -> Result {
    let socket = Supervisor::socket(config);
    let mut view =
        View { json: options.output.json, post_mortems: config.state_dir.join("post-mortems") };
    if !options.watch {
        let status = ask(&mut Supervisor::connect(&socket)?)?;
        view.print(&status, console)?;
        if view.json {
            return Ok(());
        }
        return console
            .print(&hosts::left_alone(&Api::new(Server::local(config)), console.terminal.out));
    }
    let mut watch = Watch::connect(&socket)?;
    let mut last = None;
    loop {
        match watch.next() {
            Ok(status) => {
                view.frame(&status, None, console)?;
                last = Some(status);
            }
            Err(error) if console.terminal.live && !view.json && is_absence(&error) => {
                if let Some(last) = &last {
                    view.frame(last, Some(&error.to_string()), console)?;
                }
                pause(RECONNECT_PAUSE);
                if let Ok(new) = Watch::connect(&socket) {
                    watch = new;
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// The status at this moment.
pub(super) fn ask(supervisor: &mut Supervisor) -> Result<Status> {
    status_of(supervisor.ask(&Request::Status)?)
}

fn status_of(reply: Reply) -> Result<Status> {
    match reply {
        Reply::Status(status) => Ok(status),
        _ => Err(unexpected("it is no status")),
    }
}

fn is_absence(error: &ConsoleError) -> bool {
    matches!(error, ConsoleError::NotRunning { .. } | ConsoleError::SupervisorLost { .. })
}

/// Sleeps; `thread::sleep` is banned.
fn pause(duration: Duration) {
    let timeout = rustix::event::Timespec { tv_sec: 0, tv_nsec: duration.subsec_nanos().into() };
    // Interrupted: it was a shorter pause.
    let _ = rustix::event::poll(&mut [], Some(&timeout));
}

/// A connection that sends changes, and one for requests between them.
#[derive(Debug)]
pub(super) struct Watch {
    changes: Supervisor,
    requests: Supervisor,
}

impl Watch {
    pub(super) fn connect(socket: &Path) -> Result<Self> {
        let mut changes = Supervisor::connect(socket)?;
        changes.send(&Request::Watch)?;
        Ok(Self { changes, requests: Supervisor::connect(socket)? })
    }

    /// The status at once the first time, then after each change, and after a second without one,
    /// so that ages advance.
    pub(super) fn next(&mut self) -> Result<Status> {
        match self.changes.next(REFRESH_INTERVAL)? {
            Some(reply) => status_of(reply),
            None => ask(&mut self.requests),
        }
    }
}

struct View {
    json: bool,
    post_mortems: PathBuf,
}

impl View {
    fn print(&self, status: &Status, console: &mut Console<'_>) -> Result {
        let text = if self.json { pretty(status) } else { self.screen(status, console) };
        console.print(&text)
    }

    /// Shows one status of many: in the place of the last one on a terminal, else below it.
    fn frame(&mut self, status: &Status, error: Option<&str>, console: &mut Console<'_>) -> Result {
        if self.json {
            return console.print(&(compact(status) + "\n"));
        }
        let mut screen = self.screen(status, console);
        if let Some(error) = error {
            screen.push_str(&format!("\n{}\n", console.terminal.out.red(error)));
        }
        if console.terminal.live {
            console.print(&redraw(&screen, console.terminal.rows))
        } else {
            console.print(&(screen + "\n"))
        }
    }

    fn screen(&self, status: &Status, console: &Console<'_>) -> String {
        let culprit = status
            .last_restart
            .as_ref()
            .and_then(|last| self.culprit(last.post_mortem.as_deref()?));
        render(
            status,
            &ScreenContext {
                columns: console.terminal.columns,
                paint: console.terminal.out,
                now: Timestamp::now(),
                zone: TimeZone::system(),
                post_mortems: &self.post_mortems,
                culprit: culprit.as_deref(),
            },
        )
    }

    /// The culprit that a post-mortem names, where this user may read it.
    fn culprit(&self, name: &str) -> Option<String> {
        let text = std::fs::read(self.post_mortems.join(name)).ok()?;
        serde_json::from_slice(&text).ok().map(|post_mortem: PostMortem| post_mortem.culprit)
    }
}

/// The bytes that put a screen in the place of whatever the terminal shows: from the top left
/// corner, each line cleared to its end and cut at the edge, the rest below cleared.
fn redraw(screen: &str, rows: usize) -> String {
    let lines: Vec<&str> = screen.lines().take(rows.saturating_sub(1).max(1)).collect();
    format!("\x1b[H\x1b[?7l{}\x1b[K\n\x1b[?7h\x1b[J", lines.join("\x1b[K\n"))
}

#[cfg(test)]
pub(super) mod tests;
