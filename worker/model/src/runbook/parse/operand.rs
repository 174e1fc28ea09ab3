//! What stands behind a step's name: paths, texts, numbers, ranges, durations.

use crate::runbook::{
    error::{ParseError, ParseErrorKind},
    lexer::{Lexer, Word},
    script::{LineRange, Position},
};

/// The longest tag of a block.
const MAX_TAG_CHARS: usize = 32;

/// The longest timeout: a day.
const MAX_TIMEOUT_SECONDS: u32 = 24 * 60 * 60;

/// A text as its line has it: quoted there, or the tag of the lines that follow.
pub(super) struct Text {
    pub(super) at: Position,
    pub(super) quoted: String,
    pub(super) tag: Option<String>,
}

/// A word of one's own choice: neither empty nor the announcement of a block.
pub(super) fn nonempty(
    lexer: &mut Lexer<'_>,
    expected: &'static str,
) -> Result<String, ParseError> {
    let word = lexer.expect(expected)?;
    if word.text.is_empty() || word.tag().is_some() {
        return Err(wrong(&word, expected));
    }
    Ok(word.text)
}

pub(super) fn path(lexer: &mut Lexer<'_>) -> Result<String, ParseError> {
    nonempty(lexer, "a path")
}

/// In quotes, or `<<TAG`.
pub(super) fn text(lexer: &mut Lexer<'_>, expected: &'static str) -> Result<Text, ParseError> {
    let word = lexer.expect(expected)?;
    let tag = word.tag().map(str::to_owned);
    match &tag {
        Some(tag) if !is_tag(tag) => {
            return Err(word.at.error(ParseErrorKind::Tag { found: word.excerpt() }));
        }
        None if !word.quoted => return Err(wrong(&word, expected)),
        Some(_) | None => {}
    }
    Ok(Text { at: word.at, quoted: word.text, tag })
}

fn is_tag(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=MAX_TAG_CHARS).contains(&text.len()) && text.bytes().all(fits)
}

/// A word of the language.
pub(super) fn keyword(
    lexer: &mut Lexer<'_>,
    keyword: &str,
    expected: &'static str,
) -> Result<(), ParseError> {
    let word = lexer.expect(expected)?;
    if word.is(keyword) { Ok(()) } else { Err(wrong(&word, expected)) }
}

/// From 1.
pub(super) fn number(word: &Word, expected: &'static str) -> Result<u32, ParseError> {
    positive(word).ok_or_else(|| wrong(word, expected))
}

/// `10-20`, `10-`, `-20` or `10`.
pub(super) fn range(lexer: &mut Lexer<'_>) -> Result<LineRange, ParseError> {
    let word = lexer.expect("a range of lines")?;
    parse_range(&word).ok_or_else(|| word.at.error(ParseErrorKind::Range { found: word.excerpt() }))
}

fn parse_range(word: &Word) -> Option<LineRange> {
    let (from, to) = word.text.split_once('-').unwrap_or((&word.text, &word.text));
    let end = |text: &str| if text.is_empty() { Some(None) } else { digits(text).map(Some) };
    let range = LineRange { from: end(from)?, to: end(to)? };
    let ordered = match (range.from, range.to) {
        (None, None) => false,
        (Some(from), Some(to)) => from <= to,
        (Some(_), None) | (None, Some(_)) => true,
    };
    (ordered && !word.quoted).then_some(range)
}

/// `90s`, `5m`, `2h`, or `default`.
pub(super) fn duration(lexer: &mut Lexer<'_>) -> Result<Option<u32>, ParseError> {
    let word = lexer.expect("a duration, or `default`")?;
    if word.is("default") {
        return Ok(None);
    }
    match seconds(&word) {
        Some(seconds) => Ok(Some(seconds)),
        None => Err(word.at.error(ParseErrorKind::Duration { found: word.excerpt() })),
    }
}

fn seconds(word: &Word) -> Option<u32> {
    let (unit, factor) = [("s", 1), ("m", 60), ("h", 3600)]
        .into_iter()
        .find(|(unit, _)| !word.quoted && word.text.ends_with(unit))?;
    let seconds = digits(word.text.strip_suffix(unit)?)?.checked_mul(factor)?;
    (seconds <= MAX_TIMEOUT_SECONDS).then_some(seconds)
}

fn positive(word: &Word) -> Option<u32> {
    if word.quoted { None } else { digits(&word.text) }
}

/// A number from 1 in decimal digits, without a sign.
fn digits(text: &str) -> Option<u32> {
    let all_digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|&number| all_digits && number > 0)
}

fn wrong(word: &Word, expected: &'static str) -> ParseError {
    word.at.error(ParseErrorKind::Expected { expected, found: word.excerpt() })
}
