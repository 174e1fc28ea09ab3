//! Workplaces: local, over SSH, in containers.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::config::{
    choice::{CommandNetwork, Sandbox},
    paths::FolderAccess,
    table::section,
};

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
        /// Retries of a transient failure. Permanent ones are never retried.
        retries: u32 = is(4), within 0 to 100;
        /// The first delay of a retry; it doubles, with jitter.
        backoff_base: Duration = is("250ms"), within "1ms" to "1m";
        /// The longest delay.
        backoff_cap: Duration = is("10s"), within "1ms" to "1h";
        /// Consecutive transient failures after which a host is not tried for a while (circuit
        /// breaker).
        breaker_failures: u32 = is(5), within 1 to 1000;
        /// How long it is not tried.
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
        /// To connect, and to the beginning of a response.
        timeout: Duration = is("30s"), within "100ms" to "1h";
        /// The most running containers of this instance on one engine. At the limit the least
        /// recently used idle one is stopped; a busy one never is.
        containers: u32 = is(16), within 1 to 10000;
        /// A container that nothing used for this long is stopped.
        idle_stop: Duration = is("10m"), within "1s" to "30d";
        /// Between two comparisons of the engine with the container table.
        reconcile_interval: Duration = is("1m"), within "1s" to "1d";
    }
}

section! {
    /// The local workplace: where tools read, write and run commands.
    Workplace(reader, path, state_dir: &Path) at "workplace" {
        /// The folder that agents work in.
        root: PathBuf = computed("`workplace` below `state_dir`", state_dir.join("workplace"));
        /// Whether file tools stay below the root.
        confined: bool = is(true);
        /// What keeps commands inside; see `docs/security.md`. `"auto"` takes the best that the
        /// machine can do, and `evonic doctor` says which that is. What is set never falls back:
        /// where it cannot be had, commands are refused.
        sandbox: Sandbox = computed(
            "`\"auto\"`, or `\"none\"` where `workplace.confined` is `false`",
            if confined { Sandbox::Auto } else { Sandbox::None }
        );
        /// The network of commands. `"none"` needs namespaces.
        network: CommandNetwork = is("host");
        /// Folders beside the root and the system's that commands may read and execute: `"/opt/go"`;
        /// with `:rw` at the end, write too: `"/var/cache/build:rw"`. What is missing is passed over.
        paths: Vec<FolderAccess> = is([]);
        /// Who commands are when the service runs as root: a name, or `"UID:GID"`; `"root"` only
        /// when said so.
        user: Option<String> = absent("`evonic-agent`, else 65534; the service's own where it is not root");
        /// The most processes and threads of the service's user while a command runs, those of the
        /// service among them. Does not hold for root.
        max_processes: u32 = is(4096), within 64 to 4194304;
        /// The most writable memory of one process of a command.
        max_memory_bytes: u64 = is(8589934592), within 67108864 to 9223372036854775807;
        /// The largest file that a command may write.
        max_file_bytes: u64 = is(17179869184), within 1048576 to 9223372036854775807;
        /// The most open files of one process of a command.
        max_open_files: u32 = is(4096), within 64 to 1048576;
        /// The most processor time of one process of a command.
        max_cpu_time: Option<Duration> = absent("no limit but the command's own time"),
            within "1s" to "1year";
    }
}
