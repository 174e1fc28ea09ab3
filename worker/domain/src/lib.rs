//! Agents, sessions, messages, turns, items and events: plain values without behaviour.
//!
//! Invariant: nothing here knows a database, HTTP or a clock. The JSON forms are those of
//! `/api/v1`.

mod agent;
mod audit;
mod copy;
mod event;
mod id;
mod item;
mod key;
mod session;
mod token;
mod tool;
mod turn;
mod workplace;

pub use agent::{Agent, AgentChange, AgentName, InvalidName, NewAgent};
pub use audit::{Action, AuditRecord, AuditTarget, Origin};
pub use copy::{CopyEnd, NewCopy};
pub use event::{Event, EventKind};
pub use id::{AgentId, InvalidId, KeyId, MessageId, SessionId, TurnId, WorkplaceId};
pub use item::{Item, Outcome, ToolCall};
pub use key::{IssuedKey, Key, NewKey, Scope};
pub use session::{Message, NewMessage, NewSession, Posted, Role, Session, SessionChange};
pub use token::{Hash, Token};
pub use tool::{Effect, Ending, ToolSpec};
pub use turn::{Lease, Turn, TurnEnd, TurnError, TurnErrorCode, TurnState, Usage};
pub use workplace::{
    DockerSettings, HostKeys, LocalSettings, NewWorkplace, NewWorkplaceBody, SecretSource,
    Settings, SettingsFault, SshAuth, SshSettings, Workplace, WorkplaceChange, WorkplaceKind,
};
