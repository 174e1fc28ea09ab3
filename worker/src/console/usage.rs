//! What the command line answers to arguments: help, or what is wrong with them.

use clap::{
    builder::StyledStr,
    error::{ContextKind, ContextValue},
};
use evonic_shared::{escape::Escaped, exit::ExitCode};

use super::{
    output::Console,
    text::{Style, Text, text},
};

/// Says it, and returns the code to end with.
pub(super) fn report(error: clap::Error, console: &mut Console<'_>) -> ExitCode {
    let is_error = error.use_stderr();
    let text = text_of(error);
    if is_error {
        console.say_text(&text);
        return ExitCode::Usage;
    }
    // The reader may be gone.
    let _ = console.print(&text);
    ExitCode::Ok
}

/// The text of clap, which quotes arguments as they are.
fn text_of(mut error: clap::Error) -> Text {
    let contexts: Vec<_> = error
        .context()
        .filter(|(kind, _)| *kind != ContextKind::Usage)
        .map(|(kind, value)| (kind, escaped(value)))
        .collect();
    for (kind, value) in contexts {
        error.insert(kind, value);
    }
    let mut text = Text::default();
    for line in error.render().to_string().lines() {
        text.line(styled(line));
    }
    text
}

/// Headings stand out.
fn styled(line: &str) -> Text {
    let word = |style: Style, word: &str, rest| text![style.of(word), Text::quoting(rest)];
    if let Some(rest) = line.strip_prefix("error:") {
        word(Style::Red, "error:", rest)
    } else if let Some(rest) = line.strip_prefix("Usage:") {
        word(Style::Bold, "Usage:", rest)
    } else if line.ends_with(':') && !line.starts_with(' ') {
        word(Style::Bold, line, "")
    } else {
        Text::quoting(line)
    }
}

fn escaped(value: &ContextValue) -> ContextValue {
    let field = |text: &dyn std::fmt::Display| Escaped(text).to_string();
    match value {
        ContextValue::String(text) => ContextValue::String(field(text)),
        ContextValue::Strings(texts) => {
            ContextValue::Strings(texts.iter().map(|text| field(text)).collect())
        }
        ContextValue::StyledStr(text) => ContextValue::StyledStr(StyledStr::from(field(text))),
        ContextValue::StyledStrs(texts) => ContextValue::StyledStrs(
            texts.iter().map(|text| StyledStr::from(field(text))).collect(),
        ),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use evonic_shared::escape::is_invisible;

    use super::{
        super::{command::Arguments, text::Palette},
        *,
    };

    fn refused(arguments: &[&str]) -> Text {
        let arguments = [&["evonic"], arguments].concat();
        text_of(Arguments::try_parse_from(arguments).expect_err("it is refused"))
    }

    #[test]
    fn what_is_wrong_is_quoted_and_cannot_be_obeyed() {
        const EVIL: &str = "\u{1b}]0;x\u{7}\nhint: run me\u{202e}\\x{1b}";
        let shown = "\\x{1b}]0;x\\x{7}\\x{a}hint: run me\\x{202e}\\x\\x{7b}1b}";
        let option = format!("--{EVIL}");
        for arguments in [
            &[EVIL][..],
            &[&option],
            &["chat", "a", "b", EVIL],
            &["chat", "a", &option],
            &["session", "list", "--limit", EVIL],
            &["key", "add", "x", "--scope", EVIL],
            &["key", "add", "x", "--expires", EVIL],
            &["completions", EVIL],
            &["agent", EVIL],
            &["workplace", "add", "a", "--kind", EVIL],
        ] {
            let text = refused(arguments).encode(Palette::None);
            assert!(text.contains(shown), "{arguments:?}: {text}");
            assert!(!text.replace('\n', "").contains(is_invisible), "{arguments:?}: {text:?}");
            assert!(!text.contains("\nhint"), "{arguments:?}: {text}");
        }
    }

    #[test]
    fn help_is_whole_and_its_headings_stand_out() {
        let text = refused(&["chat", "--help"]);
        let (help, coloured) = (text.plain(), text.encode(Palette::Colours));
        assert!(help.contains("\nUsage: evonic chat [OPTIONS] <AGENT> [MESSAGE]\n"), "{help}");
        for heading in ["Usage:", "Arguments:", "Options:"] {
            assert!(coloured.contains(&format!("\u{1b}[1m{heading}\u{1b}[0m")), "{coloured:?}");
        }
        let wrong = refused(&["fly"]).encode(Palette::Colours);
        assert!(wrong.starts_with("\u{1b}[31merror:\u{1b}[0m unrecognized"), "{wrong:?}");
    }
}
