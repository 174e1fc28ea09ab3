//! How a command ended, as the model is told.

use std::time::Duration;

use super::sink::Output;
use crate::{Answer, Loss, ToolResult, format, screen::FULL_SCREEN};
use evonic_domain::Outcome;
use evonic_workplace::{Ended, Finished, Unknown, WorkplaceError};

/// How much of a question is repeated, from its end.
const QUESTION_CHARS: usize = 80;

/// The output, and below it in brackets how the command ended unless it just ended well.
pub(super) fn answer(output: Output, finished: Finished, timeout: Duration) -> Answer {
    let Output { text: output, waited_for_keys } = output;
    let Finished { ended, left_behind } = finished;
    let end = match &ended {
        Ended::Exited(0) => None,
        Ended::Exited(code) => Some(format!("exit status {code}")),
        Ended::Signalled(signal) => Some(format!("killed by signal {signal}")),
        Ended::NotStarted(why) => Some(why.clone()),
        Ended::TooMuchOutput => Some(
            "wrote more than a command may and was killed, with everything it had started; send \
             what is long to a file"
                .to_owned(),
        ),
        Ended::Unstored(why) => Some(format!(
            "its output could not be stored on its machine ({why}): what it wrote after this is lost, \
             and it may have failed by that; make room there"
        )),
        Ended::Unknown(unknown) => {
            let why = reason(*unknown).to_owned();
            let runs_on = *unknown == Unknown::OutOfReach;
            return Answer::Lost(Loss { why, output, runs_on });
        }
        Ended::TimedOut => {
            let seconds = format::count(timeout.as_secs());
            let waited = question(&output).unwrap_or_default();
            Some(format!(
                "timed out after {seconds} s and was killed, with everything it had started{waited}"
            ))
        }
        Ended::Cancelled if waited_for_keys => Some(
            "it waited for keys, and there is no terminal here: it was killed, with everything it had \
             started; write the file with write_file or edit_file"
                .to_owned(),
        ),
        Ended::Cancelled => Some("cancelled and killed, with everything it had started".to_owned()),
    };
    let outcome = match ended {
        Ended::Exited(0) => Outcome::Ok,
        Ended::Cancelled if !waited_for_keys => Outcome::Cancelled,
        _ => Outcome::Error,
    };
    let mut notes = Vec::new();
    if left_behind > 0 && matches!(ended, Ended::Exited(_) | Ended::Signalled(_)) {
        let processes = format::plural(left_behind.into(), "process", "processes");
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

/// What is known of a command that ran into its time limit while it seems to have asked something.
fn question(output: &str) -> Option<String> {
    if output.contains(FULL_SCREEN) {
        return Some("; it is a full-screen program, and there is no terminal here".to_owned());
    }
    let line = output.lines().next_back().filter(|_| !output.ends_with('\n'))?;
    let (words, lower) = (line.trim_end(), line.to_lowercase());
    let asks = words.ends_with([':', '?'])
        || line.ends_with("> ")
        || ["y/n", "yes/no"].iter().any(|choice| lower.contains(choice));
    let begin = words.char_indices().rev().nth(QUESTION_CHARS).map_or(0, |(at, _)| at);
    asks.then(|| {
        format!(
            "; its last words, {:?}, look like a question: there is no terminal here and nobody to \
             answer, so give the answer as an option or by a pipe",
            &words[begin..]
        )
    })
}

pub(super) fn not_started(error: WorkplaceError) -> ToolResult {
    match &error {
        WorkplaceError::Start { program, source }
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            ToolResult::error(format!("{program} is not installed on this machine"))
        }
        _ => error.into(),
    }
}

/// Why the end of a command cannot be known.
const fn reason(unknown: Unknown) -> &'static str {
    match unknown {
        Unknown::NoRecord => {
            "there is no record of it on its machine: it never began, or its record was removed"
        }
        Unknown::Restarted => {
            "its machine was started anew, or its container stopped, while it ran"
        }
        Unknown::WatcherKilled => {
            "somebody killed the shell that watched over it, and what was left of it has been \
             killed too"
        }
        Unknown::OutOfReach => "its machine is out of reach: whether it was started cannot be told",
    }
}
