//! Lexer and quotes of one line.

use super::{
    error::{ParseError, ParseErrorKind, excerpt},
    script::Position,
};

/// What is left to read of one line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lexer<'a> {
    number: usize,
    line: &'a str,
    /// A character boundary of `line`.
    offset: usize,
}

/// A word of a line.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub(super) at: Position,
    pub(super) text: String,
    pub(super) quoted: bool,
}

impl Word {
    /// Whether it is this keyword; a quoted word never is.
    pub(super) fn is(&self, keyword: &str) -> bool {
        !self.quoted && self.text == keyword
    }

    /// The tag, if it announces a block: `<<TAG`.
    pub(super) fn tag(&self) -> Option<&str> {
        if self.quoted { None } else { self.text.strip_prefix("<<") }
    }

    /// As an error shows it.
    pub(super) fn excerpt(&self) -> String {
        if self.quoted && self.text.is_empty() { "\"\"".to_owned() } else { excerpt(&self.text) }
    }
}

impl<'a> Lexer<'a> {
    /// A line, without its end, and its number from 1.
    pub(super) const fn new(number: usize, line: &'a str) -> Self {
        Self { number, line, offset: 0 }
    }

    /// Where the next character stands.
    pub(super) fn position(&self) -> Position {
        self.position_of(self.offset)
    }

    fn position_of(&self, offset: usize) -> Position {
        let column = self.line.get(..offset).map_or(1, |before| before.chars().count() + 1);
        Position { line: self.number, column }
    }

    /// Everything that is left.
    pub(super) fn rest(&self) -> &'a str {
        self.line.get(self.offset..).unwrap_or_default()
    }

    fn advance(&mut self, bytes: usize) {
        self.offset += bytes;
    }

    /// Passes over white space.
    pub(super) fn skip_space(&mut self) {
        self.advance(self.rest().len() - self.rest().trim_start().len());
    }

    /// The next word; nothing at the end of the line or before a comment.
    pub(super) fn next(&mut self) -> Result<Option<Word>, ParseError> {
        self.skip_space();
        let at = self.position();
        let (text, quoted) = match self.rest().chars().next() {
            None | Some('#') => return Ok(None),
            Some('"') => (self.double_quoted()?, true),
            Some('\'') => (self.single_quoted()?, true),
            Some(_) => (self.bare().to_owned(), false),
        };
        Ok(Some(Word { at, text, quoted }))
    }

    /// The next word, which must be there.
    pub(super) fn expect(&mut self, expected: &'static str) -> Result<Word, ParseError> {
        match self.next()? {
            Some(word) => Ok(word),
            None => Err(self
                .position()
                .error(ParseErrorKind::Expected { expected, found: self.left() })),
        }
    }

    /// Nothing but a comment may be left.
    pub(super) fn end(&mut self) -> Result<(), ParseError> {
        match self.next()? {
            None => Ok(()),
            Some(word) => Err(word.at.error(ParseErrorKind::Trailing { found: word.excerpt() })),
        }
    }

    /// Everything up to the end of the line, which must not be nothing.
    pub(super) fn remainder(&mut self, expected: &'static str) -> Result<&'a str, ParseError> {
        self.skip_space();
        let rest = self.rest();
        if rest.is_empty() {
            let found = self.left();
            return Err(self.position().error(ParseErrorKind::Expected { expected, found }));
        }
        self.advance(rest.len());
        Ok(rest)
    }

    /// Whether the next word is this keyword.
    pub(super) fn peek_is(&self, keyword: &str) -> bool {
        let mut ahead = *self;
        ahead.take(keyword)
    }

    /// Whether only white space or a comment is left.
    pub(super) fn is_ended(&self) -> bool {
        let mut ahead = *self;
        ahead.next().is_ok_and(|word| word.is_none())
    }

    /// Passes over the next word if it is this keyword.
    pub(super) fn take(&mut self, keyword: &str) -> bool {
        let mut ahead = *self;
        let taken = ahead.next().is_ok_and(|word| word.is_some_and(|word| word.is(keyword)));
        if taken {
            *self = ahead;
        }
        taken
    }

    fn left(&self) -> String {
        if self.rest().is_empty() { "the end of the line".to_owned() } else { excerpt(self.rest()) }
    }

    /// Up to the next white space.
    fn bare(&mut self) -> &'a str {
        let rest = self.rest();
        let word = rest.split(char::is_whitespace).next().unwrap_or_default();
        self.advance(word.len());
        word
    }

    /// Between single quotes everything stands for itself.
    fn single_quoted(&mut self) -> Result<String, ParseError> {
        let start = self.position();
        self.advance(1);
        let text = self.rest().split_once('\'').map(|(text, _)| text);
        let text = text.ok_or_else(|| start.error(ParseErrorKind::OpenQuote))?;
        self.advance(text.len() + 1);
        self.space_follows()?;
        Ok(text.to_owned())
    }

    /// Between double quotes a backslash escapes.
    fn double_quoted(&mut self) -> Result<String, ParseError> {
        let start = self.position();
        self.advance(1);
        let mut text = String::new();
        loop {
            let before = self.offset;
            let mut chars = self.rest().chars();
            let c = chars.next().ok_or_else(|| start.error(ParseErrorKind::OpenQuote))?;
            self.advance(c.len_utf8());
            match c {
                '"' => break,
                '\\' => {
                    let escaped =
                        chars.next().ok_or_else(|| start.error(ParseErrorKind::OpenQuote))?;
                    self.advance(escaped.len_utf8());
                    text.push(unescape(escaped).ok_or_else(|| {
                        let found = excerpt(&format!("\\{escaped}"));
                        self.position_of(before).error(ParseErrorKind::Escape { found })
                    })?);
                }
                c => text.push(c),
            }
        }
        self.space_follows()?;
        Ok(text)
    }

    fn space_follows(&self) -> Result<(), ParseError> {
        match self.rest().chars().next() {
            Some(c) if !c.is_whitespace() => {
                Err(self.position().error(ParseErrorKind::Glued { found: excerpt(self.rest()) }))
            }
            _ => Ok(()),
        }
    }
}

const fn unescape(c: char) -> Option<char> {
    match c {
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        '\\' | '"' => Some(c),
        _ => None,
    }
}
