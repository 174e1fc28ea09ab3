//! Texts that agents and clients read.

use std::time::Duration;

use super::compact::Room;
use evonic_domain::{TurnError, TurnErrorCode};
use evonic_tools::{Effect, Loss};

/// Result of a call that was dropped because it did not heed its cancel.
pub(super) const CANCELLED_HARD: &str = "Cancelled while it ran. It did not stop by itself and was \
     cut off; what it had done until then stays done.";

/// Result of a command whose machine did not confirm its end in time.
pub(super) fn kill_unsaid(command_id: &str) -> String {
    format!(
        "Cancelled, but its machine did not say in time that it was killed. It may run on there \
         until its time limit, with EVONIC_CALL={command_id} in its environment."
    )
}

/// Result of a call whose tool has a defect.
pub(super) const TOOL_DEFECT: &str = "The tool itself broke while it ran this call. Whether the \
     call took effect is not known.";

/// Result of a call whose outcome is unknown: what it wrote, and what is known.
pub(super) fn unknown_outcome(loss: &Loss, command_id: &str, effect: Effect) -> String {
    let Loss { why, output, runs_on } = loss;
    let mut content = output.clone();
    if !content.is_empty() && !content.ends_with('\n') {
        content.push('\n');
    }
    content.push_str(&format!("[the outcome of this call is unknown: {why}. "));
    content.push_str("It was not run again.");
    if *runs_on {
        content.push_str(&format!(
            " It may still run, with EVONIC_CALL={command_id} in its environment, until its time limit."
        ));
    }
    if effect == Effect::Change {
        content.push_str(
            " It may have taken effect wholly, in part, or not at all: check before you repeat it \
             or build on it.",
        );
    }
    content.push(']');
    content
}

/// What stands below the result of a call that ran a second time.
pub(super) fn ran_twice(name: &str, why: &str) -> String {
    format!(
        "[this call ran a second time, as tools.on_lost.{name} says. Of the first time the outcome \
         is unknown: {why}]"
    )
}

/// Result of a call whose turn ended before it was continued.
pub(super) fn aborted_call(why: &str) -> String {
    format!(
        "[the outcome of this call is unknown: it was interrupted, and its turn ended without \
         continuing it, because {why}. What was still running of it is killed. It may have taken \
         effect wholly, in part, or not at all: check before you repeat it or build on it.]"
    )
}

/// Workers died while they had the turn, as many as may.
pub(super) fn too_many_takeovers(takeovers: u32) -> TurnError {
    let message = format!(
        "{takeovers} workers in a row died while they had this turn, without a step in between \
         (agents.max_takeovers)"
    );
    TurnError::new(TurnErrorCode::TooManyTakeovers, message)
}

/// What cannot be left out alone does not fit. The largest part is named first.
pub(super) fn context_too_large(
    mut parts: [(&str, u64); 3],
    room: Room,
    max_transcript_bytes: u32,
    refusal: Option<&str>,
) -> TurnError {
    parts.sort_by_key(|&(_, tokens)| std::cmp::Reverse(tokens));
    let [(what, tokens), others @ ..] = parts;
    let others = others.map(|(what, tokens)| format!("{what} {tokens}")).join(", ");
    let limit = room.limit;
    let of = match (room.window, refusal) {
        (_, Some(refusal)) => format!("the endpoint refused what is left as too long: {refusal}"),
        (Some(window), None) => format!("of the model's window of {window}"),
        (None, None) => format!("agents.max_transcript_bytes is {max_transcript_bytes}"),
    };
    let message = format!(
        "{what} too large: about {tokens} tokens where a request has room for {limit} ({others}; {of})"
    );
    TurnError::new(TurnErrorCode::ContextTooLarge, message)
}

/// The endpoint finds every request too long.
pub(super) fn refused_as_too_long(refusal: &str) -> TurnError {
    let message =
        format!("the endpoint refuses shorter and shorter requests as too long: {refusal}");
    TurnError::new(TurnErrorCode::ContextTooLarge, message)
}

/// A turn that was to summarise cannot.
pub(super) fn no_summary(model: &str, why: &str) -> TurnError {
    let message = format!("model {model} made no summary: {why}");
    TurnError::new(TurnErrorCode::ModelUnavailable, message)
}

/// The turn has run for as long as it may.
pub(super) fn out_of_time(limit: Duration) -> TurnError {
    let message = format!("it ran for {} s (agents.turn_timeout)", limit.as_secs_f32());
    TurnError::new(TurnErrorCode::TurnTimeout, message)
}

/// The turn fails with its lost call.
pub(super) fn outcome_unknown(name: &str, why: &str) -> TurnError {
    let message = format!("the outcome of a call of {name} is unknown: {why}");
    TurnError::new(TurnErrorCode::OutcomeUnknown, message)
}

/// Why text of a worker that stopped is void.
pub(super) fn worker_stopped(generation: Option<u64>) -> String {
    match generation {
        Some(generation) => format!("the worker of generation {generation} stopped"),
        None => "the worker stopped".to_owned(),
    }
}

/// The model has replied as often as it may.
pub(super) fn too_many_steps(max_steps: u32) -> TurnError {
    let message = format!("the model replied {max_steps} times without coming to an end");
    TurnError::new(TurnErrorCode::TooManySteps, message)
}

/// The model makes the same call again and again.
pub(super) fn repeated_calls(name: &str, times: u32) -> TurnError {
    let message = format!(
        "the model called {name} {times} times with the same arguments and the same result, and was \
         told so (agents.max_repeats)"
    );
    TurnError::new(TurnErrorCode::RepeatedCalls, message)
}

/// There is no model of this name.
pub(super) fn model_unknown(model: &str) -> TurnError {
    TurnError::new(TurnErrorCode::ModelUnknown, format!("no model {model} is configured"))
}

/// A defect of the program, or a broken store.
pub(super) fn internal(message: String) -> TurnError {
    TurnError { code: TurnErrorCode::Internal, message }
}

/// Result of a call of a tool that the agent does not have.
pub(super) fn no_such_tool<'a>(name: &str, tools: impl Iterator<Item = &'a str>) -> String {
    let tools: Vec<_> = tools.collect();
    if tools.is_empty() {
        return format!("There is no tool {name}: this agent has none.");
    }
    format!("There is no tool {name}. This agent has: {}.", tools.join(", "))
}
