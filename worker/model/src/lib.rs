//! What answers a turn: endpoints that speak Chat Completions or Messages, and the embedded runbook.
//!
//! A model is a function from a transcript to a reply: text and tool calls. It keeps no state
//! between replies but what it learns of its endpoint, so any worker can ask it for the next one.
//!
//! | Module | Owns |
//! |---|---|
//! | `request` | what is asked and what comes back |
//! | `models` | every configured model, and the order in which they are asked |
//! | `remote` | an endpoint: attempts, failures, patience; one HTTP connection a call |
//! | `openai`, `anthropic` | what each kind of endpoint is sent and sends |
//! | `history` | a transcript that the strictest endpoint takes |
//! | `body` | JSON that is sent as it is built, attachments as they are read |
//! | `facts` | what is learnt of endpoints |
//! | `check` | what a turn needs of a model, tried |
//! | `runbook` | the embedded model: a parser of steps, without I/O |
//! | `error` | why a model did not reply |
//!
//! Has no database and no tools: it names the tools that a turn calls, and runs none.

mod anthropic;
mod body;
mod check;
mod error;
mod facts;
#[doc(hidden)]
pub mod fuzzing;
mod history;
mod models;
mod openai;
mod remote;
mod request;
mod runbook;

pub use check::Finding;
pub use error::{AddressError, ModelError, SetupError};
pub use models::{Model, Models};
pub use remote::{MAX_TEXT_BYTES, Remote};
pub use request::{Blobs, Delta, Reply, Request, Tried};
pub use runbook::Runbook;
