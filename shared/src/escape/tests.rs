use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

fn escape(form: Form, pieces: &[&str]) -> String {
    let mut escaper = Escaper::new(form);
    let mut text = String::new();
    pieces.iter().for_each(|piece| escaper.push_str(piece, &mut text));
    text
}

/// What was escaped.
fn unescape(text: &str) -> String {
    let mut original = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x{") {
        let (digits, after) = after.split_once('}').expect("an escape has an end");
        let code = u32::from_str_radix(digits, 16).expect("an escape has digits");
        original.push_str(before);
        original.push(char::from_u32(code).expect("an escape is one of a character"));
        rest = after;
    }
    original + rest
}

#[test]
fn what_a_terminal_obeys_is_shown() {
    for (text, field, prose) in [
        ("plain \u{e4} 漢字", "plain \u{e4} 漢字", "plain \u{e4} 漢字"),
        ("\u{1b}[31mred", "\\x{1b}[31mred", "\\x{1b}[31mred"),
        ("\u{9b}2J\u{7f}\u{7}", "\\x{9b}2J\\x{7f}\\x{7}", "\\x{9b}2J\\x{7f}\\x{7}"),
        ("a\n\tb\r\nc", "a\\x{a}\\x{9}b\\x{d}\\x{a}c", "a\n\tb\nc"),
        ("10 %\r20 %", "10 %\\x{d}20 %", "10 %\\x{d}\n20 %"),
        (
            "\u{202e}txt\u{2066}\u{61c}",
            "\\x{202e}txt\\x{2066}\\x{61c}",
            "\\x{202e}txt\\x{2066}\\x{61c}",
        ),
        ("a\u{200b}b\u{2028}", "a\\x{200b}b\\x{2028}", "a\\x{200b}b\\x{2028}"),
        // A joiner in an ASCII word hides; in an emoji it joins.
        ("ad\u{200d}min\u{fe0f}", "ad\\x{200d}min\\x{fe0f}", "ad\\x{200d}min\\x{fe0f}"),
        ("❤\u{fe0f}\u{200d}🔥", "❤\\x{fe0f}\\x{200d}🔥", "❤\u{fe0f}\u{200d}🔥"),
        ("❤\u{200d}\u{200d}", "❤\\x{200d}\\x{200d}", "❤\u{200d}\\x{200d}"),
        ("🏴\u{e0067}", "🏴\\x{e0067}", "🏴\\x{e0067}"),
        // Paths and patterns stay readable; what looks like an escape is told apart from one.
        ("C:\\users \\d\\\\", "C:\\users \\d\\\\", "C:\\users \\d\\\\"),
        ("\\x{1b} \\\\x{", "\\x\\x{7b}1b} \\\\x\\x{7b}", "\\x\\x{7b}1b} \\\\x\\x{7b}"),
    ] {
        assert_eq!(escape(Form::Field, &[text]), field, "{text:?}");
        assert_eq!(escape(Form::Prose, &[text]), prose, "{text:?}");
        assert_eq!(Escaped(text).to_string(), field, "{text:?}");
        assert_eq!(escape(Form::Quoting, &[field]), field, "{text:?}");
    }
}

#[test]
fn json_keeps_its_value() {
    let value = serde_json::json!({
        "esc\u{1b}": "\u{9b}31m \u{7f} \u{202e} \\x{1b} \u{e0041} \u{2028} ❤\u{fe0f}\n", "n": 1.5,
    });
    let text = serde_json::to_string_pretty(&value).expect("it is JSON");
    let safe = json(&text);
    assert!(safe.chars().all(|c| c == '\n' || !is_invisible(c)), "{safe:?}");
    assert!(safe.contains("\\u009b31m \\u007f \\u202e \\\\x{1b} \\udb40\\udc41"), "{safe}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).expect("it is JSON"), value);
    assert_eq!(json("{\r\t}"), "{  }");
}

/// Pieces of text, rich in what matters.
fn pieces() -> impl Strategy<Value = Vec<String>> {
    let special = select(vec![
        "\\", "x", "{", "}", "1b", "\r", "\n", "\t", "\u{1b}", "\u{9b}", "\u{202e}", "\u{200d}",
        "\u{fe0f}", "❤", "a",
    ]);
    vec(prop_oneof![special.prop_map(str::to_owned), any::<String>()], 0..12)
}

proptest! {
    #[test]
    fn a_field_is_visible_and_can_be_told_from_every_other(pieces in pieces()) {
        let whole = pieces.concat();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let field = escape(Form::Field, &pieces);
        prop_assert!(!field.contains(is_invisible), "{field:?}");
        prop_assert_eq!(unescape(&field), whole.clone());
        prop_assert_eq!(&field, &escape(Form::Quoting, &[&field]));
        prop_assert_eq!(field, Escaped(whole).to_string());
    }

    #[test]
    fn prose_obeys_nothing_however_it_is_cut(pieces in pieces()) {
        let whole = pieces.concat();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let prose = escape(Form::Prose, &pieces);
        let kept = |c| matches!(c, '\n' | '\t' | '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}');
        prop_assert!(!prose.contains(|c| is_invisible(c) && !kept(c)), "{prose:?}");
        prop_assert_eq!(&prose, &escape(Form::Prose, &[whole.as_str()]));
        // But for the forms of line ends, it can be told from every other.
        let lines = |text: &str| text.replace("\r\n", "\n").replace('\r', "\r\n");
        let last = whole.strip_suffix('\r').unwrap_or(&whole);
        prop_assert_eq!(unescape(&prose), lines(last));
    }
}
