//! `read_file`.

mod stored;

use std::fmt::Write as _;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Limits;
use crate::{
    Answer, ArgumentError, Call, Effect, Ending, Tool, ToolResult, ToolSpec, format,
    output::incomplete, tool::spec,
};
use evonic_workplace::Lines;

const DESCRIPTION: &str = "Reads a text file, or some of its lines. Each line is preceded by its number and a tab, which \
     are not part of the file. When not everything is returned, the last line says how to ask for \
     the rest. evonic:item/TURN.ITEM as the path is an item of this session that is shown \
     shortened or not at all.";

#[derive(Debug, Deserialize, JsonSchema)]
struct Arguments {
    /// The file, relative to the workplace. ~ is not expanded.
    #[schemars(length(min = 1))]
    path: String,
    /// First line, from 1. Default: 1.
    #[schemars(range(min = 1))]
    from_line: Option<u64>,
    /// Last line, included. Default: the end of the file.
    #[schemars(range(min = 1))]
    to_line: Option<u64>,
}

#[derive(Debug)]
pub(super) struct ReadFile(pub(super) Limits);

#[async_trait]
impl Tool for ReadFile {
    fn spec(&self) -> ToolSpec {
        spec::<Arguments>("read_file", DESCRIPTION, Effect::Read, Ending::WithWorker)
    }

    async fn run(&self, mut call: Call<'_>) -> Result<Answer, ArgumentError> {
        let Arguments { path, from_line, to_line } = call.arguments()?;
        let (from, limit) = (from_line.unwrap_or(1), self.0.max_read_bytes);
        if let Some(to) = to_line.filter(|&to| to < from) {
            let refusal = format!("to_line {to} is before from_line {from}");
            return Ok(ToolResult::error(refusal).into());
        }
        if let Some(address) = path.strip_prefix(stored::SCHEME) {
            let result = match stored::text(&call, address).await {
                Ok(text) => {
                    let lines = stored::lines(&text, from, to_line, limit);
                    numbered(&path, &lines, to_line, limit)
                }
                Err(error) => ToolResult::error(error),
            };
            return Ok(result.into());
        }
        let read = async {
            let lines = call.workplace.read_lines(&path, from, to_line, limit).await?;
            Ok(numbered(&path, &lines, to_line, limit))
        };
        Ok(call.within(self.0.timeout, read).await)
    }
}

/// Numbered lines, and what is not among them.
fn numbered(path: &str, lines: &Lines, to: Option<u64>, limit: u64) -> ToolResult {
    let size = format::bytes(lines.size_bytes);
    if lines.binary {
        return ToolResult::error(format!("{path} is a binary file of {size}"));
    }
    if lines.size_bytes == 0 {
        return ToolResult::ok("[the file is empty]\n".to_owned());
    }
    if let Some(total) = lines.total.filter(|&total| total < lines.first) {
        let has = format::plural(total, "line", "lines");
        return ToolResult::error(format!("from_line {}: {path} has only {has}", lines.first));
    }
    let numbered = Numbered::new(lines, limit);
    let mut content = numbered.text.clone();
    let notes = [numbered.cut_note(lines), numbered.range_note(lines, to, &size)];
    for note in notes.into_iter().flatten() {
        let _infallible = writeln!(content, "[{note}]");
    }
    if std::str::from_utf8(numbered.bytes(lines)).is_err() {
        content.push_str("[bytes that are no UTF-8 are shown as \u{fffd}]\n");
    }
    ToolResult::ok(content)
}

/// Lines with their numbers: as many as fit into the limit with them.
struct Numbered {
    text: String,
    /// Bytes of the file that are in it.
    bytes: usize,
    last: u64,
}

impl Numbered {
    fn new(lines: &Lines, limit: u64) -> Self {
        let cut = if lines.cut { incomplete(&lines.text) } else { 0 };
        let whole = &lines.text[..lines.text.len() - cut];
        let mut numbered = Self { text: String::new(), bytes: 0, last: lines.first };
        for (number, line) in (lines.first..).zip(whole.split_inclusive(|&byte| byte == b'\n')) {
            let text = format!("{number:>6}\t{}", String::from_utf8_lossy(line));
            let length = (numbered.text.len() + text.len()) as u64;
            if !numbered.text.is_empty() && length > limit {
                break;
            }
            numbered.text.push_str(&text);
            numbered.bytes += line.len();
            numbered.last = number;
        }
        if !numbered.text.ends_with('\n') {
            numbered.text.push('\n');
        }
        numbered
    }

    fn bytes<'l>(&self, lines: &'l Lines) -> &'l [u8] {
        &lines.text[..self.bytes]
    }

    /// Says how much of a line is missing that is too long to be shown.
    fn cut_note(&self, lines: &Lines) -> Option<String> {
        let line = self.last;
        let shown = format::bytes(self.bytes as u64);
        let length = match lines.cut_line_bytes {
            0 => "more".to_owned(),
            length => format::bytes(length),
        };
        let from = self.bytes + 1;
        lines.cut.then(|| {
            format!(
                "line {line} is cut: {shown} of {length}; for the rest use bash: \
                 sed -n {line}p FILE | cut -b {from}-"
            )
        })
    }

    /// Says which lines these are, unless they are all.
    fn range_note(&self, lines: &Lines, to: Option<u64>, size: &str) -> Option<String> {
        let Lines { first, total, cut, .. } = *lines;
        let is_end = total == Some(self.last);
        if first == 1 && is_end && !cut {
            return None;
        }
        let of = total.map_or("many".to_owned(), format::count);
        let range = format!("{}-{} of {of}", format::count(first), format::count(self.last));
        let bytes = format::bytes(self.bytes as u64);
        let next = if is_end || to.is_some_and(|to| self.last >= to) {
            String::new()
        } else {
            format!("; ask for from_line {}", self.last + 1)
        };
        Some(format!("lines {range}, {bytes} of {size}{next}"))
    }
}

#[cfg(test)]
mod tests;
