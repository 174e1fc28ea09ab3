//! `bash` and `python`.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Inner, ToolResult,
    arguments::{Bash, Python},
    figures,
    output::{Capped, Live},
};
use crate::{
    domain::Outcome,
    workplace::{CommandSpec, Ended, Finished, WorkplaceError},
};

/// Pieces of output between the pipe and the reader.
const PIECES: usize = 4;

/// Who called a command.
pub(super) struct Caller<'c> {
    pub(super) mark: &'c str,
    pub(super) output: mpsc::Sender<String>,
    pub(super) cancel: &'c CancellationToken,
}

/// What is common to `bash` and `python`.
struct Program {
    argv: Vec<String>,
    stdin: String,
    timeout_seconds: Option<u64>,
    folder: Option<String>,
}

impl Inner {
    pub(super) async fn bash(&self, arguments: Bash, caller: Caller<'_>) -> ToolResult {
        let Bash { command, timeout_seconds, folder } = arguments;
        let argv = vec!["bash".to_owned(), "-c".to_owned(), command];
        self.command(Program { argv, stdin: String::new(), timeout_seconds, folder }, caller).await
    }

    /// The program comes by standard input: an argument has a limit of 128 KiB.
    pub(super) async fn python(&self, arguments: Python, caller: Caller<'_>) -> ToolResult {
        let Python { code, timeout_seconds, folder } = arguments;
        let argv = ["python3", "-u", "-"].map(str::to_owned).to_vec();
        self.command(Program { argv, stdin: code, timeout_seconds, folder }, caller).await
    }

    async fn command(&self, program: Program, caller: Caller<'_>) -> ToolResult {
        let Program { argv, stdin, timeout_seconds, folder } = program;
        let most = self.settings.timeout;
        let timeout = timeout_seconds.map_or(most, |asked| Duration::from_secs(asked).min(most));
        let spec = CommandSpec {
            argv,
            stdin: stdin.into(),
            folder: folder.unwrap_or_default(),
            timeout,
            mark: caller.mark.to_owned(),
        };
        let max_bytes = self.settings.max_output_bytes as usize;
        let live = Live::new(caller.output, caller.cancel, max_bytes);
        let (sender, receiver) = mpsc::channel(PIECES);
        let (finished, output) = tokio::join!(
            self.workplace.run(spec, sender, caller.cancel),
            gather(receiver, live, max_bytes),
        );
        match finished {
            Ok(finished) => result(output.text(), finished, timeout),
            Err(error) => not_started(error),
        }
    }
}

async fn gather(mut pieces: mpsc::Receiver<Bytes>, mut live: Live<'_>, max_bytes: usize) -> Capped {
    let mut output = Capped::new(max_bytes);
    while let Some(piece) = pieces.recv().await {
        output.push(&piece);
        live.push(&piece).await;
    }
    live.end().await;
    output
}

/// The output, and below it in brackets how the command ended unless it just ended well.
fn result(output: String, finished: Finished, timeout: Duration) -> ToolResult {
    let Finished { ended, left_behind } = finished;
    let (outcome, end) = match &ended {
        Ended::Exited(0) => (Outcome::Ok, None),
        Ended::Exited(code) => (Outcome::Error, Some(format!("exit status {code}"))),
        Ended::Signalled(signal) => (Outcome::Error, Some(format!("killed by signal {signal}"))),
        Ended::NotStarted(why) => (Outcome::Error, Some(why.clone())),
        Ended::TooMuchOutput | Ended::Unknown(_) => todo!("the tools room"),
        Ended::TimedOut => {
            let seconds = figures::count(timeout.as_secs());
            let end = format!(
                "timed out after {seconds} s and was killed, with everything it had started"
            );
            (Outcome::Error, Some(end))
        }
        Ended::Cancelled => (
            Outcome::Cancelled,
            Some("cancelled and killed, with everything it had started".to_owned()),
        ),
    };
    let mut notes = Vec::new();
    if left_behind > 0 && matches!(ended, Ended::Exited(_) | Ended::Signalled(_)) {
        let processes = figures::of(left_behind.into(), "process", "processes");
        notes.push(format!("{processes} left in the background and killed"));
    }
    notes.extend(end);
    if notes.is_empty() && output.is_empty() {
        notes.push("no output".to_owned());
    }
    let mut content = output;
    if !content.is_empty() && !content.ends_with('\n') && !notes.is_empty() {
        content.push('\n');
    }
    let notes: Vec<_> = notes.iter().map(|note| format!("[{note}]")).collect();
    content.push_str(&notes.join("\n"));
    ToolResult { outcome, content }
}

fn not_started(error: WorkplaceError) -> ToolResult {
    match &error {
        WorkplaceError::Start { program, source }
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            ToolResult::error(format!("{program} is not installed on this machine"))
        }
        WorkplaceError::Start { program, source }
            if source.kind() == std::io::ErrorKind::ArgumentListTooLong =>
        {
            ToolResult::error(format!(
                "{program}: the command is too long (128 KiB at most); write it to a file with \
                 write_file and run that"
            ))
        }
        _ => error.into(),
    }
}
