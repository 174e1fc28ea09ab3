//! The tables of the file.

mod models;
mod outside;
mod workplaces;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

pub use self::{
    models::{KeyPlaces, KeySource, Model},
    outside::{Attachments, Outbound},
    workplaces::{Docker, Ssh, Workplace},
};
use super::{
    choice::{ForwardedHeader, Lost},
    network::Network,
    quota::Quota,
    setting::Setting,
    table::{ANY_NAME, Fallback, Key, Section, section},
};
use crate::kind::Kind;

section! {
    /// Limits that the supervisor watches. A worker that passes one is replaced.
    Fd(reader, path, budget: u32) at "fd" {
        /// Open descriptors at which the worker is replaced: the replacement starts first, then the
        /// worker is drained. Must be above the budget, so that load alone cannot reach it.
        threshold: u32 = computed(
            "`400`, or `[budget]` and a quarter where that is more",
            budget.saturating_add(budget / 4).max(400)
        ), within 1 to 1000000;
        /// Open descriptors at which the worker is drained at once. Not below the threshold.
        ceiling: u32 = computed("four times `fd.threshold`", threshold.saturating_mul(4)),
            within 1 to 4000000;
        /// Unexplained descriptors at which the worker is replaced: open, not owned by a handle,
        /// and not open when it became ready.
        unexplained: u32 = is(64), within 1 to 1000000;
        /// The worker's `RLIMIT_NOFILE`, lowered to the hard limit where that is less. Must be
        /// above the ceiling, so that a leak is found before it does harm.
        limit: u32 = computed(
            "`16384`, or twice `fd.ceiling` where that is more",
            ceiling.saturating_mul(2).max(16_384)
        ), within 64 to 1073741816;
        /// The shortest pause between two counts, while descriptors grow.
        min_interval: Duration = is("20ms"), within "1ms" to "10s";
        /// The longest pause between two counts.
        max_interval: Duration = is("2s"), within "10ms" to "1m";
    }
}

section! {
    /// How workers are started, watched and stopped.
    Supervisor(reader, path) at "supervisor" {
        /// The worker's program.
        worker: Option<PathBuf> = absent("`evonic` beside the supervisor's own program");
        /// From SIGTERM to SIGKILL.
        grace: Duration = is("10s"), within "100ms" to "1h";
        /// From start to ready.
        start_timeout: Duration = is("10s"), within "100ms" to "1h";
        /// Between two heartbeats.
        heartbeat_interval: Duration = is("2s"), within "10ms" to "1m";
        /// The age of a part's last proof of life at which the part is late. Must be above
        /// `heartbeat_interval`.
        heartbeat_timeout: Duration = computed(
            "twice `heartbeat_interval`",
            heartbeat_interval.saturating_mul(2)
        ), within "20ms" to "10m";
        /// The time without shrinking after which an accept queue is stalled.
        accept_stall: Duration = is("2s"), within "10ms" to "10m";
        /// The first delay, after a second crash in a row or a second early leak. It doubles, with
        /// jitter.
        backoff_base: Duration = is("100ms"), within "1ms" to "1m";
        /// The longest delay of a start.
        backoff_cap: Duration = is("30s"), within "1ms" to "1h";
        /// A worker that lives this long ends a series of crashes and of early leaks.
        stable_after: Duration = is("30s"), within "100ms" to "1d";
        /// Consecutive crashes that make a crash loop, and early leaks that make a leak loop.
        crash_loop_after: u32 = is(5), within 1 to 1000;
    }
}

section! {
    /// The most handles of each kind that the worker holds at once. A request beyond them is
    /// answered with 503 and `Retry-After`; descriptors never run out.
    Budget(reader, path) at "budget" {
        /// Client connections; 1 descriptor each.
        http: u32 = is(128), within 4 to 100000;
        /// Database handles; 2 descriptors each, and one more for each of the two databases. One is
        /// the writer's, and two are the rate limiter's where `limits.enabled` says so.
        sqlite: u32 = is(11), within 4 to 1000;
        /// Connections to model endpoints; 1 descriptor each.
        model: u32 = is(16), within 1 to 10000;
        /// Files and folders of workplaces that tools have open; 1 descriptor each, and a tool
        /// needs two at once.
        file: u32 = is(32), within 2 to 10000;
        /// Running commands; 6 descriptors each.
        child: u32 = is(16), within 1 to 10000;
        /// Connections to SSH hosts, jump hosts included; 3 descriptors each at the most.
        ssh: u32 = is(16), within 1 to 1000;
        /// Connections to Docker engines; 1 descriptor each.
        docker: u32 = is(16), within 1 to 10000;
        /// Connections to addresses that come from outside, such as those of attachments; 1
        /// descriptor each.
        outbound: u32 = is(4), within 1 to 10000;
    }
}

/// Descriptors of the worker that no kind counts: runtime, listeners, channels, lock file, log.
pub const RUNTIME_DESCRIPTORS: u32 = 32;

impl Budget {
    /// Handles of one kind.
    pub const fn handles(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Http => self.http,
            Kind::Sqlite => self.sqlite,
            Kind::Model => self.model,
            Kind::File => self.file,
            Kind::Child => self.child,
            Kind::Ssh => self.ssh,
            Kind::Docker => self.docker,
            Kind::Outbound => self.outbound,
        }
    }

    /// Descriptors of one kind, at the most. SQLite has one more a database for its shared memory.
    pub const fn descriptors(&self, kind: Kind) -> u32 {
        let shared_memory = if matches!(kind, Kind::Sqlite) { 2 } else { 0 };
        self.handles(kind)
            .saturating_mul(kind.descriptors_per_handle())
            .saturating_add(shared_memory)
    }

    /// Descriptors of all kinds, at the most, with [`RUNTIME_DESCRIPTORS`].
    pub fn total(&self) -> u32 {
        Kind::ALL
            .iter()
            .fold(RUNTIME_DESCRIPTORS, |sum, &kind| sum.saturating_add(self.descriptors(kind)))
    }
}

section! {
    /// Limits of what clients send, and of the time they take.
    Http(reader, path, grace: Duration, budget: u32) at "http" {
        /// The most bytes of a request's line and headers.
        max_header_bytes: u32 = is(16384), within 8192 to 1048576;
        /// The most headers of a request.
        max_headers: u32 = is(64), within 8 to 1024;
        /// From a connection's start, or a later request's first byte, to the end of its headers.
        header_timeout: Duration = is("10s"), within "10ms" to "10m";
        /// The most bytes of a request's body.
        max_body_bytes: u32 = is(1048576), within 1024 to 1073741824;
        /// The longest pause within a request's body.
        body_timeout: Duration = is("10s"), within "10ms" to "10m";
        /// How long a connection may stay idle between two requests.
        idle_timeout: Duration = is("1m"), within "10ms" to "1h";
        /// How long a draining worker waits for the next request of an idle connection, to answer
        /// it with `Connection: close`. Not above `supervisor.grace`.
        linger: Duration = computed(
            "`1s`, or a quarter of `supervisor.grace` where that is less",
            (grace / 4).min(Duration::from_secs(1))
        ), within "0s" to "1m";
        /// Between two comments on an otherwise silent event stream.
        sse_heartbeat: Duration = is("10s"), within "10ms" to "15s";
        /// Of `budget.http`, connections that only the Unix socket may have.
        reserved_unix: u32 = computed("an eighth of `budget.http`", budget / 8), within 0 to 100000;
        /// Of `budget.http`, connections that only those over TCP may have that showed a good key.
        reserved_keys: u32 = computed("a quarter of `budget.http`", budget / 4),
            within 0 to 100000;
        /// The most connections of one address, or of the first 64 bits of an IPv6 address. Beyond
        /// them the longest idle one closes, and where none is idle the new one is answered 429.
        /// Does not hold for trusted proxies.
        max_connections_per_address: u32 = computed("half of `budget.http`", budget / 2),
            within 1 to 100000;
        /// The most connections over TCP with one key; the same for these.
        max_connections_per_key: u32 = computed("half of `budget.http`", budget / 2),
            within 1 to 100000;
        /// The most event streams that one key has open, or one user over the Unix socket. Beyond
        /// them 429.
        max_streams_per_key: u32 = computed(
            "three quarters of `http.max_connections_per_key`",
            (max_connections_per_key / 4 * 3).max(1)
        ), within 1 to 100000;
        /// Hosts beside loopback names that a request may name in `Host` and `Origin`.
        allowed_hosts: Vec<String> = is([]);
        /// Trusted proxies: addresses and networks, such as `"10.0.0.0/8"`. Their header names the
        /// client; that of any other peer is ignored.
        trusted_proxies: Vec<Network> = is([]);
        /// A file with a secret of 16 to 256 characters that trusted proxies show in
        /// `X-Evonic-Proxy-Secret`. Without it a proxy on a loopback address is not believed: any
        /// process of this machine could be it, a command of an agent too.
        proxy_secret_file: Option<PathBuf> = absent("other machines only are believed");
        /// The header in which trusted proxies name the client. It must be the one that they set:
        /// the other one comes from the client and is ignored.
        forwarded_header: ForwardedHeader = is("x-forwarded-for");
    }
    with {
        /// `[http.tls]`.
        tls: HttpTls = HttpTls::read(reader, "http.tls");
    }
}

section! {
    /// TLS on the TCP listener: both keys, or none of them for plain HTTP. The files are read again
    /// while the worker runs: a renewed certificate needs no restart.
    HttpTls(reader, path) at "http.tls" {
        /// The certificate and its chain, in PEM.
        certificate: Option<PathBuf> = absent("no TLS");
        /// Its private key, in PEM.
        key: Option<PathBuf> = absent("no TLS");
    }
}

impl HttpTls {
    /// The certificate's file and the key's, where TLS is configured.
    pub fn pair(&self) -> Option<(&Path, &Path)> {
        Some((self.certificate.as_deref()?, self.key.as_deref()?))
    }
}

section! {
    /// How many requests a client may make over TCP; beyond that it is answered with 429. A quota
    /// is `"REQUESTS/WINDOW"`: a number of requests within the window, and as many at once after a
    /// window without any. A request must fit every quota of its address and of its key, else it is
    /// refused and counted in none. Not counted: the Unix socket, `/livez`, `/readyz` and
    /// `/healthz`. An IPv6 address counts by its first 64 bits.
    Limits(reader, path) at "limits" {
        /// Whether requests are counted at all.
        enabled: bool = is(true);
        /// Quotas of each key.
        key: Vec<Quota> = is(["1000/1s", "30000/1m"]);
        /// Quotas of each address, with any key or none.
        address: Vec<Quota> = is(["2000/1s", "60000/1m"]);
        /// Quotas of refused keys, of each address. Once they are used up the address is refused
        /// before its key is checked.
        failed: Vec<Quota> = is(["20/1m", "200/1h"]);
    }
}

section! {
    /// The database, `evonic.db` in `state_dir`.
    Store(reader, path) at "store" {
        /// How long a request waits for a lock that another process holds on the database, before it
        /// is answered with 503. A turn waits for as long as the lock is held.
        busy_timeout: Duration = is("5s"), within "1ms" to "10m";
        /// How long a request waits for a handle before it is answered with 503.
        acquire_timeout: Duration = is("2s"), within "1ms" to "10m";
        /// The most writes that are committed together.
        batch: u32 = is(256), within 1 to 65536;
        /// How long a line of the audit log is kept: who changed what, and when. Each new line
        /// removes a few expired ones.
        audit_keep: Duration = is("1year"), within "7days" to "100years";
    }
}

section! {
    /// How long sessions are kept, and how much of the disk is left free. An agent may have a
    /// `retention` of its own, which stands in the place of `sessions` and `max_sessions`.
    Retention(reader, path) at "retention" {
        /// How long a session is kept after its last event, in days on which the service ran. One
        /// with a queued or running turn stays.
        sessions: Option<Duration> = absent("kept for ever"), within "1day" to "100years";
        /// The most sessions of an agent; those that were idle for longest go first.
        max_sessions: Option<u32> = absent("as many as there are"), within 1 to 1000000000;
        /// How long the pieces of text and output stay in the event log after their turn has ended.
        /// Then the event of the whole step or result stands for them.
        deltas: Duration = is("1day"), within "1day" to "100years";
        /// The bytes that stay free on the file system of `state_dir`. With less new messages,
        /// sessions, attachments and imports are refused with 507, and queued turns wait; with less
        /// than half of it, running turns end before their next model call.
        min_free: u64 = is(67108864), within 0 to 1125899906842624;
    }
}

section! {
    /// How turns are run.
    Agents(reader, path, command: Duration) at "agents" {
        /// Turns that do something here at once: claimed turns, and those that run tools. A turn that
        /// asks a model over a network is none of these. Callers who wait share them evenly, and so do
        /// the agents of one caller: a key is a caller, and so is each user on the Unix socket.
        workers: u32 = is(8), within 1 to 1000;
        /// Turns that run at once in all, with those whose model is being asked, of which there are
        /// `budget.model` at the most, and those that wait for one or the other. Each keeps its
        /// transcript in memory: up to `agents.max_transcript_bytes`, and several times that while it
        /// asks. Of what is more than `agents.workers`, a quarter is kept for callers who have no
        /// running turn, and a quarter for agents that have none. At least `agents.workers`.
        max_running: u32 = computed(
            "`64`, or `agents.workers` where that is more",
            workers.max(64)
        ), within 1 to 10000;
        /// How many of `agents.workers` only a caller is given who has none of them, so that who
        /// comes need not wait for the end of another one's commands. Below `agents.workers`.
        reserved_workers: u32 = computed(
            "`1`, or `0` where `agents.workers` is 1",
            u32::from(workers > 1)
        ), within 0 to 999;
        /// Model replies that a turn may take before it fails.
        max_steps: u32 = is(100), within 1 to 100000;
        /// How often a turn may make the same call with the same result, with nothing new in between,
        /// before it fails; four times as often with something new in between. From the third time on
        /// the model is told. 0 is as often as it likes, and nothing is told.
        max_repeats: u32 = is(8), within 0 to 100000;
        /// How long a turn may run before it fails, its command killed and its model call dropped.
        /// The time counts over all workers that run it, also while it waits for a place to go on;
        /// time in the queue does not count, nor does what it waits for a model or a budget.
        turn_timeout: Duration = computed(
            "`1day`, or four times `tools.timeout` where that is more",
            command.saturating_mul(4).max(Duration::from_secs(24 * 3600))
        ), within "100ms" to "1year";
        /// Workers in a row that may die while they have a turn before it fails. A worker that
        /// hands it over does not count, and each step that the turn commits starts the count anew.
        max_takeovers: u32 = is(5), within 1 to 1000;
        /// The most bytes of what is sent of a session, whatever the model's window: four of them are
        /// taken for a token. What is more is shortened, summarised or left out, and stays stored. A
        /// running turn takes several times as much memory.
        max_transcript_bytes: u32 = is(2097152), within 65536 to 1073741824;
        /// Queued turns of one session, above which a message is refused with 429.
        max_queued: u32 = is(100), within 1 to 100000;
        /// How long model text and tool output are gathered before they are committed as one
        /// event.
        coalesce: Duration = is("50ms"), within "1ms" to "10s";
    }
}

section! {
    /// What is done with what models cost. Prices stand with the models, limits are budgets
    /// (`evonic budget`).
    UsageReport(reader, path) at "usage" {
        /// What stands behind costs that people read, such as `EUR`.
        currency: String = is("units");
        /// A program and its arguments, started when a budget is spent to 50, 80 and 100 %. It gets
        /// the event as JSON on its standard input, and `PATH` alone as its environment.
        on_budget: Vec<String> = is([]);
        /// How long it may run before it is killed, and whatever it started with it.
        on_budget_timeout: Duration = is("30s"), within "100ms" to "10m";
    }
}

section! {
    /// Bounds on what tools do and return.
    Tools(reader, path) at "tools" {
        /// The longest that a command may run unless the call asks for less.
        timeout: Duration = is("10m"), within "100ms" to "30d";
        /// The most bytes of a command's output that its result keeps; head and tail share it.
        max_output_bytes: u32 = is(65536), within 1024 to 16777216;
        /// The most bytes that one `read_file` returns; its result says what is left out.
        max_read_bytes: u32 = is(65536), within 1024 to 16777216;
        /// Variables of the service's environment that commands inherit, beside `PATH`, `LANG` and
        /// `TZ`.
        environment: Vec<String> = is([]);
    }
    with {
        /// `[tools.on_lost]`, by a tool's name.
        on_lost: BTreeMap<String, Lost> = reader.each(ON_LOST.path, &ON_LOST.keys[0]);
    }
}

/// `[tools.on_lost]`: its keys are names of tools, which this crate does not know.
pub(super) const ON_LOST: Section = Section {
    path: "tools.on_lost",
    about: &[
        "What happens to a tool call whose outcome cannot be known, because its worker died and \
         its record is gone, or its machine was started anew. `report` tells the agent exactly \
         what is known; `retry` runs it again and says so in the result; `fail` ends the turn.",
    ],
    keys: &[Key {
        name: ANY_NAME,
        type_name: <Lost as Setting>::NAME,
        hint: <Lost as Setting>::HINT,
        fallback: Fallback::Computed(
            "`\"retry\"` for a tool that only reads, and for `copy`, which goes on where it was; \
             else `\"report\"`",
        ),
        within: None,
        variable: None,
        doc: &["Of the tool of this name, such as `bash`."],
    }],
};

section! {
    /// Records of running commands, kept on the machine where they run: what they wrote and how
    /// they ended. By them a command outlives its worker, its connection and its engine.
    Spool(reader, path) at "spool" {
        /// The most bytes that a command may write to its standard output and error; one that
        /// writes more is killed.
        max_output_bytes: u32 = is(268435456), within 65536 to 4294967295;
        /// How long the record of an abandoned command is kept.
        keep: Duration = is("7days"), within "1h" to "1year";
    }
}
