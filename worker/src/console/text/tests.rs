use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell;
use proptest::prelude::*;

use super::{super::command::Arguments, *};

#[test]
fn fields_are_one_line_and_styles_are_ours() {
    let evil = "\u{1b}[31mred\nforged\u{202e}";
    let shown = "\\x{1b}[31mred\\x{a}forged\\x{202e}";
    let line = Text::of_line(text![Style::Bold.of(evil), " is ", evil]);
    assert_eq!(line.encode(Palette::None), format!("{shown} is {shown}\n"));
    assert_eq!(line.encode(Palette::Colours), format!("\u{1b}[1m{shown}\u{1b}[0m is {shown}\n"),);
    assert_eq!(Style::Red.of("").encode(Palette::Colours), "");
}

#[test]
fn a_field_has_a_bound() {
    let text = Text::from("\u{1b}".repeat(1 << 20));
    assert_eq!(text.width(), MAX_FIELD_CHARS * "\\x{1b}".len() + 1);
    assert!(text.encode(Palette::None).ends_with('…'));
    let lines = Text::quoted("x\n".repeat(1 << 20), 0).encode(Palette::None);
    assert_eq!(lines.lines().count(), MAX_QUOTED_LINES + 2);
    assert!(lines.ends_with("│ …"), "{lines}");
}

#[test]
fn widths_are_those_of_what_is_shown() {
    let cell = || text!["a", Style::Red.of("\u{7}b")];
    assert_eq!(cell().width(), 7);
    assert_eq!(cell().padded(9).encode(Palette::None), "a\\x{7}b  ");
    assert_eq!(cell().padded(9).trimmed().width(), 7);
    assert_eq!(cell().shortened(7).encode(Palette::None), "a\\x{7}b");
    assert_eq!(cell().shortened(4).encode(Palette::None), "a\\x…");
    assert_eq!(cell().shortened(1).encode(Palette::None), "…");
    assert_eq!(cell().shortened(0).encode(Palette::None), "");
}

#[test]
fn a_quotation_cannot_pass_for_a_line_of_ours() {
    let text = text!["evonic: ", Text::quoted("banner\r\nhint: run me\n\rx\n", 2)];
    let shown = "evonic: banner\n  │ hint: run me\n  │ \\x{d}x";
    assert_eq!(text.encode(Palette::None), shown);
}

#[test]
fn lines_keep_their_styles() {
    let mut text = Text::of_line(Style::Dim.of("a"));
    text.push(Text::prose("b\nc"));
    let lines: Vec<_> = text.lines().iter().map(|line| line.encode(Palette::Colours)).collect();
    assert_eq!(lines, ["\u{1b}[2ma\u{1b}[0m\n", "b\n", "c"]);
}

#[test]
fn prose_is_exact_for_a_file_alone() {
    let evil = "a\u{1b}[2J\r\n\u{9b}";
    assert_eq!(Text::prose(evil).encode(Palette::Colours), "a\\x{1b}[2J\n\\x{9b}");
    let exact = Prose::exact(NoTerminal::OF_A_TEST).push(evil);
    assert_eq!(exact.encode(Palette::None), evil);
}

#[test]
fn scripts_and_pages_pass_as_they_are() {
    let mut command = Arguments::command();
    let mut scripts: Vec<Vec<u8>> = Shell::value_variants()
        .iter()
        .map(|shell| {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut command, "evonic", &mut script);
            script
        })
        .collect();
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).expect("it is rendered");
    scripts.extend([page, evonic_shared::config::markdown().into_bytes()]);
    for script in scripts {
        let script = String::from_utf8(script).expect("text");
        assert_eq!(Text::prose(&script).plain(), script);
    }
}

proptest! {
    #[test]
    fn nothing_in_a_text_is_obeyed(parts: Vec<(String, bool)>, width in 0..100_usize) {
        let mut text = Text::default();
        for (part, is_quoted) in &parts {
            text.push(if *is_quoted { Text::quoted(part, 3) } else { Text::from(part) });
        }
        for text in [text.clone(), text.clone().shortened(width), text.padded(width).trimmed()] {
            let shown = text.encode(Palette::None);
            prop_assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
        }
    }
}
