use std::time::UNIX_EPOCH;

use serde_json::json;

use super::*;
use crate::config::LogFormat;

fn line<'a>(message: &str, fields: &[(&str, Value)]) -> Line<'a> {
    let others = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Line {
        program: "evonic",
        level: Level::WARN,
        target: "evonic::agent",
        fields: Fields { message: message.to_owned(), others },
    }
}

fn encoded(line: &Line<'_>, style: Style) -> String {
    String::from_utf8_lossy(&line.encode(style, UNIX_EPOCH)).into_owned()
}

#[test]
fn the_reader_chooses_unless_the_configuration_does() {
    let readers = [Reader::ColourTerminal, Reader::PlainTerminal, Reader::Journal, Reader::File];
    let styles = |format| readers.map(|reader| Style::new(format, reader));
    let [auto, text, json, journal] =
        [LogFormat::Auto, LogFormat::Text, LogFormat::Json, LogFormat::Journal].map(styles);
    assert_eq!(auto, [Style::Coloured, Style::Plain, Style::Native, Style::Json]);
    assert_eq!(text, [Style::Coloured, Style::Plain, Style::Prefixed, Style::Plain]);
    assert_eq!(json, [Style::Json; 4]);
    assert_eq!(journal, [Style::Native; 4]);
}

#[test]
fn text_is_one_bounded_line() {
    let short = line("worker\nstarted", &[("generation", json!(3)), ("exit", json!("code 0"))]);
    assert_eq!(
        encoded(&short, Style::Plain),
        "1970-01-01T00:00:00.000Z  WARN evonic::agent: worker\\x{a}started generation=3 \
         exit=\"code 0\"\n"
    );
    assert_eq!(
        encoded(&short, Style::Prefixed),
        "<4>worker\\x{a}started generation=3 exit=\"code 0\"\n"
    );
    let coloured = encoded(&line("\x1b[2Jgone", &[]), Style::Coloured);
    assert!(coloured.ends_with(":\x1b[0m \\x{1b}[2Jgone\n"), "{coloured:?}");
    let long = line(&"ä".repeat(10_000), &[]);
    for style in [Style::Coloured, Style::Plain, Style::Prefixed, Style::Json] {
        let text = long.encode(style, UNIX_EPOCH);
        assert!(text.len() <= MAX_LINE_BYTES && text.ends_with(b"\n"), "{style:?}");
        assert!(std::str::from_utf8(&text).is_ok(), "{style:?}");
    }
}

#[test]
fn json_has_every_field_on_one_line() {
    let line = line("two\nlines", &[("generation", json!(3)), ("level", json!("x"))]);
    assert_eq!(
        encoded(&line, Style::Json),
        "{\"timestamp\":\"1970-01-01T00:00:00.000Z\",\"level\":\"warn\",\"program\":\"evonic\",\
         \"target\":\"evonic::agent\",\"message\":\"two\\nlines\",\"generation\":3,\
         \"field.level\":\"x\"}\n"
    );
}

#[test]
fn a_long_line_is_cut_and_says_so() {
    let long = "ä\u{1}".repeat(5000);
    let many: Vec<_> = (0..40).map(|i| (format!("field_{i}"), json!(long))).collect();
    let many: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    for (line, kept) in [
        (line(&long, &[("turn_id", json!("trn_1"))]), true),
        (line("short", &[("turn_id", json!("trn_1")), ("error", json!(long))]), true),
        (line(&long, &many), false),
    ] {
        let text = encoded(&line, Style::Json);
        assert!(text.len() <= MAX_LINE_BYTES && text.ends_with('\n'), "{}", text.len());
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["truncated"], true);
        assert_eq!(value["turn_id"] == "trn_1", kept, "{value}");
    }
}

#[test]
fn the_journal_gets_fields_and_a_priority() {
    let fields = [("gen_ai.agent.name", json!("a b")), ("steps", json!(2)), ("e", json!("x\ny"))];
    let datagram = line("turn failed", &fields).encode(Style::Native, UNIX_EPOCH);
    let mut wanted = b"MESSAGE=turn failed gen_ai.agent.name=\"a b\" steps=2 e=\"x\\ny\"\n\
        PRIORITY=4\nSYSLOG_IDENTIFIER=evonic\nEVONIC_TARGET=evonic::agent\n\
        EVONIC_GEN_AI_AGENT_NAME=a b\nEVONIC_STEPS=2\nEVONIC_E\n"
        .to_vec();
    wanted.extend([3, 0, 0, 0, 0, 0, 0, 0]);
    wanted.extend(b"x\ny\n");
    assert_eq!(String::from_utf8_lossy(&datagram), String::from_utf8_lossy(&wanted));
}

#[test]
fn no_line_is_forged_and_nothing_in_it_is_obeyed() {
    let evil = "\u{1b}[2J\u{9b}x\u{202e}\n<3>forged\r\u{3164}";
    let fields = [
        ("error", json!(evil)),
        ("blank", json!("\u{3164}")),
        ("path", json!("C:\\u{1b}")),
        ("user", json!("a\" admin=\"true")),
    ];
    let hostile = line(evil, &fields);
    for style in [Style::Coloured, Style::Plain, Style::Prefixed, Style::Json] {
        let text = encoded(&hostile, style);
        let (content, end) = text.split_at(text.len() - 1);
        let own = content.replace("\x1b[0m", "").replace("\x1b[2m", "").replace("\x1b[33m", "");
        assert!(!own.contains(crate::escape::is_invisible), "{style:?}: {own:?}");
        assert_eq!(end, "\n", "{style:?}");
    }
    let text = encoded(&hostile, Style::Prefixed);
    let shown = "\\x{1b}[2J\\x{9b}x\\x{202e}\\x{a}<3>forged\\x{d}\\x{3164}";
    let quoted = "\"\\u{1b}[2J\\u{9b}x\\u{202e}\\n<3>forged\\r\\u{3164}\"";
    let others = "blank=\"\\u{3164}\" path=\"C:\\\\u{1b}\" user=\"a\\\" admin=\\\"true\"";
    assert_eq!(text, format!("<4>{shown} error={quoted} {others}\n"));
    let value: Value = serde_json::from_str(&encoded(&hostile, Style::Json)).unwrap();
    assert_eq!((&value["message"], &value["error"]), (&json!(evil), &json!(evil)));
}
