//! `evonic cp`: a copy between workplaces, and how far it is.
//!
//! The worker copies for as long as somebody listens. A worker that is replaced ends its stream;
//! the same request then goes on where it was, in the next one.

use std::time::{Duration, Instant};

use evonic_shared::exit::ExitCode;
use http_body_util::BodyExt;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Deserialize;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use super::{
    Console,
    api::{Api, Pauses},
    command::CopyOptions,
    error::ConsoleError,
};
use evonic_domain::{AgentName, CopyEnd, NewCopy, SessionId};
use evonic_net::sse::{Decoder, Event};
use evonic_workplace::Progress;

/// Silence after which a stream counts as broken. The worker sends a comment every 15 s at least.
const SILENCE: Duration = Duration::from_secs(45);

/// How long a copy is asked for again and again while no worker says anything of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a copy ended.
#[derive(Deserialize)]
struct Done {
    ok: bool,
    #[serde(default)]
    error: String,
}

/// Runs the command.
pub(super) async fn run(
    options: &CopyOptions,
    api: &Api,
    console: &mut Console<'_>,
) -> Result<ExitCode, ConsoleError> {
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
    screen.bar.finish_and_clear();
    let Some(followed) = followed else {
        console.say("Stopped. The same command goes on where it was.");
        return Ok(ExitCode::TurnCancelled);
    };
    let Done { ok, error } = followed?;
    if ok {
        return Ok(ExitCode::Ok);
    }
    let program = console.terminal.err.red("evonic:");
    console.say(&format!("{program} {error}"));
    if screen.planned {
        console.say("The same command goes on where it was.");
    }
    Ok(ExitCode::Failure)
}

fn session(text: &str) -> Result<SessionId, ConsoleError> {
    let refused = |_| ConsoleError::Usage(format!("{text} is no session's id"));
    text.parse().map_err(refused)
}

/// `WORKPLACE:PATH`.
fn end(text: &str, session: Option<&SessionId>) -> Result<CopyEnd, ConsoleError> {
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

/// Asks for the copy until a worker says how it ended.
async fn follow(
    new: &NewCopy,
    api: &Api,
    screen: &mut Screen,
    console: &mut Console<'_>,
) -> Result<Done, ConsoleError> {
    let mut heard = Instant::now();
    let mut pauses = Pauses::default();
    loop {
        let mut decoder = Decoder::new();
        match api.tell_about("/copies", new).await {
            Ok(mut answer) => {
                while let Ok(Some(Ok(frame))) = timeout(SILENCE, answer.body.frame()).await {
                    let Some(bytes) = frame.data_ref() else { continue };
                    for event in decoder.push(bytes) {
                        let Event { event, data, .. } = event?;
                        (heard, pauses) = (Instant::now(), Pauses::default());
                        if event == "done" {
                            screen.done(&data, console)?;
                            return serde_json::from_str(&data).map_err(misunderstood);
                        }
                        screen.progress(&data, console)?;
                    }
                }
            }
            Err(error) if !error.is_passing() || heard.elapsed() > PATIENCE => return Err(error),
            Err(_) => {}
        }
        if heard.elapsed() > PATIENCE + SILENCE {
            return Err(ConsoleError::Silent { patience: PATIENCE });
        }
        pauses.pause(decoder.retry_ms().map(Duration::from_millis)).await;
    }
}

/// How it is shown: a bar on a terminal, lines elsewhere, or events as they come.
struct Screen {
    json: bool,
    /// Hidden where it has no place.
    bar: ProgressBar,
    /// Whether the plan was told: a worker that goes on tells it again.
    planned: bool,
}

impl Screen {
    fn new(json: bool, console: &Console<'_>) -> Self {
        let target = if console.terminal.live && !json {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        Self { json, bar, planned: false }
    }

    fn progress(&mut self, data: &str, console: &mut Console<'_>) -> Result<(), ConsoleError> {
        if self.json {
            return console.print(&format!("{data}\n"));
        }
        match serde_json::from_str(data).map_err(misunderstood)? {
            Progress::Planned { files, bytes } => {
                self.bar.set_style(style());
                self.bar.set_length(bytes);
                if !std::mem::replace(&mut self.planned, true) && self.bar.is_hidden() {
                    console.say(&format!("{}, {}", counted(files), HumanBytes(bytes)));
                }
            }
            Progress::Moved { path, bytes } => {
                self.bar.set_position(bytes);
                self.bar.set_message(path);
            }
            Progress::Paused { reason, retry_ms } => {
                self.say(&format!("{reason}; again in {retry_ms} ms"), console);
            }
            Progress::Skipped { path, reason } => {
                self.say(&format!("{path} is not copied: it is {reason}"), console);
            }
            Progress::Done { files, bytes, sent } => {
                let (bytes, sent) = (HumanBytes(bytes), HumanBytes(sent));
                self.say(&format!("{}, {bytes}; {sent} sent", counted(files)), console);
            }
            // The outcome says it.
            Progress::Checked { .. } | Progress::Failed { .. } => {}
        }
        Ok(())
    }

    fn done(&self, data: &str, console: &mut Console<'_>) -> Result<(), ConsoleError> {
        if self.json { console.print(&format!("{data}\n")) } else { Ok(()) }
    }

    fn say(&self, text: &str, console: &mut Console<'_>) {
        self.bar.suspend(|| console.say(text));
    }
}

/// `1 file`, `2 files`.
fn counted(files: u64) -> String {
    if files == 1 { "1 file".to_owned() } else { format!("{files} files") }
}

fn style() -> ProgressStyle {
    let template = "{wide_msg} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta} [{bar:20}]";
    ProgressStyle::with_template(template).expect("the template is sound").progress_chars("=> ")
}

fn misunderstood(source: serde_json::Error) -> ConsoleError {
    ConsoleError::Protocol { from: "the worker", source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::terminal::{Paint, Terminal};

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
        assert_eq!([counted(0), counted(1)], ["0 files", "1 file"]);
    }

    fn shown(json: bool) -> (String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let plain = Paint { colour: false };
        let terminal = Terminal {
            interactive: false,
            live: false,
            columns: 80,
            rows: 24,
            out: plain,
            err: plain,
        };
        let mut console = Console { out: &mut out, err: &mut err, terminal };
        let mut screen = Screen::new(json, &console);
        let path = || "a/b".to_owned();
        for progress in [
            Progress::Planned { files: 2, bytes: 3 << 20 },
            Progress::Moved { path: path(), bytes: 1 << 20 },
            Progress::Paused { reason: "far: transfer failed".to_owned(), retry_ms: 200 },
            Progress::Skipped { path: path(), reason: "a symbolic link".to_owned() },
            Progress::Planned { files: 2, bytes: 3 << 20 },
            Progress::Checked { path: path(), sha256: "00".repeat(32) },
            Progress::Done { files: 2, bytes: 3 << 20, sent: 4 << 20 },
        ] {
            let data = serde_json::to_string(&progress).expect("it is JSON");
            screen.progress(&data, &mut console).expect("it is shown");
        }
        screen.done("{\"ok\":true}", &mut console).expect("it is shown");
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
