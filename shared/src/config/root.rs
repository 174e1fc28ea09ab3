//! The root of the file: its keys before the first section, and its sections.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use super::{
    choice::LogFormat,
    environment::Environment,
    reader::Reader,
    sections::{
        Agents, Budget, Docker, Fd, Http, HttpTls, KeyPlaces, Limits, Model, ON_LOST, Spool, Ssh,
        Store, Supervisor, Tools, Workplace,
    },
    table::{Section, section},
};

section! {
    /// Addresses, folders and the log.
    Config(reader, path, environment: &Environment) at "" {
        /// Where HTTP is served; with port 0 the kernel chooses one, and `evonic status` shows it.
        /// An address that other machines reach needs `http.tls`, or `http.trusted_proxies`.
        listen: SocketAddr = is("127.0.0.1:8420"), from "EVONIC_LISTEN";
        /// Database, history, post-mortems, the local workplace.
        state_dir: PathBuf = computed(
            "`$STATE_DIRECTORY`, else for root `/var/lib/evonic`, else `$XDG_STATE_HOME/evonic`, \
             else `~/.local/state/evonic`",
            environment.state_dir()
        ), from "EVONIC_STATE_DIR";
        /// The sockets `supervisor.sock` and `api.sock`.
        runtime_dir: PathBuf = computed(
            "`$RUNTIME_DIRECTORY`, else for root `/run/evonic`, else `$XDG_RUNTIME_DIR/evonic`, \
             else `run` below `state_dir`",
            environment.runtime_dir(&state_dir)
        ), from "EVONIC_RUNTIME_DIR";
        /// What is logged: a level, or levels by target, such as `info` or `evonic=debug,info`.
        log: String = is("info"), from "EVONIC_LOG";
        /// The format of the log. `auto`: journald's fields under systemd, text on a terminal, JSON
        /// elsewhere.
        log_format: LogFormat = is("auto"), from "EVONIC_LOG_FORMAT";
    }
    with {
        /// `[budget]`: the most handles of each kind that the worker holds at once.
        budget: Budget = Budget::read(reader, "budget");
        /// `[fd]`: limits that the supervisor watches.
        fd: Fd = Fd::read(reader, "fd", budget.total());
        /// `[supervisor]`.
        supervisor: Supervisor = Supervisor::read(reader, "supervisor");
        /// `[http]`.
        http: Http = Http::read(reader, "http", supervisor.grace, budget.http);
        /// `[limits]`: requests of one client.
        limits: Limits = Limits::read(reader, "limits");
        /// `[store]`.
        store: Store = Store::read(reader, "store");
        /// `[tools]`.
        tools: Tools = Tools::read(reader, "tools");
        /// `[agents]`.
        agents: Agents = Agents::read(reader, "agents", tools.timeout);
        /// `[workplace]`: the local workplace.
        workplace: Workplace = Workplace::read(reader, "workplace", &state_dir);
        /// `[spool]`: records of running commands.
        spool: Spool = Spool::read(reader, "spool");
        /// `[ssh]`: connections to hosts.
        ssh: Ssh = Ssh::read(reader, "ssh");
        /// `[docker]`: engines and containers.
        docker: Docker = Docker::read(reader, "docker");
        /// `[models.NAME]`. `runbook` is always there and cannot be configured.
        models: BTreeMap<String, Model> = models(reader);
    }
}

/// Every section, in the order in which they are documented.
pub(super) const SECTIONS: &[Section] = &[
    Config::SECTION,
    Budget::SECTION,
    Fd::SECTION,
    Supervisor::SECTION,
    Http::SECTION,
    HttpTls::SECTION,
    Limits::SECTION,
    Store::SECTION,
    Agents::SECTION,
    Tools::SECTION,
    ON_LOST,
    Workplace::SECTION,
    Spool::SECTION,
    Ssh::SECTION,
    Docker::SECTION,
    Model::SECTION,
    KeyPlaces::SECTION,
];

fn models(reader: &mut Reader<'_>) -> BTreeMap<String, Model> {
    let named = reader.named("models");
    named.into_iter().map(|(path, name)| (name, Model::read(reader, &path))).collect()
}
