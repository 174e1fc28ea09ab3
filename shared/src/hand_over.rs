//! What a worker inherits: descriptors by name, and the variables that describe them.
//!
//! Descriptors follow systemd's protocol (`sd_listen_fds(3)`): they are numbered from
//! [`FIRST_DESCRIPTOR`], `LISTEN_FDS` is their count, `LISTEN_PID` the worker's pid and
//! `LISTEN_FDNAMES` their names, joined by colons. A worker gets these and standard input
//! (`/dev/null`), output and error; nothing else. All of them are close-on-exec once the worker
//! has taken them, so that no command it runs inherits one.

/// The number of the first inherited descriptor.
pub const FIRST_DESCRIPTOR: i32 = 3;

/// `LISTEN_FDS`, the count of inherited descriptors.
pub const LISTEN_FDS: &str = "LISTEN_FDS";
/// `LISTEN_PID`, the pid the descriptors are meant for.
pub const LISTEN_PID: &str = "LISTEN_PID";
/// `LISTEN_FDNAMES`, their names, joined by colons.
pub const LISTEN_FDNAMES: &str = "LISTEN_FDNAMES";

/// The TCP listener: non-blocking, shared by overlapping workers.
pub const HTTP: &str = "http";
/// The Unix listener (`api.sock`): non-blocking, shared by overlapping workers.
pub const API: &str = "api";
/// The worker's end of its control channel: `AF_UNIX`, `SOCK_SEQPACKET`.
pub const CONTROL: &str = "control";
/// The worker's end of a connected `AF_UNIX` stream on which the supervisor asks `GET /livez`
/// as HTTP/1.1 and expects 200 with a `content-length`. The worker serves it through its real
/// router, like an accepted connection. Not `/readyz`: a full budget is no reason to replace it.
pub const PROBE: &str = "probe";
/// The anonymous file that holds the [fd page](crate::fd_page).
pub const FD_PAGE: &str = "fd_page";

/// An anonymous file that holds the text of the configuration that the supervisor accepted, empty
/// where there is no file: an edit has no effect before a supervisor accepts it. A worker that does
/// not get it reads the file itself.
pub const CONFIG: &str = "config";

/// Every name, in the order in which a worker's descriptors are numbered.
pub const NAMES: [&str; 6] = [HTTP, API, CONTROL, PROBE, FD_PAGE, CONFIG];

/// The generation that the supervisor proposes: a decimal `u64`, at least 1. The worker may take
/// a higher one where its database has seen this one already; its hello says which it took.
pub const GENERATION: &str = "EVONIC_GENERATION";

/// The generation of a worker that still lives beside the new one, if any.
pub const PREDECESSOR: &str = "EVONIC_PREDECESSOR";
