//! The tables of the file.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    choice::ForwardedHeader,
    network::Network,
    quota::Quota,
    setting::Setting,
    table::{ANY_NAME, Fallback, Key, Section, section},
};
use crate::kind::Kind;

section! {
    /// Lines that the supervisor watches. A worker that crosses one is replaced.
    Fd(reader, path, budget: u32) at "fd" {
        /// Open descriptors at which the worker is replaced: the replacement first, then the
        /// worker is told to stop. Must be above the budget, so that load alone cannot cross it.
        threshold: u32 = computed(
            "`400`, or `[budget]` and a quarter where that is more",
            budget.saturating_add(budget / 4).max(400)
        ), within 1 to 1000000;
        /// Open descriptors at which the worker is told to stop at once. Not below the threshold.
        ceiling: u32 = computed("four times `fd.threshold`", threshold.saturating_mul(4)),
            within 1 to 4000000;
        /// Descriptors that nobody accounts for at which the worker is replaced.
        unexplained: u32 = is(64), within 1 to 1000000;
        /// The worker's `RLIMIT_NOFILE`, lowered to the hard limit where that is less. Must be
        /// above the ceiling: between the two a leak is seen before it can do harm.
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
        /// How long an accept queue may stand without shrinking.
        accept_stall: Duration = is("2s"), within "10ms" to "10m";
        /// The first pause after a second crash in a row, or a second leak soon after a start.
        backoff_base: Duration = is("100ms"), within "1ms" to "1m";
        /// The longest pause between two starts.
        backoff_cap: Duration = is("30s"), within "1ms" to "1h";
        /// A worker that lived this long ends the row of crashes, and that of leaks.
        stable_after: Duration = is("30s"), within "100ms" to "1d";
        /// Crashes in a row that make a crash loop, and leaks in a row that make a leak loop.
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
    }
}

/// What the worker needs beside its ledger: runtime, listeners, channels, lock file, log.
pub const RUNTIME_DESCRIPTORS: u32 = 32;

impl Budget {
    /// Handles of one kind.
    #[must_use]
    pub const fn handles(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Http => self.http,
            Kind::Sqlite => self.sqlite,
            Kind::Model => self.model,
            Kind::File => self.file,
            Kind::Child => self.child,
            Kind::Ssh => self.ssh,
            Kind::Docker => self.docker,
        }
    }

    /// Descriptors of one kind, at the most. SQLite has one more a database for its shared memory.
    #[must_use]
    pub const fn descriptors(&self, kind: Kind) -> u32 {
        let shared_memory = if matches!(kind, Kind::Sqlite) { 2 } else { 0 };
        self.handles(kind)
            .saturating_mul(kind.descriptors_per_handle())
            .saturating_add(shared_memory)
    }

    /// Descriptors of all kinds, at the most, with [`RUNTIME_DESCRIPTORS`].
    #[must_use]
    pub fn total(&self) -> u32 {
        Kind::ALL
            .iter()
            .fold(RUNTIME_DESCRIPTORS, |sum, &kind| sum.saturating_add(self.descriptors(kind)))
    }
}

section! {
    /// Bounds on what clients send, and on how long they may take.
    Http(reader, path, grace: Duration) at "http" {
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
        /// Hosts beside loopback names that a request may name in `Host` and `Origin`.
        allowed_hosts: Vec<String> = is([]);
        /// Proxies that are believed whose request they pass on: addresses and networks, such as
        /// `"10.0.0.0/8"`. Nobody else is believed.
        trusted_proxies: Vec<Network> = is([]);
        /// The header in which they say it. It must be the one that they set: the other one is
        /// the client's own, and is not believed.
        forwarded_header: ForwardedHeader = is("x-forwarded-for");
    }
    with {
        /// `[http.tls]`.
        tls: HttpTls = HttpTls::read(reader, "http.tls");
    }
}

section! {
    /// TLS on the TCP listener: both keys, or none of them for plain HTTP. The files are looked at
    /// again while the worker runs: a renewed certificate needs no restart.
    HttpTls(reader, path) at "http.tls" {
        /// The certificate and those between it and its authority, in PEM.
        certificate: Option<PathBuf> = absent("no TLS");
        /// Its private key, in PEM.
        key: Option<PathBuf> = absent("no TLS");
    }
}

impl HttpTls {
    /// The certificate's file and the key's, where TLS is configured.
    #[must_use]
    pub fn pair(&self) -> Option<(&Path, &Path)> {
        Some((self.certificate.as_deref()?, self.key.as_deref()?))
    }
}

section! {
    /// How many requests a client may make over TCP; beyond that it is answered with 429. A quota
    /// is `"REQUESTS/WINDOW"`: so many requests within the window, and as many at once after a
    /// window without any. A request must find room in every quota of its address and of its key,
    /// else it is refused and counted in none. Not counted: the Unix socket, `/livez`, `/readyz`
    /// and `/healthz`. An IPv6 address counts by its first 64 bits.
    Limits(reader, path) at "limits" {
        /// Whether requests are counted at all.
        enabled: bool = is(true);
        /// Quotas of each key.
        key: Vec<Quota> = is(["1000/1s", "30000/1m"]);
        /// Quotas of each address, with any key or none.
        address: Vec<Quota> = is(["2000/1s", "60000/1m"]);
        /// Quotas of keys that were presented and refused, of each address. Once they are used up
        /// the address is refused whatever key it presents, before the key is looked at.
        failed: Vec<Quota> = is(["20/1m", "200/1h"]);
    }
}

section! {
    /// The database, `evonic.db` in `state_dir`.
    Store(reader, path, late: Duration) at "store" {
        /// How long a handle waits for a lock of the database. Below
        /// `supervisor.heartbeat_timeout`: somebody else's lock is no fault of the worker.
        busy_timeout: Duration = computed(
            "`2s`, or half of `supervisor.heartbeat_timeout` where that is less",
            (late / 2).min(Duration::from_secs(2))
        ), within "1ms" to "10m";
        /// How long a request waits for a handle before it is answered with 503.
        acquire_timeout: Duration = is("2s"), within "1ms" to "10m";
        /// The most writes that are committed together.
        batch: u32 = is(256), within 1 to 65536;
        /// How long a line of the audit log is kept: who changed what, and when. Each new line
        /// lets a few go that are older.
        audit_keep: Duration = is("1year"), within "7days" to "100years";
    }
}

section! {
    /// How turns are run.
    Agents(reader, path) at "agents" {
        /// Turns that run at once.
        workers: u32 = is(8), within 1 to 1000;
        /// Model replies that a turn may take before it fails.
        max_steps: u32 = is(100), within 1 to 100000;
        /// Workers in a row that may die in one call of a tool without a byte more of its output.
        /// After so many the call is not tried again: its outcome is unknown, and `tools.on_lost`
        /// says what follows, where `retry` is `report`.
        max_takeovers: u32 = is(5), within 1 to 1000;
        /// Queued turns of one session, above which a message is refused with 429.
        max_queued: u32 = is(100), within 1 to 100000;
        /// How long model text and tool output are gathered before they are committed as one
        /// event.
        coalesce: Duration = is("50ms"), within "1ms" to "10s";
    }
}

section! {
    /// Bounds on what tools do and return.
    Tools(reader, path) at "tools" {
        /// The longest that a command may run unless the call asks for less.
        timeout: Duration = is("10m"), within "100ms" to "30d";
        /// The most bytes of a command's output that its result keeps; head and tail share it.
        max_output_bytes: u32 = is(65536), within 1024 to 16777216;
        /// The most bytes that one `read_file` returns; the rest is told and can be asked for.
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
        /// How long the record of a command that nobody asks for is kept.
        keep: Duration = is("7days"), within "1h" to "1year";
    }
}

section! {
    /// Connections to SSH hosts.
    Ssh(reader, path) at "ssh" {
        /// To connect, exchange keys and authenticate.
        connect_timeout: Duration = is("10s"), within "100ms" to "5m";
        /// The most connections to one host, as one user. All hosts together: `budget.ssh`.
        per_host: u32 = is(4), within 2 to 100;
        /// Between two signs of life on a connection that is silent.
        keepalive_interval: Duration = is("10s"), within "100ms" to "10m";
        /// A connection that was silent for this long is dead.
        dead_after: Duration = computed(
            "three times `keepalive_interval`",
            keepalive_interval.saturating_mul(3)
        ), within "200ms" to "1h";
        /// A connection that nothing used for this long is closed.
        idle_timeout: Duration = is("1m"), within "100ms" to "1day";
        /// How often a transient failure is tried again. Permanent ones never are.
        retries: u32 = is(4), within 0 to 100;
        /// The first pause before that; it doubles, with jitter.
        backoff_base: Duration = is("250ms"), within "1ms" to "1m";
        /// The longest pause.
        backoff_cap: Duration = is("10s"), within "1ms" to "1h";
        /// Transient failures in a row after which a host is left alone for a while.
        breaker_failures: u32 = is(5), within 1 to 1000;
        /// How long it is left alone.
        breaker_pause: Duration = is("30s"), within "100ms" to "1d";
    }
}

section! {
    /// Docker engines and the containers of sessions.
    Docker(reader, path) at "docker" {
        /// The engine of workplaces that name none: `unix:///PATH`, or `tcp://HOST:PORT` with TLS.
        engine: String = is("unix:///var/run/docker.sock");
        /// The folder of `ca.pem`, `cert.pem` and `key.pem` for `tcp://`.
        cert_path: Option<PathBuf> = absent("none: `tcp://` is refused without");
        /// To connect, and to the beginning of an answer.
        timeout: Duration = is("30s"), within "100ms" to "1h";
        /// The most running containers of this instance on one engine. At that many the least recently used idle
        /// one gives way; a busy one never does.
        containers: u32 = is(16), within 1 to 10000;
        /// A container that nothing used for this long is stopped.
        idle_stop: Duration = is("10m"), within "1s" to "30d";
        /// Between two comparisons of the engine with the ledger.
        reconcile_interval: Duration = is("1m"), within "1s" to "1d";
    }
}

section! {
    /// The local workplace: where tools read, write and run commands.
    Workplace(reader, path, state_dir: &Path) at "workplace" {
        /// The folder that agents work in.
        root: PathBuf = computed("`workplace` below `state_dir`", state_dir.join("workplace"));
        /// Whether agents stay below the root: file tools always, commands where the kernel has
        /// Landlock (`evonic doctor` says whether it has). A confined command may write below the
        /// root (the session's folder, if it has one) and to a temporary folder of its own, and
        /// read that and what belongs to the system: not the service's state, configuration and
        /// sockets, and nobody's home. The network and Unix sockets are not confined.
        confined: bool = is(true);
        /// More that a confined command may read and execute. What is missing is passed over.
        read: Vec<PathBuf> = is([]);
        /// More that a confined command may read, execute and write: `"/tmp"`, a cache.
        write: Vec<PathBuf> = is([]);
        /// The most processes and threads of the service's user while a command runs, those of the
        /// service among them. Does not hold for root.
        max_processes: u32 = is(4096), within 64 to 4194304;
        /// The most memory that one process of a command may write to.
        max_memory_bytes: u64 = is(8589934592), within 67108864 to 9223372036854775807;
        /// The largest file that a command may write.
        max_file_bytes: u64 = is(17179869184), within 1048576 to 9223372036854775807;
        /// The most open files of one process of a command.
        max_open_files: u32 = is(4096), within 64 to 1048576;
        /// The most time that one process of a command may spend on processors.
        max_cpu_time: Option<Duration> = absent("no limit but the command's own time"),
            within "1s" to "1year";
    }
}

section! {
    /// An OpenAI-compatible Chat Completions endpoint, under a name of your choice: 1 to 64
    /// characters of a-z, 0-9 and `-`. The model `runbook` is embedded and needs no section.
    OpenAi(reader, path) at "models.NAME" {
        /// The endpoint, up to and with its version: `https://api.openai.com/v1`.
        base_url: String = required();
        /// The model's name at the endpoint.
        model: String = required();
        /// To connect.
        connect_timeout: Duration = is("10s"), within "10ms" to "10m";
        /// To the first byte of the answer, and between two pieces of it.
        read_timeout: Duration = is("2m"), within "10ms" to "1h";
        /// Retries of a transient failure.
        retries: u32 = is(4), within 0 to 100;
        /// Sampling temperature.
        temperature: Option<f64> = absent("the endpoint's own"), within 0.0 to 2.0;
        /// The most tokens of a reply.
        max_tokens: Option<u32> = absent("the endpoint's own"), within 1 to 100000000;
    }
    with {
        /// Where the key is; none when the endpoint needs none.
        key: Option<KeySource> = KeyPlaces::read(reader, path).source(reader, path);
    }
}

section! {
    /// Where the endpoint's key is: one of these, or none of them for an endpoint without a key.
    KeyPlaces(reader, path) at "models.NAME" {
        /// A variable of the service's environment that holds the key.
        key_env: Option<String> = absent("no key from there");
        /// A file that holds the key; white space around it is removed.
        key_file: Option<PathBuf> = absent("no key from there");
        /// A systemd credential that holds the key: its name in `$CREDENTIALS_DIRECTORY`.
        key_credential: Option<String> = absent("no key from there");
    }
}

impl KeyPlaces {
    fn source(self, reader: &mut super::reader::Reader<'_>, path: &str) -> Option<KeySource> {
        let mut given = [
            self.key_env.map(|name| ("key_env", KeySource::Env(name))),
            self.key_file.map(|file| ("key_file", KeySource::File(file))),
            self.key_credential.map(|name| ("key_credential", KeySource::Credential(name))),
        ]
        .into_iter()
        .flatten();
        let (first, source) = given.next()?;
        for (more, _) in given {
            reader.refuse(
                &[&format!("{path}.{more}")],
                format!("`{first}` says already where the key is"),
                format!("remove one of `{first}` and `{more}`"),
            );
        }
        Some(source)
    }
}

/// Where a secret is. The secret itself is never part of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// `key_env`: a variable of the environment.
    Env(String),
    /// `key_file`: a file, its surrounding white space removed.
    File(PathBuf),
    /// `key_credential`: a systemd credential: a file of this name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

/// What happens to a call whose outcome cannot be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lost {
    /// The agent is told what is known.
    Report,
    /// It is run again, and the result says so.
    Retry,
    /// The turn fails.
    Fail,
}
