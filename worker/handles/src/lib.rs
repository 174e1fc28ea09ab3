//! The budget and ledger of descriptors, and the doors that open one.
//!
//! A descriptor is opened only by a gate that holds a [`Permit`] of its kind; the permit is
//! dropped after the handle ([`Held`] fixes the order). No permit within the time asked for: a
//! typed [`Exhausted`], never EMFILE. What is owned is kept on the ledger page that the
//! supervisor reads.
//!
//! Gates: `http::accept` (http), `store::handle` (sqlite), `model::connection` (model),
//! `workplace::files` and `http::process` (file), `workplace::command` (child).

mod budget;
mod held;
mod page;
mod waker;

pub use budget::{Budget, Exhausted, Permit, Usage};
pub use held::Held;
pub use page::{Page, PageError};
pub use waker::{Waker, Wakeups};
