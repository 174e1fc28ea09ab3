//! Tools, as models and turns know them.

/// What a tool does to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It only reads: it may be run again.
    Read,
    /// It changes something: it is never silently run again.
    Change,
}

/// What becomes of a tool's running call when its worker ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It runs on, to an end of its own; whoever takes it over follows it.
    Own,
    /// It ends, and the same call again continues where it was.
    GoesOn,
    /// It ends with its worker.
    WithWorker,
}

/// A tool as a model knows it.
#[derive(Clone, Debug)]
pub struct ToolSpec {
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema 2020-12 of its arguments, with `additionalProperties: false`.
    pub schema: serde_json::Value,
    /// What it does to the world.
    pub effect: Effect,
    /// What becomes of it when its worker ends.
    pub ending: Ending,
}
