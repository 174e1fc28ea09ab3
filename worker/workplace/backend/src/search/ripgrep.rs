//! Matches as `rg --json` reports them: a message a line, `begin`, `match` and `end` of each file
//! that has any (<https://docs.rs/grep-printer/latest/grep_printer/struct.JSON.html>).
//!
//! `rg` only chooses the lines. What of them matches, and which files are text, is decided here by
//! the rules of every other search. A zero byte stands for a line end in `rg --binary`, so a file
//! that is text by our rules and has one further on is read again as a whole; so is one with a
//! line that is too long for a message.

use std::{io, ops::ControlFlow};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::Deserialize;

use super::{
    matches::{Matches, Reread},
    paths::without_dot,
    rules::{BINARY_BYTES, LINE_BYTES, few_questions, shown},
};

/// The longest message that is read.
const MESSAGE_BYTES: usize = 8 * 1024 * 1024;

/// Matching lines of the files of standard input, below the folder `$1`, for the expression `$2`,
/// at most `$3` of each file, in the order of the files. Where there is no `rg`, or it does not
/// understand the expression or an option, the files themselves as archives one after the other.
pub(super) const SCRIPT: &str = r#"cd "$1" 2>/dev/null || exit 42
need xargs tar
if command -v rg >/dev/null 2>&1; then
    set -- rg --no-config --no-messages --json --binary --no-mmap -E none -j 1 -m "$3" -e "$2" --
    printf x | "$@" >/dev/null 2>&1
    if [ $? -lt 2 ]; then
        xargs -0 -r "$@" 2>/dev/null
        exit 0
    fi
fi
xargs -0 -r tar -cf - 2>/dev/null
exit 0
"#;

#[derive(Deserialize)]
struct Message {
    r#type: Kind,
    data: Data,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Begin,
    Match,
    End,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Data {
    path: Option<Text>,
    lines: Option<Text>,
    line_number: Option<u64>,
    binary_offset: Option<u64>,
}

/// Text, or in Base64 what is no UTF-8.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Text {
    Text(String),
    Bytes(String),
}

impl Text {
    fn bytes(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Text(text) => Ok(text.into_bytes()),
            Self::Bytes(bytes) => BASE64_STANDARD.decode(bytes).map_err(io::Error::other),
        }
    }
}

/// The file whose matches come.
struct File {
    name: Bytes,
    path: String,
    /// How many matches come before its own.
    at: usize,
    /// Lines that were reported.
    lines: u32,
    /// Whether a line of it was too long.
    cut: bool,
}

fn unasked() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "rg reports what it was not asked for")
}

/// Reads the messages as they come.
#[derive(Default)]
pub(super) struct Messages {
    line: Vec<u8>,
    /// Whether the rest of the line is passed over.
    skipping: bool,
    file: Option<File>,
    pub(super) reread: Vec<Reread>,
}

impl Messages {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// When they are no such messages.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        matches: &mut Matches<'_>,
    ) -> io::Result<ControlFlow<()>> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let ends = part.ends_with(b"\n");
            if !self.skipping {
                self.line.extend_from_slice(part);
            }
            if self.line.len() > MESSAGE_BYTES {
                self.line.clear();
                self.skipping = true;
                if let Some(file) = &mut self.file {
                    file.cut = true;
                }
            }
            if !ends {
                continue;
            }
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            let message = serde_json::from_slice(&self.line)?;
            self.line.clear();
            if self.message(message, matches)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(matches.count(bytes.len()))
    }

    fn message(
        &mut self,
        Message { r#type, data }: Message,
        matches: &mut Matches<'_>,
    ) -> io::Result<ControlFlow<()>> {
        match r#type {
            Kind::Begin => {
                let path = data.path.map_or_else(|| Ok(Vec::new()), Text::bytes)?;
                let name = matches.wanted(without_dot(&path)).ok_or_else(unasked)?;
                let (path, at) = (matches.path_of(&name), matches.found.len());
                self.file = Some(File { name, path, at, lines: 0, cut: false });
                Ok(ControlFlow::Continue(()))
            }
            Kind::Match => {
                self.line(data, matches)?;
                // Its matches count only when it is known, at its end, to be text.
                Ok(ControlFlow::Continue(()))
            }
            Kind::End => {
                let zero_byte = data.binary_offset;
                let Some(File { name, at, cut, .. }) = self.file.take() else {
                    return Ok(ControlFlow::Continue(()));
                };
                let is_binary = zero_byte.is_some_and(|offset| offset < BINARY_BYTES as u64);
                if cut || zero_byte.is_some() {
                    matches.found.truncate(at);
                    if self.reread.len() == matches.wanted_count() {
                        return Err(unasked());
                    }
                    if !is_binary {
                        self.reread.push(Reread { name, at });
                    }
                }
                Ok(matches.enough())
            }
            Kind::Other => Ok(ControlFlow::Continue(())),
        }
    }

    fn line(&mut self, data: Data, matches: &mut Matches<'_>) -> io::Result<()> {
        let (Some(file), Some(lines), Some(number)) =
            (&mut self.file, data.lines, data.line_number)
        else {
            return Ok(());
        };
        // Of each file one more is asked for than are shown.
        file.lines += 1;
        if file.lines > matches.query.limit.saturating_add(1) {
            return Err(unasked());
        }
        let mut line = lines.bytes()?;
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        // What matches further on does not count here, but does for `rg`.
        file.cut |= line.len() as u64 > LINE_BYTES;
        if let Some(at) = matches.query.filter.find(&line, &mut few_questions()) {
            matches.push(&file.path, number, shown(&line, at));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::{names::Names, plan::Plan, query::Query, rules::Filter};

    /// Reads the messages of a search of the file `e` for at most two lines.
    fn read(messages: &[String]) -> io::Result<(usize, usize)> {
        let filter = Filter::new("e", None).unwrap();
        let query = Query { pattern: "e", filter, root: "/", path: "/e", limit: 2 };
        let names = Names {
            is_file: true,
            real: b"/e".to_vec(),
            root: b"/".to_vec(),
            entries: Vec::new(),
            more: false,
            too_long: 0,
        };
        let plan = Plan::file(&names);
        let (mut read, mut matches) = (Messages::default(), Matches::new(&query, &plan));
        for message in messages {
            let _enough = read.push(format!("{message}\n").as_bytes(), &mut matches)?;
        }
        Ok((matches.found.len(), read.reread.len()))
    }

    fn begin(name: &str) -> String {
        format!(r#"{{"type":"begin","data":{{"path":{{"text":"./{name}"}}}}}}"#)
    }

    const LINE: &str = r#"{"type":"match","data":{"lines":{"text":"e\n"},"line_number":1}}"#;
    const CUT: &str = r#"{"type":"end","data":{"binary_offset":100000}}"#;

    #[test]
    fn what_was_not_asked_for_is_refused() {
        let lines = |count| vec![LINE.to_owned(); count];
        assert_eq!(read(&[vec![begin("e")], lines(3)].concat()).unwrap(), (3, 0));
        assert!(read(&[vec![begin("e")], lines(4)].concat()).is_err(), "of three lines at most");
        assert!(read(&[begin("other")]).is_err(), "of one file");
        let again = vec![begin("e"), CUT.to_owned()];
        assert_eq!(read(&again).unwrap(), (0, 1));
        assert!(read(&[again.clone(), again].concat()).is_err(), "of each file once");
    }
}
