//! What a model may call: the registry of tools, and the tools that come with it.
//!
//! - [`Tool`]: what a tool is; [`Registry`]: which there are. A tool is a file in `builtin` and a
//!   line in `builtin.rs`, or a type of another crate that is given to [`Registry::with`].
//! - [`Toolbox`]: every tool at one workplace; [`Toolboxes`] opens one for a turn.
//! - `arguments`: a model's arguments, checked against the schema of their type.
//! - `screen`: what a person would see of a command's output; `output`: what is kept of it, and
//!   shown as it comes; `format`: counts and sizes for people.
//!
//! A tool never fails as a function: what went wrong is a result that says what to do about
//! it. Nothing is left out silently: every cut is reported with sizes, and with what to ask
//! for to see the rest. Only an outcome that cannot be known is no result but a [`Loss`].
//!
//! Not here: files and processes (a [`Backend`](evonic_workplace::Backend) does what touches the
//! world), and what becomes of a turn (the agent decides by [`Effect`], [`Ending`] and the
//! operator's policy).

mod answer;
mod arguments;
mod builtin;
mod format;
pub mod fuzzing;
mod output;
mod reach;
mod registry;
mod screen;
mod tool;
mod toolbox;
mod toolboxes;

pub use self::{
    answer::{Answer, Loss, ToolResult},
    arguments::{ArgumentError, schema},
    output::Piece,
    reach::User,
    registry::{Registry, RegistryError},
    tool::{Call, Tool},
    toolbox::Toolbox,
    toolboxes::Toolboxes,
};
pub use evonic_domain::{Effect, Ending, ToolSpec};

#[cfg(test)]
mod tests;
