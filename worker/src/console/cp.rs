//! `evonic cp`: a copy between workplaces, and its progress.
//!
//! The worker copies for as long as the client listens. A worker that is replaced ends its stream;
//! the same request then continues in the next one.

mod bar;

use std::time::{Duration, Instant};

use evonic_domain::{AgentName, CopyEnd, NewCopy, SessionId};
use evonic_shared::exit::ExitCode;
use evonic_workplace::Progress as CopyProgress;
use tokio::signal::unix::{SignalKind, signal};

use bar::Bar;

use super::{
    api::{Api, RetryPause, SILENCE_LIMIT, decode},
    command::CopyOptions,
    error::{ConsoleError, Result, failure},
    format::{bytes as size, count},
    output::Console,
    progress::{Outcome, Progress},
    text::{Text, text},
};

/// How long a copy is asked for again while no worker reports progress.
const RETRY_LIMIT: Duration = Duration::from_secs(60);

/// Runs the command.
pub(super) async fn run(options: &CopyOptions, api: &Api, console: &mut Console<'_>) -> Result {
    let session = options.session.as_deref().map(session).transpose()?;
    let new = NewCopy {
        from: end(&options.from, session.as_ref())?,
        to: end(&options.to, session.as_ref())?,
        recursive: options.recursive,
    };
    let mut interrupts = signal(SignalKind::interrupt()).map_err(ConsoleError::Runtime)?;
    let mut screen = Screen::new(options.json, console);
    let followed = tokio::select! {
        followed = follow(&new, api, &mut screen, console) => Some(followed),
        _ = interrupts.recv() => None,
    };
    console.clear_progress();
    let Some(followed) = followed else {
        console.say("Stopped. The same command goes on where it was.");
        return Err(ConsoleError::Reported(ExitCode::TurnCancelled));
    };
    let Outcome { ok: false, error } = followed? else { return Ok(()) };
    console.say(failure(error));
    if screen.goes_on {
        console.say("The same command goes on where it was.");
    }
    Err(ConsoleError::Reported(ExitCode::Failure))
}

fn session(text: &str) -> Result<SessionId> {
    let refused = |_| ConsoleError::Usage(format!("{text} is no session's id"));
    text.parse().map_err(refused)
}

/// `WORKPLACE:PATH`.
fn end(text: &str, session: Option<&SessionId>) -> Result<CopyEnd> {
    let named = text.split_once(':').filter(|(name, _)| name.parse::<AgentName>().is_ok());
    let Some((workplace, path)) = named else {
        return Err(ConsoleError::Usage(format!(
            "{text} does not say in which workplace it is: write WORKPLACE:PATH, such as \
             local:{text}; `evonic workplace list` tells which there are"
        )));
    };
    Ok(CopyEnd {
        workplace: workplace.to_owned(),
        path: path.to_owned(),
        session: session.cloned(),
    })
}

/// Asks for the copy until a worker reports its outcome.
async fn follow(
    new: &NewCopy,
    api: &Api,
    screen: &mut Screen,
    console: &mut Console<'_>,
) -> Result<Outcome> {
    let mut last_event = Instant::now();
    let mut pause = RetryPause::default();
    loop {
        let mut retry_after = None;
        match api.stream_progress_of("/copies", new).await {
            Ok(mut events) => {
                while let Some(progress) = Progress::next(&mut events).await? {
                    (last_event, pause) = (Instant::now(), RetryPause::default());
                    match progress {
                        Progress::Step(data) => screen.progress(&data, console)?,
                        Progress::Done(data) => {
                            screen.done(&data, console)?;
                            return decode(data.as_bytes());
                        }
                    }
                }
                retry_after = events.retry_after();
            }
            Err(error) if !error.is_transient() || last_event.elapsed() > RETRY_LIMIT => {
                return Err(error);
            }
            Err(_) => {}
        }
        if last_event.elapsed() > RETRY_LIMIT + SILENCE_LIMIT {
            return Err(ConsoleError::Timeout { limit: RETRY_LIMIT });
        }
        pause.wait(retry_after).await;
    }
}

/// A bar on a terminal, lines elsewhere, or events with `--json`.
struct Screen {
    json: bool,
    /// Where standard error is a terminal.
    bar: Option<Bar>,
    /// Whether the plan was shown: a worker that continues a copy sends it again.
    planned: bool,
    /// Whether the same copy, asked for again, goes on where it was.
    goes_on: bool,
}

impl Screen {
    fn new(json: bool, console: &Console<'_>) -> Self {
        let bar = (console.terminal.err.is_terminal() && !json).then(Bar::default);
        Self { json, bar, planned: false, goes_on: false }
    }

    fn progress(&mut self, data: &str, console: &mut Console<'_>) -> Result {
        if self.json {
            return console.event(data);
        }
        match decode(data.as_bytes())? {
            CopyProgress::Planned { files, bytes } => {
                let first = !std::mem::replace(&mut self.planned, true);
                match &mut self.bar {
                    Some(bar) => bar.plan(bytes),
                    None if first => {
                        console.say(format!("{}, {}", count(files, "file"), size(bytes)));
                    }
                    None => {}
                }
            }
            CopyProgress::Moved { path, bytes } => {
                let columns = console.terminal.columns;
                let bar = self.bar.as_mut();
                if let Some(line) = bar.and_then(|bar| bar.moved(&path, bytes, columns)) {
                    console.progress(line);
                }
            }
            CopyProgress::Paused { reason, retry_ms } => {
                console.say(text![Text::quoted(reason, 0), format!("; again in {retry_ms} ms")]);
            }
            CopyProgress::Skipped { path, reason } => {
                console.say(text![path, " is not copied: it is ", reason]);
            }
            CopyProgress::Noted { path, note } => {
                console.say(text![path, ": ", note]);
            }
            CopyProgress::Done { files, bytes, sent } => {
                let (bytes, sent) = (size(bytes), size(sent));
                console.say(format!("{}, {bytes}; {sent} sent", count(files, "file")));
            }
            // The outcome has it.
            CopyProgress::Failed { goes_on, .. } => self.goes_on = goes_on,
            CopyProgress::Checked { .. } => {}
        }
        Ok(())
    }

    fn done(&self, data: &str, console: &mut Console<'_>) -> Result {
        if self.json { console.event(data) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::terminal::Terminal;

    #[test]
    fn a_path_names_its_workplace() {
        let far = end("far:a b/c:d", None).expect("it is one");
        assert_eq!((far.workplace.as_str(), far.path.as_str()), ("far", "a b/c:d"));
        assert_eq!(end("far:", None).expect("it is one").path, "");
        for text in ["a", "/a/b", "./a:b", "A:b", ":b", ""] {
            let error = end(text, None).expect_err("it is none").to_string();
            assert!(error.contains(&format!("local:{text}")), "{error}");
        }
        assert!(session("x").is_err());
        assert_eq!([count(0, "file"), count(1, "file")], ["0 files", "1 file"]);
    }

    fn shown(json: bool) -> (String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut console = Console::new(&mut out, &mut err, Terminal::NONE);
        let mut screen = Screen::new(json, &console);
        let path = || "a/b".to_owned();
        for progress in [
            CopyProgress::Planned { files: 2, bytes: 3 << 20 },
            CopyProgress::Moved { path: path(), bytes: 1 << 20 },
            CopyProgress::Paused { reason: "far: transfer failed".to_owned(), retry_ms: 200 },
            CopyProgress::Skipped { path: path(), reason: "a symbolic link".to_owned() },
            CopyProgress::Planned { files: 2, bytes: 3 << 20 },
            CopyProgress::Checked { path: path(), sha256: "00".repeat(32) },
            CopyProgress::Done { files: 2, bytes: 3 << 20, sent: 4 << 20 },
        ] {
            let data = serde_json::to_string(&progress).expect("it is JSON");
            screen.progress(&data, &mut console).expect("it is shown");
        }
        screen.done("{\"ok\":true}", &mut console).expect("it is shown");
        drop(console);
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (text(out), text(err))
    }

    #[test]
    fn lines_and_events_read_well() {
        let (out, err) = shown(false);
        assert_eq!(out, "");
        insta::assert_snapshot!("lines", err);
        let (out, err) = shown(true);
        assert_eq!(err, "");
        insta::assert_snapshot!("events", out);
    }
}
