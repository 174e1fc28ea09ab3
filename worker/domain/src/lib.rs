//! The values that the other crates talk about, in the JSON forms of `/api/v1`.
//!
//! | Part | What it has |
//! |---|---|
//! | `agent`, `session`, `turn`, `item`, `event` | who talks, what about, and what happened |
//! | `tool` | what a model and a turn know of a tool |
//! | `workplace`, `new_workplace`, `copy` | where tools act: settings, and their validation without I/O |
//! | `key`, `token`, `audit` | who may do what, and the record of what was changed |
//! | `retention` | how long sessions are kept |
//! | `json` | how much of JSON a text can be, before it is built |
//! | `id` | identifiers with the prefix of their resource |
//!
//! Not here: a database, HTTP, a clock, files.

mod agent;
mod audit;
mod copy;
mod event;
mod id;
mod item;
mod json;
mod key;
mod new_workplace;
mod retention;
mod session;
mod token;
mod tool;
mod turn;
mod validation;
mod workplace;

pub use agent::{Agent, AgentChange, AgentName, InvalidName, NewAgent};
pub use audit::{Action, AuditRecord, AuditTarget, Origin};
pub use copy::{CopyEnd, NewCopy};
pub use event::{Event, EventKind};
pub use id::{AgentId, InvalidId, KeyId, MessageId, SessionId, TurnId, WorkplaceId};
pub use item::{Item, Outcome, ToolCall};
pub use json::value_count;
pub use key::{IssuedKey, Key, NewKey, Scope};
pub use new_workplace::{NewWorkplace, NewWorkplaceBody};
pub use retention::{Age, InvalidAge, Retention};
pub use session::{Message, NewMessage, NewSession, Posted, Role, Session, SessionChange};
pub use token::{Hash, Token};
pub use tool::{Effect, Ending, ToolSpec};
pub use turn::{Lease, Turn, TurnEnd, TurnError, TurnErrorCode, TurnState, Usage};
pub use validation::SettingsError;
pub use workplace::{
    CommandNetwork, CommandSandbox, DockerSettings, HostKeys, LocalSettings, SecretSource,
    Settings, SshAuth, SshSettings, Workplace, WorkplaceChange, WorkplaceKind,
};
