//! journald's own protocol: a datagram of fields (`systemd.journal-fields(7)`, "Native Journal
//! Protocol"). The severity is one of them, and what is a field stays one:
//! `journalctl EVONIC_TURN_ID=...`.

use super::{Line, head, plain_value, priority, text};

/// Where journald listens for datagrams.
pub const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// The longest value in a datagram, in bytes.
const MAX_VALUE_BYTES: usize = 8192;

/// The longest name of a field, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// The whole text is `MESSAGE`; each field stands once more as `EVONIC_NAME`.
pub(super) fn encode(line: &Line<'_>) -> Vec<u8> {
    let mut datagram = Vec::new();
    push(&mut datagram, "MESSAGE", &text::message(line));
    push(&mut datagram, "PRIORITY", &priority(line.level).to_string());
    push(&mut datagram, "SYSLOG_IDENTIFIER", line.program);
    push(&mut datagram, "EVONIC_TARGET", line.target);
    for (name, value) in &line.fields.others {
        push(&mut datagram, &field_name(name), &plain_value(value));
    }
    datagram
}

/// `gen_ai.agent.name` as `EVONIC_GEN_AI_AGENT_NAME`: journald takes capitals, digits and `_`.
fn field_name(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let mut name: String = "EVONIC_".chars().chain(name.chars().map(letter)).collect();
    name.truncate(MAX_NAME_BYTES);
    name
}

/// A value of several lines goes with its length.
fn push(datagram: &mut Vec<u8>, name: &str, value: &str) {
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
