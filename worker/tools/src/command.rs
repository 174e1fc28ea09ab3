//! `bash` and `python`.

use std::time::Duration;

use bytes::Bytes;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Answer, Inner, Loss, Piece, ToolResult,
    answer::{sentence, why},
    arguments::{Bash, Python},
    figures,
    output::{Capped, Live},
};
use evonic_domain::Outcome;
use evonic_workplace::{Class, CommandSpec, Ended, Finished, Unknown, WorkplaceError};

/// Pieces of output between the machine and the reader.
const PIECES: usize = 4;

/// The longest argument that Linux hands over to a program (`MAX_ARG_STRLEN`, with its end).
const ARGUMENT_BYTES: usize = 128 * 1024 - 1;

/// A machine that is out of reach while a command runs there is tried for as long as the command
/// may run, and this much longer.
const MARGIN: Duration = Duration::from_secs(60);
/// The first pause between two such attempts; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause between two such attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Who called a tool.
pub(super) struct Caller<'c> {
    /// Names the call's command.
    pub(super) command_id: &'c str,
    /// Of a call that is gone on with: bytes of its output that were shown.
    pub(super) output_offset: Option<u64>,
    pub(super) output: mpsc::Sender<Piece>,
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
    pub(super) async fn bash(&self, arguments: Bash, caller: Caller<'_>) -> Answer {
        let Bash { command, timeout_seconds, folder } = arguments;
        if command.len() > ARGUMENT_BYTES {
            let bytes = figures::count(command.len() as u64);
            return ToolResult::error(format!(
                "the command is too long ({bytes} bytes, 128 KiB at most); write it to a file with \
                 write_file and run that"
            ))
            .into();
        }
        let argv = vec!["bash".to_owned(), "-c".to_owned(), command];
        self.command(Program { argv, stdin: String::new(), timeout_seconds, folder }, caller).await
    }

    /// The program comes by standard input: an argument has a limit of 128 KiB.
    pub(super) async fn python(&self, arguments: Python, caller: Caller<'_>) -> Answer {
        let Python { code, timeout_seconds, folder } = arguments;
        let argv = ["python3", "-u", "-"].map(str::to_owned).to_vec();
        self.command(Program { argv, stdin: code, timeout_seconds, folder }, caller).await
    }

    async fn command(&self, program: Program, caller: Caller<'_>) -> Answer {
        let Program { argv, stdin, timeout_seconds, folder } = program;
        let most = self.settings.timeout;
        let timeout = timeout_seconds.map_or(most, |asked| Duration::from_secs(asked).min(most));
        let spec = CommandSpec {
            argv,
            stdin: stdin.into(),
            folder: folder.unwrap_or_default(),
            timeout,
            command_id: caller.command_id.to_owned(),
        };
        let max_bytes = self.settings.max_output_bytes as usize;
        let live =
            Live::new(caller.output, caller.cancel, max_bytes, caller.output_offset.unwrap_or(0));
        let mut told = Told { capped: Capped::new(max_bytes), live, at: 0 };
        let output_offset = match caller.output_offset {
            None => {
                let (sender, receiver) = mpsc::channel(PIECES);
                let run = self.workplace.run(spec, sender, caller.cancel);
                match tokio::join!(run, told.take_in(receiver)).0 {
                    // It may run: to follow it is to find out.
                    Ok(Finished { ended: Ended::Unknown(Unknown::OutOfReach), .. }) => 0,
                    Ok(finished) => return answer(told.end().await, finished, timeout),
                    Err(error) => return not_started(error).into(),
                }
            }
            Some(output_offset) => output_offset,
        };
        let shown = output_offset.min(max_bytes as u64);
        let finished =
            self.follow(caller.command_id, shown, timeout, &mut told, caller.cancel).await;
        let output = told.end().await;
        match finished {
            Ok(finished) => answer(output, finished, timeout),
            Err(why) => Answer::Lost(Loss { why, output, runs_on: true }),
        }
    }

    /// Follows a command that was started before, of whose output so many bytes were shown.
    /// Its machine may be out of reach for as long as the command may run, and a little longer.
    /// `Err` says why it cannot be followed.
    async fn follow(
        &self,
        command_id: &str,
        shown: u64,
        timeout: Duration,
        told: &mut Told<'_>,
        cancel: &CancellationToken,
    ) -> Result<Finished, String> {
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.attach(command_id, shown, told, cancel).await {
                Ok(finished) => return Ok(finished),
                Err(error) => error,
            };
            let tried = begun.elapsed();
            if error.class() == Class::Permanent {
                return Err(format!("its machine refuses ({})", sentence(&error)));
            }
            if cancel.is_cancelled() || tried + pause > timeout + MARGIN {
                let seconds = figures::of(tried.as_secs(), "second", "seconds");
                let error = sentence(&error);
                return Err(format!("its machine has been out of reach for {seconds} ({error})"));
            }
            tracing::warn!(
                command_id,
                error = &error as &dyn std::error::Error,
                retry_ms = pause.as_millis(),
                "command out of reach; trying again"
            );
            // A cancel is tried at once: to follow is to kill then.
            cancel.run_until_cancelled(tokio::time::sleep(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Reads what was shown before, for the result, and follows the command from there on.
    async fn attach(
        &self,
        command_id: &str,
        shown: u64,
        told: &mut Told<'_>,
        cancel: &CancellationToken,
    ) -> Result<Finished, WorkplaceError> {
        if told.at < shown {
            match self.workplace.output(command_id, 0, shown).await {
                Ok(head) => told.capped.push(&head),
                Err(error) if error.class() == Class::Transient => return Err(error),
                // To follow it says the same, and what has become of it.
                Err(_) => {}
            }
            told.at = shown;
        }
        let (sender, receiver) = mpsc::channel(PIECES);
        let attach = self.workplace.attach(command_id, told.at, sender, cancel);
        tokio::join!(attach, told.take_in(receiver)).0
    }
}

/// A command's output on its two ways: into the result, and shown as it comes.
struct Told<'c> {
    capped: Capped,
    live: Live<'c>,
    /// How many bytes of it have come.
    at: u64,
}

impl Told<'_> {
    async fn take_in(&mut self, mut pieces: mpsc::Receiver<Bytes>) {
        while let Some(piece) = pieces.recv().await {
            self.at += piece.len() as u64;
            self.capped.push(&piece);
            self.live.push(&piece).await;
        }
    }

    /// The output as the result keeps it.
    async fn end(self) -> String {
        self.live.end().await;
        self.capped.text()
    }
}

/// The output, and below it in brackets how the command ended unless it just ended well.
fn answer(output: String, finished: Finished, timeout: Duration) -> Answer {
    let Finished { ended, left_behind } = finished;
    let (outcome, end) = match &ended {
        Ended::Exited(0) => (Outcome::Ok, None),
        Ended::Exited(code) => (Outcome::Error, Some(format!("exit status {code}"))),
        Ended::Signalled(signal) => (Outcome::Error, Some(format!("killed by signal {signal}"))),
        Ended::NotStarted(why) => (Outcome::Error, Some(why.clone())),
        Ended::TooMuchOutput => {
            let end = "wrote more than a command may and was killed, with everything it had \
                       started; send what is long to a file";
            (Outcome::Error, Some(end.to_owned()))
        }
        Ended::Unknown(unknown) => {
            let why = why(*unknown).to_owned();
            let runs_on = *unknown == Unknown::OutOfReach;
            return Answer::Lost(Loss { why, output, runs_on });
        }
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
    ToolResult { outcome, content }.into()
}

fn not_started(error: WorkplaceError) -> ToolResult {
    match &error {
        WorkplaceError::Start { program, source }
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            ToolResult::error(format!("{program} is not installed on this machine"))
        }
        _ => error.into(),
    }
}
