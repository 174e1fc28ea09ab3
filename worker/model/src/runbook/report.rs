//! What the operator reads: an announcement before each step, a report at the end, or why a
//! message is no runbook.
//!
//! A final text begins with `done:`, `failed:` or `refused:`, for scripts.

use std::fmt::Write;

use super::{
    error::{ParseError, printable, shorten},
    plan::{Ending, Plan},
    script::Position,
};
use evonic_domain::Outcome;

/// The most bytes of results in one report; what is left out is counted.
const MAX_RESULT_BYTES: usize = 256 * 1024;

/// The most characters of a step's title.
const MAX_TITLE_CHARS: usize = 100;

/// The most characters of a faulty line that are shown.
const MAX_LINE_CHARS: usize = 100;

/// How a refusal explains the language. `docs/runbook.md` has all of it.
pub(super) const EXAMPLE: &str = "\
# Lines like this one are for the reader.
$ uname -r
show
write notes.txt <<END
first line
second line
END
edit notes.txt replace \"second\" with \"last\"
read notes.txt
";

/// The text before a task runs.
pub(super) fn announcement(plan: &Plan, index: usize) -> String {
    let task = &plan.tasks[index];
    let mut text = joined(&task.say);
    let title = shorten(&task.title, MAX_TITLE_CHARS);
    let _ = writeln!(text, "step {} of {}: {title}", index + 1, plan.tasks.len());
    text
}

/// The final text of a runbook that ran, to its end or to the step that stopped it.
pub(super) fn report(plan: &Plan, ending: &Ending<'_>) -> String {
    let mut text = verdict(plan, ending);
    text.push_str("\n\n");
    let mut room = MAX_RESULT_BYTES;
    for (index, task) in plan.tasks.iter().enumerate() {
        let result = ending.results.get(index);
        if result.is_some() {
            text.push_str(&joined(&task.say));
        }
        let label = result.map_or("not run", |result| label(result.outcome));
        let title = shorten(&task.title, MAX_TITLE_CHARS);
        let _ = writeln!(text, "{} {label}: {title}", index + 1);
        if let Some(result) = result.filter(|result| task.shown || result.outcome != Outcome::Ok) {
            text.push_str(&indented(result.content, &mut room));
        }
    }
    if !ending.stopped {
        text.push_str(&joined(&plan.closing));
    }
    text
}

/// The first line of a report.
fn verdict(plan: &Plan, ending: &Ending<'_>) -> String {
    let all = plan.tasks.len();
    let failed: Vec<usize> = ending
        .results
        .iter()
        .enumerate()
        .filter_map(|(index, result)| (result.outcome != Outcome::Ok).then_some(index + 1))
        .collect();
    match (failed.as_slice(), ending.results.last().map(|last| last.outcome)) {
        ([], _) if all == 1 => "done: 1 step".to_owned(),
        ([], _) => format!("done: {all} steps"),
        ([.., step], Some(Outcome::Unknown)) if ending.stopped => format!(
            "failed: step {step} of {all}: its worker died while it ran, so whether it took \
             effect is unknown"
        ),
        ([step], _) => format!("failed: step {step} of {all}"),
        (steps, _) => {
            let steps: Vec<String> = steps.iter().map(usize::to_string).collect();
            format!("failed: steps {} of {all}", steps.join(", "))
        }
    }
}

const fn label(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Error => "failed",
        Outcome::Unknown => "unknown",
        Outcome::Cancelled => "cancelled",
    }
}

/// A result, each line behind four spaces, as far as there is room.
fn indented(content: &str, room: &mut usize) -> String {
    let most = content.len().min(*room);
    let end = (0..=most).rev().find(|&end| content.is_char_boundary(end)).unwrap_or_default();
    let kept = content.get(..end).unwrap_or_default();
    *room -= kept.len();
    let mut text = String::new();
    for line in kept.lines() {
        let _ = writeln!(text, "    {line}");
    }
    if kept.len() < content.len() {
        let _ =
            writeln!(text, "    [{} more bytes are not shown here]", content.len() - kept.len());
    }
    text
}

fn joined(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The final text for a message that is no runbook: where and why, and how one looks.
pub(super) fn refusal(message: &str, error: &ParseError) -> String {
    let mut text = format!("refused: {error}\n");
    if let Some((line, caret)) = faulty_line(message, error.at) {
        let _ = writeln!(text, "\n    {line}\n    {:caret$}^", "");
    }
    text.push_str(
        "\nNothing was run. This agent runs the steps of a runbook and reports what came of them. A \
         runbook is a message like this:\n\n",
    );
    for line in EXAMPLE.lines() {
        let _ = writeln!(text, "    {line}");
    }
    text.push_str(
        "\nSteps: $, bash, python, read, write, edit, list, search, copy. Also: say, show, on \
         failure, timeout, folder, #.\n",
    );
    text
}

/// The line at a place, as much of it as is shown, and how far the caret goes in.
fn faulty_line(message: &str, at: Position) -> Option<(String, usize)> {
    let line = message.lines().nth(at.line - 1)?;
    let before = at.column - 1;
    let skipped = before.saturating_sub(MAX_LINE_CHARS / 2);
    let shown: String = line.chars().skip(skipped).take(MAX_LINE_CHARS).map(printable).collect();
    (!shown.trim().is_empty()).then(|| (shown.trim_end().to_owned(), before - skipped))
}
