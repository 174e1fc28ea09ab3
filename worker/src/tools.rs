//! What a model may call: `bash`, `python`, `read_file`, `write_file`, `edit_file`, `list_files`,
//! `search_files`.

mod catalogue;

use std::sync::Arc;

use evonic_shared::config;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{Outcome, ToolCall},
    workplace::Local,
};

/// What a tool does to the world; decides what happens when its worker dies while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It only reads: it may be run again.
    Read,
    /// It changes something: it is never run again by itself; the agent is told.
    Change,
}

/// A tool as a model is told of it.
#[derive(Clone, Debug)]
pub struct ToolSpec {
    /// Its name.
    pub name: &'static str,
    /// What it does, for the model.
    pub description: &'static str,
    /// JSON Schema 2020-12 of its arguments, with `additionalProperties: false`.
    pub schema: serde_json::Value,
    /// What it does to the world.
    pub effect: Effect,
}

/// What a tool returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolResult {
    /// How it ended: never [`Outcome::Unknown`].
    pub outcome: Outcome,
    /// What the model is shown: capped, sizes told.
    pub content: String,
}

/// Every tool, at one workplace.
#[derive(Clone, Debug)]
pub struct Toolbox {
    inner: Arc<()>,
}

impl Toolbox {
    /// The tools at this workplace.
    #[must_use]
    pub fn new(workplace: Local, settings: &config::Tools) -> Self {
        let _ = (workplace, settings);
        todo!()
    }

    /// The names of every tool, in the order in which a model is told of them.
    #[must_use]
    pub fn names() -> &'static [&'static str] {
        todo!()
    }

    /// The named tools, every one when [`None`]; unknown names are passed over.
    #[must_use]
    pub fn specs(&self, names: Option<&[String]>) -> Vec<ToolSpec> {
        let _ = (&self.inner, names);
        todo!()
    }

    /// Runs a call. Output goes to `output` as it comes, as text (bytes that are no UTF-8
    /// replaced), and is bounded: a slow reader slows the tool. An unknown tool, arguments that
    /// do not fit its schema, and a failing tool are results with [`Outcome::Error`] that say what
    /// is wrong and name the field. When `cancel` fires, everything it started is killed.
    pub async fn run(
        &self,
        call: &ToolCall,
        mark: &str,
        output: mpsc::Sender<String>,
        cancel: &CancellationToken,
    ) -> ToolResult {
        let _ = (call, mark, output, cancel);
        todo!()
    }

    /// Kills what an interrupted call left behind. Returns how many processes there were.
    pub async fn clear(&self, mark: &str) -> u32 {
        let _ = mark;
        todo!()
    }
}
