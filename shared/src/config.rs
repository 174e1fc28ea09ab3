//! The configuration file that both processes read.
//!
//! One TOML file: `--config`, else `$EVONIC_CONFIG`, else `/etc/evonic/evonic.toml`, else defaults.
//! Every key has a default, except two of each model.
//! [`load()`] finds the file and reads it through the caller's function (`shared` performs no I/O);
//! [`Config::resolve`] takes the text and the environment and reports all errors at once, each with
//! file, line, key and what to do.
//!
//! Each key is written once, in a `section!` of `root.rs` or `sections.rs`: its field,
//! documentation, default, bounds and variable come from the same line.
//!
//! | Module | What it holds |
//! |---|---|
//! | `root`, `sections` | every key |
//! | `table`, `setting`, `choice`, `network`, `paths`, `quota` | how keys are declared; types of values |
//! | `document`, `environment`, `reader` | the file's keys, the variables, and reading from both |
//! | `rules`, `nearest` | what values must satisfy; the key that was meant |
//! | `resolved`, `entry`, `error`, `load` | a resolved configuration, its errors, its file |
//! | `markdown` | `docs/configuration.md` |

mod choice;
mod document;
mod entry;
mod environment;
mod error;
mod load;
mod markdown;
mod nearest;
mod network;
mod paths;
mod quota;
mod reader;
mod resolved;
mod root;
mod rules;
mod sections;
mod setting;
mod table;
#[cfg(test)]
mod tests;

pub use choice::{
    CommandNetwork, ForwardedHeader, LogFormat, Lost, MaxTokensField, ModelKind, Sandbox,
};
pub use entry::{Entry, Origin};
pub use environment::Environment;
pub use error::{ConfigError, ConfigErrors};
pub use load::{DEFAULT_FILE, FILE_VARIABLE, LoadError, load, load_despite_errors};
pub use markdown::markdown;
pub use network::Network;
pub use paths::FolderAccess;
pub use quota::Quota;
pub use resolved::Resolved;
pub use root::Config;
pub use sections::{
    Agents, Budget, Docker, Fd, Http, HttpTls, KeySource, Limits, Model, RUNTIME_DESCRIPTORS,
    Spool, Ssh, Store, Supervisor, Tools, Workplace,
};
