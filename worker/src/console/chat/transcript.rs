//! A turn as text: a pure function of its events.

use evonic_domain::{EventKind, Outcome};

use super::printable::Printable;
use crate::console::{format::count, terminal::Paint};

/// Lines of a result that are shown when nothing of it was streamed.
const MAX_RESULT_LINES: usize = 40;

/// Characters of an argument that are shown beside a tool's name.
const MAX_ARGUMENT_CHARS: usize = 100;

/// The prefix of a line of a tool's output.
const MARGIN: &str = "│ ";

#[derive(Debug)]
pub(super) struct Transcript {
    paint: Paint,
    /// The filter of untrusted text before its beginning; each of the model's text and of a tool's
    /// output continues from there.
    filter: Printable,
    text_filter: Printable,
    output_filter: Printable,
    /// The model's text since the last step.
    step_text: String,
    /// Whether output of the running call was shown.
    output_shown: bool,
    at_line_start: bool,
    text: String,
}

impl Transcript {
    /// A transcript; untrusted text is filtered when it goes to a terminal.
    pub(super) fn new(paint: Paint, for_terminal: bool) -> Self {
        let filter = if for_terminal { Printable::default() } else { Printable::Off };
        Self {
            paint,
            filter,
            text_filter: filter,
            output_filter: filter,
            step_text: String::new(),
            output_shown: false,
            at_line_start: true,
            text: String::new(),
        }
    }

    /// What the next event adds.
    pub(super) fn add(&mut self, event: &EventKind) -> String {
        match event {
            EventKind::TextDelta { text } => self.text_delta(text),
            EventKind::TextRetracted { reason } => self.retract(reason),
            EventKind::StepCompleted { text, .. } => self.end_step(text),
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
            EventKind::MessageCreated { .. } | EventKind::TurnStarted { .. } => {}
        }
        std::mem::take(&mut self.text)
    }

    fn new_line(&mut self) {
        if !self.at_line_start {
            self.text.push('\n');
            self.at_line_start = true;
        }
    }

    fn line(&mut self, line: &str) {
        self.new_line();
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn note(&mut self, note: &str) {
        let note = self.paint.dim(&format!("({note})"));
        self.line(&note);
    }

    fn text_delta(&mut self, piece: &str) {
        self.step_text.push_str(piece);
        let piece = self.text_filter.filter(piece);
        if let Some(last) = piece.chars().last() {
            self.at_line_start = last == '\n';
        }
        self.text.push_str(&piece);
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
        let name = self.paint.bold(name);
        let head = format!("{} {name}  {}", self.paint.cyan("▸"), self.harmless(&inline));
        self.line(head.trim_end());
        for line in self.harmless(&block).lines() {
            self.line(&format!("  {line}"));
        }
    }

    fn harmless(&self, text: &str) -> String {
        let mut filter = self.filter;
        filter.filter(text)
    }

    fn output(&mut self, piece: &str) {
        let piece = self.output_filter.filter(piece);
        self.output_shown |= !piece.is_empty();
        let margin = self.paint.dim(MARGIN);
        for line in piece.split_inclusive('\n') {
            if self.at_line_start {
                self.text.push_str(&margin);
            }
            self.text.push_str(line);
            self.at_line_start = line.ends_with('\n');
        }
    }

    fn end_tool(&mut self, outcome: Outcome, content: &str) {
        self.new_line();
        self.output_filter = self.filter;
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
            Outcome::Error => self.paint.red("✗ failed"),
            Outcome::Cancelled => self.paint.yellow("✗ cancelled"),
            Outcome::Unknown => self.paint.yellow("? its worker died: the outcome is unknown"),
        };
        self.line(&verdict);
    }
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
