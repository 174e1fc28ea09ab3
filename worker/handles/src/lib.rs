//! The budget of descriptors, and handles that hold their permit.
//!
//! | Part | Owns |
//! |---|---|
//! | [`Budget`], [`Permit`], [`Exhausted`], [`Usage`] | how many handles of each kind there may be |
//! | [`Held`] | a handle that closes before its permit is given back |
//! | [`Page`], [`PageError`] | the descriptors owned, on a page that the supervisor reads |
//! | [`blocking`] | named threads for work that blocks |
//!
//! A descriptor is opened only by a gateway that has a [`Permit`] of its kind, and a permit comes
//! from a budget only. No permit within the time asked for: a typed [`Exhausted`], never EMFILE.
//!
//! Gateways: `http` accepts and `model` connects (net), `store` opens databases (sqlite), `local`
//! opens files and starts processes (file, child), `ssh` and `docker` connect.
//!
//! # Absent
//! - Opens no descriptor but that of its own page.
//! - Knows no crate of the worker; of `evonic-shared` the configuration and the kinds.
//!
//! ```compile_fail
//! // No permit without a budget, and so no held handle.
//! let permit = evonic_handles::Permit {};
//! evonic_handles::Held::new(std::io::stdin(), permit);
//! ```

pub mod blocking;
mod budget;
mod held;
mod page;
mod waker;

pub use budget::{Budget, Exhausted, Permit, Usage};
pub use held::Held;
pub use page::{Page, PageError};
pub use waker::{Waker, Wakeups};
