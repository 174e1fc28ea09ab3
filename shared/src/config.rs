//! The configuration file that both processes read.
//!
//! One TOML file: `--config`, else `$EVONIC_CONFIG`, else `./evonic.toml`, else
//! `/etc/evonic/evonic.toml`, else defaults. Every key has a default, but for a model's two
//! required ones. [`load()`] finds the file and reads it through the caller's function (`shared`
//! performs no I/O); [`Config::resolve`] takes the text and the environment and reports all faults
//! at once, each with file, line, key and what to do.
//!
//! Each key is written once, in a `section!` of this file or of `sections.rs`: its field,
//! documentation, default, bounds and variable come from the same line.

mod choice;
mod document;
mod environment;
mod fault;
mod load;
mod markdown;
mod nearest;
mod network;
mod quota;
mod reader;
mod rules;
mod sections;
mod setting;
mod table;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Serialize, Serializer, ser::SerializeStruct};

pub use choice::{ForwardedHeader, LogFormat};
pub use environment::Environment;
pub use fault::{Fault, Faults, Origin};
pub use load::{DEFAULT_FILES, FILE_VARIABLE, LoadError, load};
pub use markdown::markdown;
pub use network::Network;
pub use quota::Quota;
pub use sections::{
    Agents, Budget, Docker, Fd, Http, HttpTls, KeySource, Limits, Lost, OpenAi,
    RUNTIME_DESCRIPTORS, Spool, Ssh, Store, Supervisor, Tools, Workplace,
};

use document::Document;
use reader::Reader;
use sections::{KeyPlaces, ON_LOST};
use table::{Section, section};

section! {
    /// Places.
    Config(reader, path, environment: &Environment) at "" {
        /// Where HTTP is served; port 0 lets the kernel choose, and `evonic status` tells what it
        /// chose. An address that other machines reach needs `http.tls`, or `http.trusted_proxies`.
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
        /// The form of the log. `auto`: journald's fields under systemd, text on a terminal, JSON
        /// elsewhere.
        log_format: LogFormat = is("auto"), from "EVONIC_LOG_FORMAT";
    }
    with {
        /// `[budget]`: the most handles of each kind that the worker holds at once.
        budget: Budget = Budget::read(reader, "budget");
        /// `[fd]`: lines that the supervisor watches.
        fd: Fd = Fd::read(reader, "fd", budget.total());
        /// `[supervisor]`.
        supervisor: Supervisor = Supervisor::read(reader, "supervisor");
        /// `[http]`.
        http: Http = Http::read(reader, "http", supervisor.grace);
        /// `[limits]`: requests of one client.
        limits: Limits = Limits::read(reader, "limits");
        /// `[store]`.
        store: Store = Store::read(reader, "store", supervisor.heartbeat_timeout);
        /// `[agents]`.
        agents: Agents = Agents::read(reader, "agents");
        /// `[tools]`.
        tools: Tools = Tools::read(reader, "tools");
        /// `[workplace]`: the local workplace.
        workplace: Workplace = Workplace::read(reader, "workplace", &state_dir);
        /// `[spool]`: records of running commands.
        spool: Spool = Spool::read(reader, "spool");
        /// `[ssh]`: connections to hosts.
        ssh: Ssh = Ssh::read(reader, "ssh");
        /// `[docker]`: engines and containers.
        docker: Docker = Docker::read(reader, "docker");
        /// `[models.NAME]`. `runbook` is always there and cannot be configured.
        models: BTreeMap<String, OpenAi> = models(reader);
    }
}

/// Every section, in the order in which they are documented.
const SECTIONS: &[Section] = &[
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
    OpenAi::SECTION,
    KeyPlaces::SECTION,
];

fn models(reader: &mut Reader<'_>) -> BTreeMap<String, OpenAi> {
    let named = reader.named("models");
    named.into_iter().map(|(path, name)| (name, OpenAi::read(reader, &path))).collect()
}

/// A configuration, and where each of its values comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The values.
    pub config: Config,
    /// Every key, with its value and origin.
    pub entries: Vec<Entry>,
    /// The file that was read; none when only defaults and variables hold.
    pub file: Option<PathBuf>,
}

/// One key of a resolved configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its whole path: `fd.threshold`, `models.gpt.base_url`.
    pub key: String,
    /// Its value as TOML; none where it is absent and means something by that.
    pub value: Option<String>,
    /// Where the value comes from.
    pub origin: Origin,
}

/// `key`, `value` as the JSON that corresponds to its TOML, and `origin` in words.
impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = self
            .value
            .as_ref()
            .map(|text| text.parse::<toml::Value>().expect("values are written as TOML"));
        let mut entry = serializer.serialize_struct("Entry", 3)?;
        entry.serialize_field("key", &self.key)?;
        entry.serialize_field("value", &value)?;
        entry.serialize_field("origin", &self.origin)?;
        entry.end()
    }
}

impl Config {
    /// Resolves the text of a file, named so that faults can name it, and the environment.
    ///
    /// # Errors
    /// [`Faults`]: everything that is wrong with them.
    pub fn resolve(
        file: Option<(&Path, &str)>,
        environment: &Environment,
    ) -> Result<Resolved, Faults> {
        let document =
            file.map(|(path, text)| Document::parse(path, text, SECTIONS)).unwrap_or_default();
        let path = file.map(|(path, _)| path);
        let mut reader = Reader::new(document, path, environment);
        let config = Self::read(&mut reader, "", environment);
        rules::check(&config, &mut reader);
        let entries = reader.finish().map_err(Faults)?;
        Ok(Resolved { config, entries, file: path.map(Path::to_owned) })
    }

    /// Every default, with these folders.
    #[must_use]
    pub fn defaults(state_dir: PathBuf, runtime_dir: PathBuf) -> Self {
        let environment = Environment::default();
        let mut reader = Reader::new(Document::default(), None, &environment);
        let workplace = Workplace::read(&mut reader, "workplace", &state_dir);
        let defaults = Self::read(&mut reader, "", &environment);
        Self { state_dir, runtime_dir, workplace, ..defaults }
    }

    /// The soft `RLIMIT_NOFILE` of a worker where the hard one is `hard`: `fd.limit`, or less.
    ///
    /// # Errors
    /// A [`Fault`] when that does not leave room above `fd.ceiling`: a leak would meet the limit
    /// before it meets the supervisor.
    pub fn fits_limit(&self, hard: u64) -> Result<u32, Fault> {
        let limit = u32::try_from(hard).unwrap_or(u32::MAX).min(self.fd.limit);
        let Fd { ceiling, threshold, .. } = self.fd;
        if limit > ceiling {
            return Ok(limit);
        }
        let budget = self.budget.total();
        Err(Fault {
            origin: Origin::Default,
            key: Some("fd.ceiling".to_owned()),
            problem: format!(
                "the hard limit of open files is {hard}, which is not above the ceiling of {ceiling} \
                 (threshold {threshold}, [budget] and runtime {budget})"
            ),
            advice: format!(
                "raise the limit to at least {} (`LimitNOFILE=` of the unit, `ulimit -Hn` of a \
                 shell, `nofile` in /etc/security/limits.conf), or lower fd.ceiling below {hard}, \
                 with fd.threshold and [budget] below that",
                u64::from(ceiling) + 1
            ),
        })
    }
}
