//! `evonic-supervisor`: owns the listening sockets and one worker; watches, replaces, explains.
//!
//! | Module | What it holds |
//! |---|---|
//! | `start` | from the command line to the running loop |
//! | `event_loop` | the thread that decides: events to the policy, its actions executed, clients served |
//! | `policy` | what to do: a pure function of state, event and time |
//! | `worker`, `child`, `sys` | the handles of a worker; one process; fork and exec |
//! | `fd_page`, `probe` | a worker's descriptor counts and liveness |
//! | `fd_watch`, `census` | how many descriptors a worker has, and what they are |
//! | `sockets`, `poller` | the listeners; the epoll |
//! | `clients` | the status socket's clients |
//! | `history`, `post_mortem`, `disk` | files in the state folder |
//! | `background` | a thread behind a bounded queue: one writes the log, one to disk |
//! | `integrity` | what others changed about the supervisor itself: pure, but for what reads and mends |
//! | `config_source`, `lock` | the configuration; one supervisor a folder |
//! | `log`, `notify`, `clock` | the log; systemd; time |
//!
//! # Invariants
//! - One thread decides, and there is no async runtime. Only the event loop's wait, a start's exec and
//!   a census block it. Two more threads write, the log and to disk: a reader that does not read and a
//!   disk that does not answer cost lines, and nothing else.
//! - `policy` knows no clock, no descriptor and no process, and nothing else decides.
//! - `unsafe` is in `sys` only.
//! - The number of open descriptors depends on the current workers (two at most) and status clients
//!   (a bounded number) only.

mod background;
mod census;
mod child;
mod clients;
mod clock;
mod config_source;
mod disk;
mod event_loop;
mod fd_page;
mod fd_watch;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod history;
mod integrity;
mod lock;
mod log;
mod notify;
mod policy;
mod poller;
mod post_mortem;
mod probe;
mod sockets;
mod start;
mod sys;
mod terminal;
mod worker;

pub use start::run;
