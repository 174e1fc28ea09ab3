//! Events as server-sent events, and which of them end a turn.

use evonic_domain::{Event, TurnId};
use evonic_store::LongEvent;

/// An event up to its data.
pub(super) fn begin(sequence: u64, name: &str) -> String {
    format!("id: {sequence}\nevent: {name}\ndata: ")
}

/// An event as it is sent.
pub(super) fn render(text: &mut String, event: &Event) {
    text.push_str(&begin(event.sequence, &event.name));
    text.push_str(&event.data);
    text.push_str(END);
}

/// What ends an event.
pub(super) const END: &str = "\n\n";

/// Whether a long event is the last one of a turn.
pub(super) fn long_ends_turn(event: &LongEvent, turn: &TurnId) -> bool {
    ends_any_turn(&event.name) && event.turn_id.as_deref() == Some(turn.as_str())
}

fn ends_any_turn(name: &str) -> bool {
    matches!(name, "turn.completed" | "turn.failed" | "turn.cancelled")
}

/// Whether this is the last event of a turn.
pub(crate) fn ends_turn(event: &Event, turn: &TurnId) -> bool {
    #[derive(serde::Deserialize)]
    struct Of<'a> {
        turn_id: &'a str,
    }
    ends_any_turn(&event.name)
        && serde_json::from_str::<Of<'_>>(&event.data).is_ok_and(|of| of.turn_id == turn.as_str())
}
