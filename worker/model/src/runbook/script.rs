//! A runbook as values, and how they are written: `Display` prints what `parse` reads.

use std::{
    collections::HashSet,
    fmt::{self, Display, Formatter},
};

/// A parsed runbook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Script {
    /// Its statements in order, comments and blank lines left out.
    pub(super) statements: Vec<Located>,
}

/// A statement and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Located {
    pub(super) at: Position,
    pub(super) statement: Statement,
}

/// A place in a message: line and column from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Statement {
    /// Changes how later steps run.
    Set(Setting),
    /// Does something.
    Step(Step),
    /// Puts a line into the report: one line, not empty, no white space around it.
    Say(String),
    /// Puts the last step's result into the report.
    Show,
}

/// What changes how later steps run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    OnFailure(OnFailure),
    /// The longest that a command may run, in seconds; the service's own limit when absent.
    Timeout(Option<u32>),
    /// Where commands run and relative paths begin.
    Folder(String),
}

/// What a failed step does to those after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnFailure {
    Stop,
    Continue,
}

/// One step: what becomes one tool call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Bash { code: String },
    Python { code: String },
    Read { path: String, lines: Option<LineRange> },
    Write { path: String, content: String, in_place: bool },
    Edit { path: String, old: String, new: String, times: Option<u32>, in_place: bool },
    List { path: Option<String>, depth: Option<u32> },
    Search { pattern: String, path: Option<String>, files: Option<String> },
    Copy { from: String, to: String, recursive: bool },
}

/// Lines of a file, from 1, both ends included. At least one end is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LineRange {
    pub(super) from: Option<u32>,
    pub(super) to: Option<u32>,
}

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Statement::Set(setting) => setting.fmt(f),
            Statement::Step(step) => step.fmt(f),
            Statement::Say(text) => write!(f, "say {text}"),
            Statement::Show => f.write_str("show"),
        }
    }
}

impl Display for Setting {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Setting::OnFailure(OnFailure::Stop) => f.write_str("on failure stop"),
            Setting::OnFailure(OnFailure::Continue) => f.write_str("on failure continue"),
            Setting::Timeout(None) => f.write_str("timeout default"),
            Setting::Timeout(Some(seconds)) => write!(f, "timeout {seconds}s"),
            Setting::Folder(path) => write!(f, "folder {}", Word(path)),
        }
    }
}

impl Display for Step {
    /// The step as it is written, without a line end. Its first line is the step's title.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Step::Bash { code } if is_one_command(code) => write!(f, "$ {code}"),
            Step::Bash { code } => write!(f, "bash {}{}", Text(code), Block(code)),
            Step::Python { code } => write!(f, "python {}{}", Text(code), Block(code)),
            Step::Read { path, lines: None } => write!(f, "read {}", Word(path)),
            Step::Read { path, lines: Some(lines) } => {
                write!(f, "read {} lines {lines}", Word(path))
            }
            Step::Write { path, content, in_place } => {
                let block = Block(content);
                write!(f, "write {} {}{}{block}", Word(path), Text(content), InPlace(*in_place))
            }
            Step::Edit { path, old, new, times, in_place } => {
                write!(f, "edit {} replace {} with {}", Word(path), Text(old), Text(new))?;
                if let Some(times) = times {
                    write!(f, " {times} times")?;
                }
                write!(f, "{}{}{}", InPlace(*in_place), Block(old), Block(new))
            }
            Step::List { path, depth } => {
                f.write_str("list")?;
                option(f, " ", path.as_deref().map(Word))?;
                option(f, " depth ", *depth)
            }
            Step::Search { pattern, path, files } => {
                write!(f, "search {}", Word(pattern))?;
                option(f, " in ", path.as_deref().map(Word))?;
                option(f, " files ", files.as_deref().map(Word))
            }
            Step::Copy { from, to, recursive } => {
                write!(f, "copy {} {}", Word(from), Word(to))?;
                f.write_str(if *recursive { " recursive" } else { "" })
            }
        }
    }
}

impl Display for LineRange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        option(f, "", self.from)?;
        option(f, "-", Some(""))?;
        option(f, "", self.to)
    }
}

fn option(f: &mut Formatter<'_>, before: &str, value: Option<impl Display>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, "{before}{value}"))
}

/// Whether a script can stand behind `$`.
fn is_one_command(code: &str) -> bool {
    let backslashes = code.bytes().rev().take_while(|&b| b == b'\\').count();
    !code.is_empty()
        && !code.contains(['\n', '\r'])
        && !code.starts_with(char::is_whitespace)
        && backslashes % 2 == 0
}

/// Lexer with a meaning of their own behind a step's name: as a path they stand in quotes.
const KEYWORDS: [&str; 8] =
    ["depth", "files", "in", "lines", "recursive", "replace", "times", "with"];

/// The end of a step that may write over a file.
struct InPlace(bool);

impl Display for InPlace {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 { " in place" } else { "" })
    }
}

/// A word: bare where that is unambiguous, else in double quotes.
struct Word<'a>(&'a str);

impl Display for Word<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let word = self.0;
        let bare = !word.is_empty()
            && !word.contains(char::is_whitespace)
            && !word.starts_with(['"', '\'', '#'])
            && !word.starts_with("<<")
            && !KEYWORDS.contains(&word);
        if bare { f.write_str(word) } else { quoted(f, word) }
    }
}

/// A text at its place in the line: `<<TAG` when it is whole lines, else in double quotes.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match tag(self.0) {
            Some(tag) => write!(f, "<<{tag}"),
            None => quoted(f, self.0),
        }
    }
}

/// The lines that belong to a [`Text`], behind the step's own line; nothing for a quoted one.
struct Block<'a>(&'a str);

impl Display for Block<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        tag(self.0).map_or(Ok(()), |tag| write!(f, "\n{}{tag}", self.0))
    }
}

/// A tag that ends no line block early, if the text can be one: whole lines, no carriage return.
fn tag(text: &str) -> Option<String> {
    if !text.ends_with('\n') || text.contains('\r') {
        return None;
    }
    let lines: HashSet<&str> = text.lines().collect();
    let mut names = std::iter::once("END".to_owned()).chain((2_u32..).map(|n| format!("END{n}")));
    names.find(|name| !lines.contains(name.as_str()))
}

fn quoted(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            '"' | '\\' => write!(f, "\\{c}")?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}
