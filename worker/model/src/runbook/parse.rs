//! From a message to a script. The grammar is in `docs/runbook.md`.

mod operand;

use super::{
    fault::{Fault, ParseError, excerpt},
    script::{Located, OnFailure, Position, Script, Setting, Statement, Step},
    words::Words,
};
use operand::{Text, duration, keyword, nonempty, number, path, range, text};

/// The most bytes of a runbook.
pub(super) const MAX_BYTES: usize = 256 * 1024;

/// The most steps of a runbook: each takes one reply and the report another, and a turn may take
/// 100 replies unless `agents.max_steps` says otherwise.
pub(super) const MAX_STEPS: usize = 99;

/// Parses a message. Everything is checked before the first step runs.
pub(super) fn parse(message: &str) -> Result<Script, ParseError> {
    let start = Position { line: 1, column: 1 };
    if message.len() > MAX_BYTES {
        return Err(start.fault(Fault::TooLong { bytes: message.len(), limit: MAX_BYTES }));
    }
    let mut parser = Parser { lines: message.split('\n'), number: 0 };
    let mut statements = Vec::new();
    let mut steps = 0;
    while let Some(line) = parser.next_line() {
        let Some(located) = parser.statement(line)? else { continue };
        match located.statement {
            Statement::Step(_) if steps == MAX_STEPS => {
                return Err(located.at.fault(Fault::TooManySteps { limit: MAX_STEPS }));
            }
            Statement::Step(_) => steps += 1,
            Statement::Show if steps == 0 => return Err(located.at.fault(Fault::NothingToShow)),
            Statement::Show | Statement::Set(_) | Statement::Say(_) => {}
        }
        statements.push(located);
    }
    if steps == 0 { Err(start.fault(Fault::NoStep)) } else { Ok(Script { statements }) }
}

/// The lines that are left.
struct Parser<'a> {
    lines: std::str::Split<'a, char>,
    /// Of the line read last, from 1.
    number: usize,
}

impl<'a> Parser<'a> {
    /// The next line without its end, LF or CR LF.
    fn next_line(&mut self) -> Option<&'a str> {
        let line = self.lines.next()?;
        self.number += 1;
        Some(line.strip_suffix('\r').unwrap_or(line))
    }

    /// The statement that begins in this line, if any.
    fn statement(&mut self, line: &'a str) -> Result<Option<Located>, ParseError> {
        let mut words = Words::new(self.number, line);
        words.skip_space();
        let (at, first) = (words.position(), words.rest());
        let no_step = || {
            let found = excerpt(first.split(char::is_whitespace).next().unwrap_or_default());
            at.fault(Fault::NoStepName { found })
        };
        let Some(name) = words.next().map_err(|_| no_step())? else { return Ok(None) };
        if name.quoted {
            return Err(no_step());
        }
        let statement = match name.text.as_str() {
            "$" => Statement::Step(Step::Bash { code: self.command(&mut words)? }),
            "bash" => Statement::Step(Step::Bash { code: self.script(&mut words)? }),
            "python" => Statement::Step(Step::Python { code: self.script(&mut words)? }),
            "read" => Statement::Step(read(&mut words)?),
            "write" => Statement::Step(self.write(&mut words)?),
            "edit" => Statement::Step(self.edit(&mut words)?),
            "list" => Statement::Step(list(&mut words)?),
            "search" => Statement::Step(search(&mut words)?),
            "copy" => Statement::Step(copy(&mut words)?),
            "say" => Statement::Say(say(&mut words)?),
            "show" => Statement::Show,
            "on" => Statement::Set(on_failure(&mut words)?),
            "timeout" => Statement::Set(Setting::Timeout(duration(&mut words)?)),
            "folder" => Statement::Set(Setting::Folder(path(&mut words)?)),
            _ => return Err(no_step()),
        };
        words.end()?;
        Ok(Some(Located { at, statement }))
    }

    /// What stands behind `$`, with the lines that a backslash at the end adds.
    fn command(&mut self, words: &mut Words<'a>) -> Result<String, ParseError> {
        let mut command = words.remainder("a command")?.to_owned();
        while command.bytes().rev().take_while(|&b| b == b'\\').count() % 2 == 1 {
            let line =
                self.next_line().ok_or_else(|| words.position().fault(Fault::OpenCommand))?;
            command.push('\n');
            command.push_str(line);
        }
        Ok(command)
    }

    /// `bash TEXT`, `python TEXT`
    fn script(&mut self, words: &mut Words<'a>) -> Result<String, ParseError> {
        let script = text(words, "a script in quotes or <<TAG")?;
        self.resolve_some(words, script, "the script")
    }

    /// `write PATH TEXT`
    fn write(&mut self, words: &mut Words<'a>) -> Result<Step, ParseError> {
        let path = path(words)?;
        let content = text(words, "the content in quotes or <<TAG")?;
        Ok(Step::Write { path, content: self.resolve(words, content)? })
    }

    /// `edit PATH replace TEXT with TEXT [N times]`
    fn edit(&mut self, words: &mut Words<'a>) -> Result<Step, ParseError> {
        let path = path(words)?;
        keyword(words, "replace", "`replace`")?;
        let old = text(words, "the old text in quotes or <<TAG")?;
        keyword(words, "with", "`with`")?;
        let new = text(words, "the new text in quotes or <<TAG")?;
        let times = words.next()?.map(|word| number(&word, "a number and `times`")).transpose()?;
        if times.is_some() {
            keyword(words, "times", "`times`")?;
        }
        let old = self.resolve_some(words, old, "the text to replace")?;
        Ok(Step::Edit { path, old, new: self.resolve(words, new)?, times })
    }

    /// A text that must not be empty.
    fn resolve_some(
        &mut self,
        words: &mut Words<'a>,
        text: Text,
        what: &'static str,
    ) -> Result<String, ParseError> {
        let at = text.at;
        let text = self.resolve(words, text)?;
        if text.is_empty() { Err(at.fault(Fault::Empty { what })) } else { Ok(text) }
    }

    /// A text, read from the following lines if it is a block; the step's own line must be read.
    fn resolve(&mut self, words: &mut Words<'a>, text: Text) -> Result<String, ParseError> {
        words.end()?;
        let Some(tag) = text.tag else { return Ok(text.quoted) };
        let mut content = String::new();
        loop {
            match self.next_line() {
                None => return Err(text.at.fault(Fault::OpenBlock { tag })),
                Some(line) if line == tag => return Ok(content),
                Some(line) => {
                    content.push_str(line);
                    content.push('\n');
                }
            }
        }
    }
}

/// `read PATH [lines RANGE]`
fn read(words: &mut Words<'_>) -> Result<Step, ParseError> {
    let path = path(words)?;
    let lines = if words.take("lines") { Some(range(words)?) } else { None };
    Ok(Step::Read { path, lines })
}

/// `list [PATH] [depth N]`
fn list(words: &mut Words<'_>) -> Result<Step, ParseError> {
    let path = if words.peek_is("depth") || words.is_ended() { None } else { Some(path(words)?) };
    let depth = if words.take("depth") {
        Some(number(&words.expect("a number")?, "a number")?)
    } else {
        None
    };
    Ok(Step::List { path, depth })
}

/// `search PATTERN [in PATH] [files GLOB]`
fn search(words: &mut Words<'_>) -> Result<Step, ParseError> {
    let pattern = nonempty(words, "a pattern")?;
    let path = if words.take("in") { Some(path(words)?) } else { None };
    let files = if words.take("files") { Some(nonempty(words, "a file pattern")?) } else { None };
    Ok(Step::Search { pattern, path, files })
}

/// `copy FROM TO [recursive]`
fn copy(words: &mut Words<'_>) -> Result<Step, ParseError> {
    let (from, to) = (path(words)?, path(words)?);
    Ok(Step::Copy { from, to, recursive: words.take("recursive") })
}

/// `say TEXT`
fn say(words: &mut Words<'_>) -> Result<String, ParseError> {
    Ok(words.remainder("a text")?.trim_end().to_owned())
}

/// `on failure stop`, `on failure continue`
fn on_failure(words: &mut Words<'_>) -> Result<Setting, ParseError> {
    keyword(words, "failure", "`failure`")?;
    let expected = "`stop` or `continue`";
    let word = words.expect(expected)?;
    if word.is("stop") {
        Ok(Setting::OnFailure(OnFailure::Stop))
    } else if word.is("continue") {
        Ok(Setting::OnFailure(OnFailure::Continue))
    } else {
        Err(word.at.fault(Fault::Expected { expected, found: word.excerpt() }))
    }
}
