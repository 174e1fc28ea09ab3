//! Texts that agents and clients read.

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

/// So many workers died in a call, and so many of its processes were killed now.
pub(super) fn fatal_call(takeovers: u32, killed: u32) -> String {
    let rest = match killed {
        0 => "no process of it was running any more".to_owned(),
        1 => "one process of it was still running and has been killed".to_owned(),
        many => format!("{many} processes of it were still running and have been killed"),
    };
    format!("{takeovers} workers in a row died while they had it, and {rest}")
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
