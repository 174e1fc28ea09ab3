//! A line of the log, as both processes write it for machines: JSON, or journald's own protocol.
//!
//! journald's protocol (`systemd.journal-fields(7)`, and "Native Journal Protocol" of its
//! developers) is a datagram of fields; the severity is one of them, so nothing has to be parsed
//! out of text, and what was a field stays one: `journalctl EVONIC_TURN_ID=...`.

use serde_json::{Map, Value};

/// Where journald listens for datagrams.
pub const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// The longest line of JSON, its end of line included, in bytes: what a pipe takes whole, so that
/// lines of two processes do not mix.
pub const MAX_JSON_BYTES: usize = 4096;

/// The most bytes of one value in a datagram.
const MAX_VALUE_BYTES: usize = 8192;

/// The most bytes of one value in a line that would be too long.
const SHORT_VALUE_BYTES: usize = 256;

/// The most bytes of the name of a journal's field.
const MAX_NAME_BYTES: usize = 64;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something failed.
    Error,
    /// Something may.
    Warn,
    /// What happens.
    Info,
    /// How.
    Debug,
    /// In detail.
    Trace,
}

impl Severity {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    /// Its number of `syslog(3)`.
    #[must_use]
    pub const fn priority(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Warn => 4,
            Self::Info => 6,
            Self::Debug | Self::Trace => 7,
        }
    }
}

/// A line.
#[derive(Clone, Debug)]
pub struct Line {
    /// The program that writes it.
    pub program: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// The part of the program.
    pub target: String,
    /// What happened, without figures.
    pub message: String,
    /// The figures. One that was given twice has its last value.
    pub fields: Map<String, Value>,
}

impl Line {
    /// One JSON object and an end of line: at most [`MAX_JSON_BYTES`]. Values of a line that would
    /// be longer are cut, and where that is not enough, left out; then it says so.
    #[must_use]
    pub fn to_json(&self, time: &str) -> String {
        let fits = |line: &String| line.len() <= MAX_JSON_BYTES;
        let whole = self.json(time, usize::MAX, &self.fields);
        if fits(&whole) {
            return whole;
        }
        let mut cut = Map::from_iter([("truncated".to_owned(), Value::Bool(true))]);
        let bare = self.json(time, SHORT_VALUE_BYTES, &cut);
        cut.extend(self.fields.iter().map(|(name, value)| {
            let value = match value {
                Value::String(text) => Value::from(head(text, SHORT_VALUE_BYTES)),
                other => other.clone(),
            };
            (name.clone(), value)
        }));
        Some(self.json(time, 4 * SHORT_VALUE_BYTES, &cut)).filter(fits).unwrap_or(bare)
    }

    fn json(&self, time: &str, message_bytes: usize, fields: &Map<String, Value>) -> String {
        let mut object = Map::new();
        object.insert("timestamp".to_owned(), time.into());
        object.insert("level".to_owned(), self.severity.word().into());
        object.insert("program".to_owned(), self.program.into());
        object.insert("target".to_owned(), self.target.as_str().into());
        object.insert("message".to_owned(), head(&self.message, message_bytes).into());
        for (name, value) in fields {
            let name =
                if object.contains_key(name) { format!("field.{name}") } else { name.clone() };
            object.insert(name, value.clone());
        }
        Value::Object(object).to_string() + "\n"
    }

    /// The message with its figures: `worker is ready generation=3`.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = self.message.clone();
        for (name, value) in &self.fields {
            let plain = |text: &&String| {
                !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '"')
            };
            let value = match value {
                Value::String(value) => {
                    Some(value).filter(plain).cloned().unwrap_or_else(|| format!("{value:?}"))
                }
                other => other.to_string(),
            };
            text.push_str(&format!(" {name}={value}"));
        }
        text
    }

    /// A datagram for [`JOURNAL_SOCKET`]: the text as `MESSAGE`, and each figure once more as a
    /// field of its own, `EVONIC_NAME`.
    #[must_use]
    pub fn to_journal(&self) -> Vec<u8> {
        let mut datagram = Vec::new();
        field(&mut datagram, "MESSAGE", &self.to_text());
        field(&mut datagram, "PRIORITY", &self.severity.priority().to_string());
        field(&mut datagram, "SYSLOG_IDENTIFIER", self.program);
        field(&mut datagram, "EVONIC_TARGET", &self.target);
        for (name, value) in &self.fields {
            let value = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            field(&mut datagram, &field_name(name), &value);
        }
        datagram
    }
}

/// `gen_ai.agent.name` as `EVONIC_GEN_AI_AGENT_NAME`: journald knows capitals, digits and `_`.
fn field_name(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let mut name: String = "EVONIC_".chars().chain(name.chars().map(letter)).collect();
    name.truncate(MAX_NAME_BYTES);
    name
}

/// Appends a field: a value of several lines is given with its length.
fn field(datagram: &mut Vec<u8>, name: &str, value: &str) {
    let value = head(value, MAX_VALUE_BYTES);
    datagram.extend(name.as_bytes());
    if value.contains('\n') {
        datagram.push(b'\n');
        datagram.extend((value.len() as u64).to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    datagram.extend(value.as_bytes());
    datagram.push(b'\n');
}

/// The first bytes of a text, cut between characters.
fn head(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(message: &str, fields: &[(&str, Value)]) -> Line {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        Line {
            program: "evonic",
            severity: Severity::Warn,
            target: "evonic::agent".to_owned(),
            message: message.to_owned(),
            fields: fields.collect(),
        }
    }

    #[test]
    fn json_has_every_field_on_one_line() {
        let line = line("two\nlines", &[("generation", json!(3)), ("level", json!("x"))]);
        assert_eq!(
            line.to_json("2026-11-03T12:30:05.120Z"),
            "{\"timestamp\":\"2026-11-03T12:30:05.120Z\",\"level\":\"warn\",\"program\":\"evonic\",\
             \"target\":\"evonic::agent\",\"message\":\"two\\nlines\",\"generation\":3,\
             \"field.level\":\"x\"}\n"
        );
    }

    #[test]
    fn a_long_line_is_cut_and_says_so() {
        let long = "ä\u{1}".repeat(5000);
        let many: Vec<_> = (0..40).map(|i| (format!("field_{i}"), json!(long))).collect();
        let many: Vec<_> =
            many.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        for (line, kept) in [
            (line(&long, &[("turn_id", json!("trn_1"))]), true),
            (line("short", &[("turn_id", json!("trn_1")), ("error", json!(long))]), true),
            (line(&long, &many), false),
        ] {
            let text = line.to_json("now");
            assert!(text.len() <= MAX_JSON_BYTES && text.ends_with('\n'), "{}", text.len());
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value["truncated"], true);
            assert_eq!(value["turn_id"] == "trn_1", kept, "{value}");
        }
    }

    #[test]
    fn the_journal_gets_fields_and_a_priority() {
        let fields =
            [("gen_ai.agent.name", json!("a b")), ("steps", json!(2)), ("e", json!("x\ny"))];
        let datagram = line("turn failed", &fields).to_journal();
        let mut wanted = b"MESSAGE=turn failed gen_ai.agent.name=\"a b\" steps=2 e=\"x\\ny\"\n\
            PRIORITY=4\nSYSLOG_IDENTIFIER=evonic\nEVONIC_TARGET=evonic::agent\n\
            EVONIC_GEN_AI_AGENT_NAME=a b\nEVONIC_STEPS=2\nEVONIC_E\n"
            .to_vec();
        wanted.extend([3, 0, 0, 0, 0, 0, 0, 0]);
        wanted.extend(b"x\ny\n");
        assert_eq!(String::from_utf8_lossy(&datagram), String::from_utf8_lossy(&wanted));
    }
}
