//! The values that the other crates talk about, in the JSON forms of `/api/v1`.
//!
//! | Part | What it has |
//! |---|---|
//! | `agent`, `session`, `turn`, `item`, `event` | who talks, what about, and what happened |
//! | `new_message` | what a client posts: text, attachments, the form of the answer |
//! | `usage`, `budget` | tokens, their price and their sums; how much may be spent |
//! | `context` | which items are sent |
//! | `tool` | what a model and a turn know of a tool |
//! | `workplace`, `new_workplace`, `copy` | where tools act: settings, and their validation without I/O |
//! | `key`, `token`, `audit` | who may do what, and the record of what was changed |
//! | `media_type` | what a content is, by its first bytes |
//! | `retention` | how long sessions are kept |
//! | `text` | where a text may be cut |
//! | `json` | how much of JSON a text can be, before it is built |
//! | `id` | identifiers with the prefix of their resource |
//!
//! Not here: a database, HTTP, a clock, files.

mod agent;
mod audit;
mod budget;
mod context;
mod copy;
mod event;
mod id;
mod item;
mod json;
mod key;
mod media_type;
mod new_message;
mod new_workplace;
mod retention;
mod session;
mod text;
mod token;
mod tool;
mod turn;
mod usage;
mod validation;
mod workplace;

pub use agent::{Agent, AgentChange, AgentName, InvalidName, NewAgent};
pub use audit::{Action, AuditRecord, AuditTarget, Origin};
pub use budget::{
    Budget, BudgetChange, BudgetLimit, BudgetPeriod, BudgetReached, BudgetSpent, BudgetState,
    BudgetSubject, BudgetView, NewBudget, OnReached, decimal,
};
pub use context::{
    Compaction, CompactionKind, ContextView, InvalidAddress, ItemAddress, ItemRange, NewCompaction,
    Shortened, StoredItem, Summary,
};
pub use copy::{CopyEnd, NewCopy};
pub use event::{Event, EventKind};
pub use id::{AgentId, BudgetId, InvalidId, KeyId, MessageId, SessionId, TurnId, WorkplaceId};
pub use item::{Attachment, AttachmentKind, Carried, Item, Outcome, ToolCall};
pub use json::value_count;
pub use key::{IssuedKey, Key, NewKey, Scope};
pub use media_type::{
    FileForm, OtherContent, SIGNATURE_BYTES, Signature, is_media_type, media_type,
};
pub use new_message::{Content, NewAttachment, NewMessage, Part, ResponseFormat};
pub use new_workplace::{NewWorkplace, NewWorkplaceBody};
pub use retention::{Age, InvalidAge, Retention};
pub use session::{Message, NewSession, Posted, Role, Session, SessionChange};
pub use text::{char_ceil, char_floor};
pub use token::{Hash, Token};
pub use tool::{Effect, Ending, ToolSpec};
pub use turn::{Lease, Turn, TurnEnd, TurnError, TurnErrorCode, TurnState, WaitReason, Waiting};
pub use usage::{ModelCall, ModelFacts, Price, Usage, UsageBy, UsageSum};
pub use validation::SettingsError;
pub use workplace::{
    CommandNetwork, CommandSandbox, DockerSettings, HostKeys, LocalSettings, SecretSource,
    Settings, SshAuth, SshSettings, Workplace, WorkplaceChange, WorkplaceKind,
};
