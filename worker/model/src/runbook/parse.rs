//! From a message to a script. The grammar is in `docs/runbook.md`.

mod operand;

use super::{
    error::{ParseError, ParseErrorKind, excerpt},
    lexer::Lexer,
    script::{Located, OnFailure, Position, Script, Setting, Statement, Step},
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
        return Err(start.error(ParseErrorKind::TooLong { bytes: message.len(), limit: MAX_BYTES }));
    }
    let mut parser = Parser { lines: message.split('\n'), number: 0 };
    let mut statements = Vec::new();
    let mut steps = 0;
    while let Some(line) = parser.next_line() {
        let Some(located) = parser.statement(line)? else { continue };
        match located.statement {
            Statement::Step(_) if steps == MAX_STEPS => {
                return Err(located.at.error(ParseErrorKind::TooManySteps { limit: MAX_STEPS }));
            }
            Statement::Step(_) => steps += 1,
            Statement::Show if steps == 0 => {
                return Err(located.at.error(ParseErrorKind::NothingToShow));
            }
            Statement::Show | Statement::Set(_) | Statement::Say(_) => {}
        }
        statements.push(located);
    }
    if steps == 0 { Err(start.error(ParseErrorKind::NoStep)) } else { Ok(Script { statements }) }
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
        let mut lexer = Lexer::new(self.number, line);
        lexer.skip_space();
        let (at, first) = (lexer.position(), lexer.rest());
        let no_step = || {
            let found = excerpt(first.split(char::is_whitespace).next().unwrap_or_default());
            at.error(ParseErrorKind::NoStepName { found })
        };
        let Some(name) = lexer.next().map_err(|_| no_step())? else { return Ok(None) };
        if name.quoted {
            return Err(no_step());
        }
        let statement = match name.text.as_str() {
            "$" => Statement::Step(Step::Bash { code: self.command(&mut lexer)? }),
            "bash" => Statement::Step(Step::Bash { code: self.script(&mut lexer)? }),
            "python" => Statement::Step(Step::Python { code: self.script(&mut lexer)? }),
            "read" => Statement::Step(read(&mut lexer)?),
            "write" => Statement::Step(self.write(&mut lexer)?),
            "edit" => Statement::Step(self.edit(&mut lexer)?),
            "list" => Statement::Step(list(&mut lexer)?),
            "search" => Statement::Step(search(&mut lexer)?),
            "copy" => Statement::Step(copy(&mut lexer)?),
            "say" => Statement::Say(say(&mut lexer)?),
            "show" => Statement::Show,
            "on" => Statement::Set(on_failure(&mut lexer)?),
            "timeout" => Statement::Set(Setting::Timeout(duration(&mut lexer)?)),
            "folder" => Statement::Set(Setting::Folder(path(&mut lexer)?)),
            _ => return Err(no_step()),
        };
        lexer.end()?;
        Ok(Some(Located { at, statement }))
    }

    /// What stands behind `$`, with the lines that a backslash at the end adds.
    fn command(&mut self, lexer: &mut Lexer<'a>) -> Result<String, ParseError> {
        let mut command = lexer.remainder("a command")?.to_owned();
        while command.bytes().rev().take_while(|&b| b == b'\\').count() % 2 == 1 {
            let line = self
                .next_line()
                .ok_or_else(|| lexer.position().error(ParseErrorKind::OpenCommand))?;
            command.push('\n');
            command.push_str(line);
        }
        Ok(command)
    }

    /// `bash TEXT`, `python TEXT`
    fn script(&mut self, lexer: &mut Lexer<'a>) -> Result<String, ParseError> {
        let script = text(lexer, "a script in quotes or <<TAG")?;
        self.resolve_some(lexer, script, "the script")
    }

    /// `write PATH TEXT [in place]`
    fn write(&mut self, lexer: &mut Lexer<'a>) -> Result<Step, ParseError> {
        let path = path(lexer)?;
        let content = text(lexer, "the content in quotes or <<TAG")?;
        let in_place = in_place(lexer)?;
        Ok(Step::Write { path, content: self.resolve(lexer, content)?, in_place })
    }

    /// `edit PATH replace TEXT with TEXT [N times] [in place]`
    fn edit(&mut self, lexer: &mut Lexer<'a>) -> Result<Step, ParseError> {
        let path = path(lexer)?;
        keyword(lexer, "replace", "`replace`")?;
        let old = text(lexer, "the old text in quotes or <<TAG")?;
        keyword(lexer, "with", "`with`")?;
        let new = text(lexer, "the new text in quotes or <<TAG")?;
        let has_times = !lexer.peek_is("in") && !lexer.is_ended();
        let times = has_times.then(|| number(&lexer.expect("a number")?, "a number and `times`"));
        let times = times.transpose()?;
        if times.is_some() {
            keyword(lexer, "times", "`times`")?;
        }
        let in_place = in_place(lexer)?;
        let old = self.resolve_some(lexer, old, "the text to replace")?;
        Ok(Step::Edit { path, old, new: self.resolve(lexer, new)?, times, in_place })
    }

    /// A text that must not be empty.
    fn resolve_some(
        &mut self,
        lexer: &mut Lexer<'a>,
        text: Text,
        what: &'static str,
    ) -> Result<String, ParseError> {
        let at = text.at;
        let text = self.resolve(lexer, text)?;
        if text.is_empty() { Err(at.error(ParseErrorKind::Empty { what })) } else { Ok(text) }
    }

    /// A text, read from the following lines if it is a block; the step's own line must be read.
    fn resolve(&mut self, lexer: &mut Lexer<'a>, text: Text) -> Result<String, ParseError> {
        lexer.end()?;
        let Some(tag) = text.tag else { return Ok(text.quoted) };
        let mut content = String::new();
        loop {
            match self.next_line() {
                None => return Err(text.at.error(ParseErrorKind::OpenBlock { tag })),
                Some(line) if line == tag => return Ok(content),
                Some(line) => {
                    content.push_str(line);
                    content.push('\n');
                }
            }
        }
    }
}

/// `[in place]`
fn in_place(lexer: &mut Lexer<'_>) -> Result<bool, ParseError> {
    let is_there = lexer.take("in");
    if is_there {
        keyword(lexer, "place", "`place`")?;
    }
    Ok(is_there)
}

/// `read PATH [lines RANGE]`
fn read(lexer: &mut Lexer<'_>) -> Result<Step, ParseError> {
    let path = path(lexer)?;
    let lines = lexer.take("lines").then(|| range(lexer)).transpose()?;
    Ok(Step::Read { path, lines })
}

/// `list [PATH] [depth N]`
fn list(lexer: &mut Lexer<'_>) -> Result<Step, ParseError> {
    let has_path = !lexer.peek_is("depth") && !lexer.is_ended();
    let path = has_path.then(|| path(lexer)).transpose()?;
    let depth = lexer.take("depth").then(|| number(&lexer.expect("a number")?, "a number"));
    Ok(Step::List { path, depth: depth.transpose()? })
}

/// `search PATTERN [in PATH] [files GLOB]`
fn search(lexer: &mut Lexer<'_>) -> Result<Step, ParseError> {
    let pattern = nonempty(lexer, "a pattern")?;
    let path = lexer.take("in").then(|| path(lexer)).transpose()?;
    let files = lexer.take("files").then(|| nonempty(lexer, "a file pattern")).transpose()?;
    Ok(Step::Search { pattern, path, files })
}

/// `copy FROM TO [recursive]`
fn copy(lexer: &mut Lexer<'_>) -> Result<Step, ParseError> {
    let (from, to) = (path(lexer)?, path(lexer)?);
    Ok(Step::Copy { from, to, recursive: lexer.take("recursive") })
}

/// `say TEXT`
fn say(lexer: &mut Lexer<'_>) -> Result<String, ParseError> {
    Ok(lexer.remainder("a text")?.trim_end().to_owned())
}

/// `on failure stop`, `on failure continue`
fn on_failure(lexer: &mut Lexer<'_>) -> Result<Setting, ParseError> {
    keyword(lexer, "failure", "`failure`")?;
    let expected = "`stop` or `continue`";
    let word = lexer.expect(expected)?;
    if word.is("stop") {
        Ok(Setting::OnFailure(OnFailure::Stop))
    } else if word.is("continue") {
        Ok(Setting::OnFailure(OnFailure::Continue))
    } else {
        Err(word.at.error(ParseErrorKind::Expected { expected, found: word.excerpt() }))
    }
}
