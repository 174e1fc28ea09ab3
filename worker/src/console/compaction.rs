//! `evonic session compact`.

use std::time::Duration;

use evonic_domain::{Compaction, Turn, TurnState};
use evonic_shared::exit::ExitCode;

use super::{
    api::{Api, segment},
    chat::transcript::compacted,
    error::{ConsoleError, Result},
    output::Console,
    text::{Style, Text, text},
};

/// How long a summary may take, between two answers of the worker.
const PATIENCE: Duration = Duration::from_secs(90);

/// Queues the turn that compacts, waits for its end, and says what it did.
pub(super) async fn run(session: &str, api: &Api, console: &mut Console<'_>) -> Result {
    let path = format!("/sessions/{}", segment(session));
    let mut turn: Turn = api.post_bare(&format!("{path}/compact")).await?;
    let api = api.retrying(PATIENCE);
    while !turn.state.is_ended() {
        turn = api.get(&format!("/turns/{}?wait=30", segment(turn.id.as_str()))).await?;
    }
    let compactions: Vec<Compaction> = api.list(&format!("{path}/compactions")).await?;
    let own: Vec<_> =
        compactions.into_iter().filter(|compaction| compaction.turn_id == turn.id).collect();
    for Compaction { kind, range, tokens_before, tokens_after, .. } in &own {
        console.line(compacted(*kind, *range, *tokens_before, *tokens_after))?;
    }
    match (turn.error, turn.state) {
        (Some(error), _) => {
            let reason = format!("{} ({})", error.message, error.code);
            console.say(text![Style::Red.of("failed:"), " ", Text::quoted(reason, 0)]);
            Err(ConsoleError::Reported(ExitCode::TurnFailed))
        }
        (None, TurnState::Cancelled) => {
            console.say("It was cancelled.");
            Err(ConsoleError::Reported(ExitCode::TurnFailed))
        }
        (None, _) if own.is_empty() => console.line("There was nothing to compact."),
        (None, _) => Ok(()),
    }
}
