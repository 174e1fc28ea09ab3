//! Chat Completions, as OpenAI has them and many others do.
//!
//! | Module | Owns |
//! |---|---|
//! | `request` | from a transcript to a request |
//! | `assembly` | from chunks to a reply |
//! | `calls` | its tool calls, told apart |
//! | `ending` | what a finish reason means |
//! | `thinking` | reasoning that stands in the text |
//! | `usage` | its tokens |

mod assembly;
mod calls;
mod ending;
mod request;
mod thinking;
mod usage;

pub(crate) use assembly::Assembly;
pub(crate) use calls::{CUT_CALL, MAX_CALLS, recovered_name, unique_id};
pub(crate) use request::{FIELDS, parameters, write};
pub(crate) use usage::number;
