//! `read_file`, `write_file`, `edit_file`, `list_files`, `search_files`.

use std::fmt::Write as _;

use super::{
    Inner, ToolResult,
    arguments::{EditFile, ListFiles, ReadFile, SearchFiles, WriteFile},
    edit::{Change, at_lines},
    figures,
    output::{Capped, incomplete},
};
use evonic_workplace::{Entry, FileType, Found, Lines};

/// The largest file that is edited.
pub(super) const EDIT_BYTES: u64 = 8 * 1024 * 1024;

/// The most entries of one listing.
const ENTRIES: u32 = 1_000;

/// The most lines that one search returns.
const MATCHES: u32 = 200;

impl Inner {
    pub(super) async fn read_file(&self, arguments: ReadFile) -> ToolResult {
        let ReadFile { path, from_line, to_line } = arguments;
        let from = from_line.unwrap_or(1);
        if let Some(to) = to_line.filter(|&to| to < from) {
            return ToolResult::error(format!("to_line {to} is before from_line {from}"));
        }
        let limit = u64::from(self.settings.max_read_bytes);
        match self.workplace.read_lines(&path, from, to_line, limit).await {
            Ok(lines) => shown(&path, &lines, to_line, limit),
            Err(error) => error.into(),
        }
    }

    pub(super) async fn write_file(&self, arguments: WriteFile) -> ToolResult {
        let WriteFile { path, content } = arguments;
        let bytes = figures::of(content.len() as u64, "byte", "bytes");
        match self.workplace.write(&path, content.into()).await {
            Ok(()) => ToolResult::ok(format!("wrote {bytes} to {path}")),
            Err(error) => error.into(),
        }
    }

    pub(super) async fn edit_file(&self, arguments: EditFile) -> ToolResult {
        let EditFile { path, old, new, count } = arguments;
        let change = Change { old, new, count: count.unwrap_or(1) };
        let (keep, kept) = std::sync::mpsc::channel();
        let change = Box::new(move |content: &[u8]| match change.apply(content) {
            Ok((new, lines)) => {
                // Its reader is this very function.
                let _read = keep.send(Ok(lines));
                Some(new)
            }
            Err(refusal) => {
                let _read = keep.send(Err(refusal));
                None
            }
        });
        let edited = self.workplace.edit(&path, EDIT_BYTES, change).await;
        match edited.map(|()| kept.recv().expect("it was asked before the edit ended")) {
            Ok(Ok(lines)) => {
                let replaced = figures::of(lines.len() as u64, "occurrence", "occurrences");
                ToolResult::ok(format!("replaced {replaced} in {path}, {}", at_lines(&lines)))
            }
            Ok(Err(refusal)) => ToolResult::error(format!("{path}: {refusal}")),
            Err(error) => error.into(),
        }
    }

    pub(super) async fn list_files(&self, arguments: ListFiles) -> ToolResult {
        let ListFiles { path, depth } = arguments;
        let depth = u32::try_from(depth.unwrap_or(1)).unwrap_or(u32::MAX);
        match self.workplace.list(path.as_deref().unwrap_or("."), depth, ENTRIES).await {
            Ok((entries, more)) => self.listed(&entries, more),
            Err(error) => error.into(),
        }
    }

    pub(super) async fn search_files(&self, arguments: SearchFiles) -> ToolResult {
        let SearchFiles { pattern, path, glob } = arguments;
        let path = path.as_deref().unwrap_or(".");
        match self.workplace.search(&pattern, path, glob.as_deref(), MATCHES).await {
            Ok(found) => self.found(&found),
            Err(error) => error.into(),
        }
    }

    fn listed(&self, entries: &[Entry], more: bool) -> ToolResult {
        let mut text = String::new();
        for entry in entries {
            let path = printable(&entry.path);
            let line = match entry.file_type {
                FileType::File => format!("{path} ({})\n", figures::size(entry.size_bytes)),
                FileType::Folder => format!("{path}/\n"),
                FileType::Link => format!("{path} (symbolic link)\n"),
                FileType::Other => format!("{path} (special file)\n"),
            };
            text.push_str(&line);
        }
        let mut text = self.capped(&text);
        if more {
            let shown = figures::count(entries.len() as u64);
            let _infallible = writeln!(
                text,
                "[the first {shown} entries; there are more: list a folder of it, or less depth]"
            );
        } else if entries.is_empty() {
            text.push_str("[the folder is empty]\n");
        }
        ToolResult::ok(text)
    }

    fn found(&self, found: &Found) -> ToolResult {
        let mut text = String::new();
        for found in &found.matches {
            let path = printable(&found.path);
            let _infallible = writeln!(text, "{path}:{}:{}", found.line, found.text);
        }
        let mut text = self.capped(&text);
        if found.more {
            let shown = figures::count(found.matches.len() as u64);
            let _infallible = writeln!(
                text,
                "[the first {shown} lines; there are more: narrow the pattern, path or glob]"
            );
        } else if found.matches.is_empty() {
            text.push_str("[no line matches]\n");
        }
        if found.unreadable > 0 {
            let places = figures::of(found.unreadable.into(), "file or folder", "files or folders");
            let _infallible = writeln!(text, "[{places} could not be read]");
        }
        ToolResult::ok(text)
    }

    fn capped(&self, text: &str) -> String {
        let mut capped = Capped::new(self.settings.max_output_bytes as usize);
        capped.push(text.as_bytes());
        capped.text()
    }
}

/// A path on one line, whatever is in it.
fn printable(path: &str) -> String {
    if path.chars().any(char::is_control) { format!("{path:?}") } else { path.to_owned() }
}

/// Numbered lines, and what is not among them.
fn shown(path: &str, lines: &Lines, to: Option<u64>, limit: u64) -> ToolResult {
    let size = figures::size(lines.size_bytes);
    if lines.binary {
        return ToolResult::error(format!("{path} is a binary file of {size}"));
    }
    if lines.size_bytes == 0 {
        return ToolResult::ok("[the file is empty]\n".to_owned());
    }
    if let Some(total) = lines.total.filter(|&total| total < lines.first) {
        let has = figures::of(total, "line", "lines");
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
        let shown = figures::size(self.bytes as u64);
        let length = match lines.cut_line_bytes {
            0 => "more".to_owned(),
            length => figures::size(length),
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
        let of = total.map_or("many".to_owned(), figures::count);
        let range = format!("{}-{} of {of}", figures::count(first), figures::count(self.last));
        let bytes = figures::size(self.bytes as u64);
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
