//! `evonic status`, once or with `--watch`.

mod bar;
mod condition;
mod hosts;
pub(super) mod screen;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use evonic_shared::{
    config::Config,
    exit::ExitCode,
    status::{PostMortem, Reply, Request, Status},
};
use jiff::{Timestamp, tz::TimeZone};

use screen::{ScreenContext, render};

use super::{
    api::Api,
    command::StatusOptions,
    error::{ConsoleError, Result},
    output::Console,
    server::Server,
    supervisor::{Supervisor, unexpected},
    text::{Style, Text},
};

/// The oldest a screen becomes when nothing changes.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// The pause before a supervisor that is gone is connected to again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Runs the command: a health check by its exit code.
pub(super) fn run(options: &StatusOptions, config: &Config, console: &mut Console<'_>) -> Result {
    show(options, config, console).map_err(|error| match error {
        ConsoleError::NotRunning { .. } => {
            if !options.quiet {
                console.say_text(&error.report());
            }
            ConsoleError::Reported(ExitCode::NOT_RUNNING)
        }
        error => error,
    })
}

fn show(options: &StatusOptions, config: &Config, console: &mut Console<'_>) -> Result {
    let socket = Supervisor::socket(config);
    let mut view =
        View { json: options.output.json, post_mortems: config.state_dir.join("post-mortems") };
    if !options.watch {
        let status = ask(&mut Supervisor::connect(&socket)?)?;
        if !options.quiet {
            view.print(&status, console)?;
            if !view.json {
                console.print(&hosts::left_alone(&Api::new(Server::local(config))))?;
            }
        }
        return match condition::exit_code(&status) {
            ExitCode::Ok => Ok(()),
            code => Err(ConsoleError::Reported(code)),
        };
    }
    let mut watch = Watch::connect(&socket)?;
    let mut last = None;
    loop {
        match watch.next() {
            Ok(status) => {
                view.frame(&status, None, console)?;
                last = Some(status);
            }
            // Also a supervisor that runs on drops a watcher whose output stood still.
            Err(error) if is_absence(&error) => {
                let stays = console.terminal.out.is_terminal() && !view.json;
                if let Some(last) = last.as_ref().filter(|_| stays) {
                    view.frame(last, Some(&error.to_string()), console)?;
                }
                pause(RECONNECT_PAUSE);
                match Watch::connect(&socket) {
                    Ok(new) => watch = new,
                    Err(_) if stays => {}
                    Err(_) => return Err(error),
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
pub(super) fn pause(duration: Duration) {
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
        if self.json {
            return console.json(status);
        }
        let screen = self.screen(status, console);
        console.print(&screen)
    }

    /// Shows one status of many: in the place of the last one on a terminal, else below it.
    fn frame(&mut self, status: &Status, error: Option<&str>, console: &mut Console<'_>) -> Result {
        if self.json {
            return console.json_line(status);
        }
        let mut screen = self.screen(status, console);
        if let Some(error) = error {
            screen.end_line();
            screen.line(Style::Red.of(error));
        }
        if console.terminal.out.is_terminal() {
            console.redraw(&screen)
        } else {
            console.line(screen)
        }
    }

    fn screen(&self, status: &Status, console: &Console<'_>) -> Text {
        let culprit = status
            .last_restart
            .as_ref()
            .and_then(|last| self.culprit(last.post_mortem.as_deref()?));
        render(
            status,
            &ScreenContext {
                columns: console.terminal.columns,
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

#[cfg(test)]
pub(super) mod tests;
