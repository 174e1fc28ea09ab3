//! Messages, as Anthropic has them.
//!
//! | Module | Owns |
//! |---|---|
//! | `request` | from a transcript to a request |
//! | `assembly` | from events to a reply |
//! | `blocks` | its content, in order |

mod assembly;
mod blocks;
mod request;

pub(crate) use assembly::Assembly;
pub(crate) use request::{DEFAULT_MAX_TOKENS, FIELDS, KEY_HEADER, VERSION_HEADER, write};
