//! What agents and clients are told, word for word.

use crate::domain::TurnError;

/// Result of a call that was dropped because it did not heed its cancel.
pub(super) const CANCELLED_HARD: &str = "Cancelled while it ran. It did not stop by itself and was \
     cut off; what it had done until then stays done.";
/// Result of a call whose tool has a defect.
pub(super) const TOOL_DEFECT: &str = "The tool itself broke while it ran this call. Whether the \
     call took effect is not known.";

/// Result of a call whose worker died while it ran.
pub(super) fn unknown_outcome(killed: u32) -> String {
    let rest = match killed {
        0 => "No process of it was running any more.".to_owned(),
        1 => "One process of it was still running and has been killed.".to_owned(),
        many => format!("{many} processes of it were still running and have been killed."),
    };
    format!(
        "The outcome of this call is unknown: the worker that ran it stopped or died before it \
         ended. It was not run again. {rest} It may have taken effect wholly, in part, or not at \
         all: check before you repeat it or build on it."
    )
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
    TurnError {
        code: "too_many_steps".to_owned(),
        message: format!("the model replied {max_steps} times without coming to an end"),
    }
}

/// There is no model of this name.
pub(super) fn model_unknown(model: &str) -> TurnError {
    TurnError {
        code: "model_unknown".to_owned(),
        message: format!("no model {model} is configured"),
    }
}

/// A defect of the program, or a broken store.
pub(super) fn internal(message: String) -> TurnError {
    TurnError { code: "internal".to_owned(), message }
}

/// Result of a call of a tool that the agent does not have.
pub(super) fn no_such_tool<'a>(name: &str, tools: impl Iterator<Item = &'a str>) -> String {
    let tools: Vec<_> = tools.collect();
    if tools.is_empty() {
        return format!("There is no tool {name}: this agent has none.");
    }
    format!("There is no tool {name}. This agent has: {}.", tools.join(", "))
}
