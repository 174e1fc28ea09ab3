//! A turn as text: a pure function of its events.

use evonic_domain::{BudgetReached, CompactionKind, EventKind, ItemRange, Outcome};
use jiff::tz::TimeZone;

use crate::console::{
    format::{count, local_time},
    terminal::NoTerminal,
    text::{MARGIN, Prose, Style, Text, text},
};

/// Lines of a result that are shown when nothing of it was streamed.
const MAX_RESULT_LINES: usize = 40;

/// Characters of an argument that are shown beside a tool's name.
const MAX_ARGUMENT_CHARS: usize = 100;

#[derive(Debug)]
pub(super) struct Transcript {
    /// What others wrote, before its beginning; the model's text and a tool's output go on from
    /// there.
    begin: Prose,
    model_text: Prose,
    tool_output: Prose,
    /// The model's text since the last step.
    step_text: String,
    /// Whether output of the running call was shown.
    output_shown: bool,
    at_line_start: bool,
    page: Text,
}

impl Transcript {
    /// A transcript; what others wrote is exact where it goes to no terminal.
    pub(super) fn new(file: Option<NoTerminal>) -> Self {
        let begin = file.map_or_else(Prose::default, Prose::exact);
        Self {
            begin,
            model_text: begin,
            tool_output: begin,
            step_text: String::new(),
            output_shown: false,
            at_line_start: true,
            page: Text::default(),
        }
    }

    /// What the next event adds.
    pub(super) fn add(&mut self, event: &EventKind) -> Text {
        match event {
            EventKind::TextDelta { text } => self.text_delta(text),
            EventKind::TextRetracted { reason } => self.retract(reason),
            EventKind::StepCompleted { text, .. } => self.end_step(text),
            EventKind::OutputRefused { message, .. } => {
                self.note(&format!(
                    "the answer does not fit ({message}); the model is asked again"
                ));
            }
            EventKind::ToolStarted { name, arguments, .. } => self.start_tool(name, arguments),
            EventKind::ToolOutput { text, .. } => self.output(text),
            EventKind::ToolCompleted { outcome, content, .. } => self.end_tool(*outcome, content),
            EventKind::TurnHandedOver { .. } => self.note("the worker is being replaced"),
            EventKind::TurnResumed { generation, .. } => {
                self.note(&format!("generation {generation} goes on"));
            }
            EventKind::TurnCompleted { .. }
            | EventKind::TurnFailed { .. }
            | EventKind::TurnCancelled {} => self.new_line(),
            EventKind::TurnWaiting { waiting } => {
                let reason = waiting.reason.name().replace('_', " ");
                let (until, message) =
                    (local_time(&waiting.until, &TimeZone::system()), &waiting.message);
                self.note(&format!("waits until {until} ({reason}): {message}"));
            }
            EventKind::BudgetReached(BudgetReached { name, percent, .. }) => {
                self.note(&format!("budget {name} is spent to {percent} %"));
            }
            EventKind::ContextCompacted { kind, range, tokens_before, tokens_after, .. } => {
                self.note(&compacted(*kind, *range, *tokens_before, *tokens_after));
            }
            EventKind::MessageCreated { .. }
            | EventKind::TurnStarted { .. }
            | EventKind::ReasoningDelta { .. } => {}
        }
        std::mem::take(&mut self.page)
    }

    fn new_line(&mut self) {
        if !self.at_line_start {
            self.page.end_line();
            self.at_line_start = true;
        }
    }

    fn line(&mut self, line: impl Into<Text>) {
        self.new_line();
        self.page.line(line);
    }

    fn note(&mut self, note: &str) {
        self.line(Style::Dim.of(format!("({note})")));
    }

    fn text_delta(&mut self, piece: &str) {
        self.step_text.push_str(piece);
        let piece = self.model_text.push(piece);
        self.at_line_start = piece.ends_line().unwrap_or(self.at_line_start);
        self.page.push(piece);
    }

    fn retract(&mut self, reason: &str) {
        self.step_text.clear();
        self.note(&format!("the reply above is void: {reason}; asking again"));
    }

    /// Completes the streamed text: the step's text is authoritative.
    fn end_step(&mut self, text: &str) {
        let streamed = std::mem::take(&mut self.step_text);
        match text.strip_prefix(streamed.as_str()) {
            Some(rest) => self.text_delta(rest),
            None => {
                self.note("the reply above is void; it is");
                self.text_delta(text);
            }
        }
        self.step_text.clear();
        self.new_line();
    }

    fn start_tool(&mut self, name: &str, arguments: &str) {
        self.output_shown = false;
        let (inline, block) = layout(arguments);
        let head = text![Style::Cyan.of("▸"), " ", Style::Bold.of(name), "  ", inline];
        self.line(head.trimmed());
        let mut block_text = self.begin;
        for line in block_text.push(&block).lines() {
            self.page.push("  ");
            self.at_line_start = line.ends_line().unwrap_or(true);
            self.page.push(line);
        }
        self.new_line();
    }

    fn output(&mut self, piece: &str) {
        let piece = self.tool_output.push(piece);
        self.output_shown |= !piece.is_empty();
        for line in piece.lines() {
            if self.at_line_start {
                self.page.push(Style::Dim.of(MARGIN));
            }
            self.at_line_start = line.ends_line().unwrap_or(self.at_line_start);
            self.page.push(line);
        }
    }

    fn end_tool(&mut self, outcome: Outcome, content: &str) {
        self.new_line();
        self.tool_output = self.begin;
        // Streamed output is not shown again; the tool's own notes are.
        let content: Vec<&str> = match self.output_shown {
            true => content.lines().rev().take_while(|line| is_note(line)).collect(),
            false => content.lines().rev().collect(),
        };
        let more = content.len().saturating_sub(MAX_RESULT_LINES);
        for line in content.iter().rev().take(MAX_RESULT_LINES) {
            self.output(line);
            self.new_line();
        }
        if more > 0 {
            self.output(&format!("… {} more", count(more, "line")));
            self.new_line();
        }
        let verdict = match outcome {
            Outcome::Ok => return,
            Outcome::Error => Style::Red.of("✗ failed"),
            Outcome::Cancelled => Style::Yellow.of("✗ cancelled"),
            Outcome::Unknown => Style::Yellow.of("? its worker died: the outcome is unknown"),
        };
        self.line(verdict);
    }
}

/// What became of a session's older items.
pub(in crate::console) fn compacted(
    kind: CompactionKind,
    range: ItemRange,
    before: u64,
    after: u64,
) -> String {
    let ItemRange { first, last } = range;
    let what = match kind {
        CompactionKind::Shortened => "results are sent shortened from here on",
        CompactionKind::Summarised => "a summary is sent from here on in place of items",
        CompactionKind::LeftOut => "items are left out from here on",
    };
    format!("{what}: {first} to {last}; about {before} tokens became {after}")
}

/// Whether a line of a result is the tool's own: `[exit status 1]`.
fn is_note(line: &str) -> bool {
    line.starts_with('[') && line.ends_with(']')
}

/// A call's arguments: beside the tool's name, and below it.
fn layout(arguments: &str) -> (String, String) {
    let Ok(serde_json::Value::Object(arguments)) = serde_json::from_str(arguments) else {
        return (shortened(arguments), String::new());
    };
    let mut inline = Vec::new();
    let mut block = String::new();
    for (index, (name, value)) in arguments.iter().enumerate() {
        match value {
            serde_json::Value::String(text) if index == 0 && !text.contains('\n') => {
                inline.push(shortened(text));
            }
            serde_json::Value::String(text) if index == 0 => block = text.clone(),
            serde_json::Value::String(text) if text.contains('\n') => {
                inline.push(format!("{name}: {}", count(text.lines().count(), "line")));
            }
            other => inline.push(format!("{name}: {}", shortened(&other.to_string()))),
        }
    }
    (inline.join("  "), block)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_ARGUMENT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
