//! `evonic-supervisor`: owns the listening sockets and one worker; watches, replaces, explains.
//!
//! | Room | What it holds |
//! |---|---|
//! | `start` | from the command line to the running loop |
//! | `event_loop` | the one thread: events to the policy, its actions done, clients served |
//! | `policy` | what to do: a pure function of state, event and time |
//! | `worker`, `child`, `sys` | what is held of a worker; one process; fork and exec |
//! | `control`, `fd_page`, `probe` | the three ways to hear of a worker's inside |
//! | `fd_watch`, `census` | how many descriptors a worker has, and what they are |
//! | `sockets`, `poller` | the listeners; what the thread waits for |
//! | `clients`, `status` | the status socket's clients, and what they are shown |
//! | `history`, `post_mortem`, `disk` | what is kept in files |
//! | `source`, `lock`, `log`, `notify`, `clock` | configuration, one supervisor a folder, systemd |
//!
//! # Invariants
//! - One thread, and no async runtime. Nothing but the event loop's wait, a start's exec, a census
//!   and writing to disk can take time. What is urgent in a turn of the loop is done before that
//!   turn writes; the next trigger waits for a disk that does not answer.
//! - `policy` knows no clock, no descriptor and no process; nothing but the policy decides.
//! - `unsafe` stands in `sys` only.
//! - The number of open descriptors depends on the workers (two at most) and the status clients
//!   (a bounded number) that live now, and on nothing that happened before.

mod census;
mod child;
mod clients;
mod clock;
mod config_source;
mod control;
#[cfg(any(test, feature = "fuzzing"))]
pub mod decoders;
mod disk;
mod event_loop;
mod fd_page;
mod fd_watch;
mod history;
mod lock;
mod log;
mod notify;
mod policy;
mod poller;
mod post_mortem;
mod probe;
mod sockets;

mod start;
mod status;
mod sys;
mod worker;

pub use start::run;
