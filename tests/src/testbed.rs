//! A pair with workplaces on a real sshd and a real Docker engine.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use evonic_parts::{Account, Engine, Sshd};
use serde_json::{Value, json};

use crate::{
    pair::{Options, Pair},
    poll,
};

/// Keys under which connections are closed soon and failures are not waited out.
pub const QUICK_CLOSE: &str = "[ssh]\nidle_timeout = \"300ms\"\n";

/// The settings of an SSH workplace: this user of this server.
#[must_use]
pub fn ssh_settings(server: &Sshd, account: &Account) -> Value {
    json!({
        "host": "127.0.0.1",
        "port": server.port(),
        "user": account.name,
        "authenticate": ["key"],
        "identity_files": [account.key],
        "known_hosts": server.known_hosts(),
    })
}

/// The settings of a Docker workplace on this engine, with its test image.
#[must_use]
pub fn docker_settings(engine: &Engine) -> Value {
    json!({"engine": engine.address(), "image": "evonic-test:latest"})
}

/// Names of a pair's containers, by the engine.
///
/// # Panics
/// When the engine or the database cannot be asked.
#[must_use]
pub fn containers(engine: &Engine, pair: &Pair) -> BTreeSet<String> {
    let instance: String = read_database(pair)
        .query_row("SELECT id FROM instance", [], |row| row.get(0))
        .expect("the instance has an identifier");
    let label = format!("label=evonic.instance={instance}");
    let listed = engine.docker(&["ps", "-a", "--filter", &label, "--format", "{{.Names}}"]);
    listed.lines().map(str::to_owned).collect()
}

/// A pair's database, to be read beside its worker.
///
/// # Panics
/// When it cannot be opened.
#[must_use]
pub fn read_database(pair: &Pair) -> rusqlite::Connection {
    rusqlite::Connection::open_with_flags(
        pair.state_dir().join("evonic.db"),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
    )
    .expect("the database")
}

/// A pair with what its workplaces need. The pair stops first.
pub struct Testbed {
    /// The pair.
    pub pair: Pair,
    /// The server of `ssh` workplaces.
    pub server: Option<Sshd>,
    /// The engine of `docker` workplaces.
    pub engine: Option<Arc<Engine>>,
}

impl Testbed {
    /// A pair alone.
    #[must_use]
    pub fn local(options: &Options) -> Self {
        Self { pair: Pair::start(options), server: None, engine: None }
    }

    /// A pair, and the workplace and agent `ssh` of a user whose home is elsewhere.
    #[must_use]
    pub fn ssh(options: &Options) -> (Self, Account) {
        let server = Sshd::start();
        let account = server.account("/bin/bash", "home of the agent");
        let testbed = Self { pair: Pair::start(options), server: None, engine: None };
        testbed.workplace("ssh", "ssh", &ssh_settings(&server, &account));
        (Self { server: Some(server), ..testbed }, account)
    }

    /// A pair, and the workplace and agent `docker` on the engine that tests share.
    #[must_use]
    pub fn docker(options: &Options) -> Self {
        Self::docker_on(Engine::shared(), options)
    }

    /// A pair, and the workplace and agent `docker` on an engine that the test may stop.
    #[must_use]
    pub fn docker_on_own_engine(options: &Options) -> Self {
        let engine = Engine::start();
        engine.make_image();
        Self::docker_on(Arc::new(engine), options)
    }

    fn docker_on(engine: Arc<Engine>, options: &Options) -> Self {
        let testbed = Self { pair: Pair::start(options), server: None, engine: None };
        testbed.workplace("docker", "docker", &docker_settings(&engine));
        Self { engine: Some(engine), ..testbed }
    }

    /// A pair, and all three kinds: the agents `runbook` (local), `ssh` and `docker`.
    #[must_use]
    pub fn whole(options: &Options) -> (Self, Account) {
        let (testbed, account) = Self::ssh(options);
        let engine = Engine::shared();
        testbed.workplace("docker", "docker", &docker_settings(&engine));
        (Self { engine: Some(engine), ..testbed }, account)
    }

    /// The engine, which is this test's own.
    ///
    /// # Panics
    /// When there is none, or others share it.
    pub fn own_engine(&mut self) -> &mut Engine {
        let engine = self.engine.as_mut().expect("an engine");
        Arc::get_mut(engine).expect("nobody shares the engine")
    }

    /// Names of this pair's containers, by the engine.
    ///
    /// # Panics
    /// When there is no engine, or it does not answer.
    #[must_use]
    pub fn containers(&self) -> BTreeSet<String> {
        let engine = self.engine.as_ref().expect("an engine");
        containers(engine, &self.pair)
    }

    /// Makes a workplace, and an agent of the same name with the runbook model that acts there.
    pub fn workplace(&self, name: &str, kind: &str, settings: &Value) {
        let new = json!({"name": name, "kind": kind, "settings": settings});
        let _made = self.pair.expect(201, "POST", "/api/v1/workplaces", Some(&new));
        let agent = json!({"name": name, "model": "runbook", "workplace": name});
        let _made = self.pair.expect(201, "POST", "/api/v1/agents", Some(&agent));
    }

    /// Runs a runbook by an agent in a new session, to its end; what happened.
    #[must_use]
    pub fn run(&self, agent: &str, runbook: &str) -> Ran {
        let session = self.pair.session(agent);
        self.run_in(&session, runbook)
    }

    /// Runs a runbook in a session, to its end; what happened in it.
    #[must_use]
    pub fn run_in(&self, session: &str, runbook: &str) -> Ran {
        let turn = self.pair.post(session, runbook);
        let ended = self.pair.wait_for_turn(&turn);
        Ran { ended, events: self.events(session, &turn) }
    }

    /// The events of a turn, as the database has them.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn events(&self, session: &str, turn: &str) -> Vec<Value> {
        let database = read_database(&self.pair);
        let mut query = database
            .prepare("SELECT data FROM events WHERE session_id = ?1 ORDER BY sequence")
            .expect("a query");
        let rows = query.query_map([session], |row| row.get::<_, String>(0)).expect("rows");
        rows.map(|row| serde_json::from_str::<Value>(&row.expect("a row")).expect("JSON"))
            .filter(|event| event["turn_id"] == turn)
            .collect()
    }

    /// The worker's descriptors but SQLite's, and those it accounts to workplaces, once both
    /// stand still. SQLite keeps one or two more parked, or not, as its handles came and went.
    #[must_use]
    pub fn settled(&self) -> (u32, BTreeMap<String, u32>) {
        let look = || {
            let fd = self.pair.status().worker.expect("a worker").fd;
            let sqlite = fd.owned.get("sqlite").copied().unwrap_or(0);
            let mut owned = fd.owned;
            owned.retain(|kind, _| matches!(kind.as_str(), "ssh" | "docker" | "child" | "file"));
            (fd.open - sqlite, owned)
        };
        let mut last = (look(), Instant::now());
        poll::until("the descriptors stand still", Duration::from_secs(60), look, move |now| {
            if *now != last.0 {
                last = (now.clone(), Instant::now());
            }
            let quiet = now.1.values().all(|&owned| owned == 0);
            // Longer than the longest pause between two counts.
            (quiet && last.1.elapsed() > Duration::from_secs(3)).then(|| now.clone())
        })
    }
}

/// A turn that ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The turn.
    pub ended: Value,
    /// Its events.
    pub events: Vec<Value>,
}

impl Ran {
    /// Whether the turn completed.
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.ended["state"] == "completed"
    }

    /// What its tools showed while they ran, as one text.
    #[must_use]
    pub fn output(&self) -> String {
        self.of("tool.output", "text").concat()
    }

    /// The results of its tools: outcome and content.
    #[must_use]
    pub fn results(&self) -> Vec<(String, String)> {
        let outcomes = self.of("tool.completed", "outcome");
        outcomes.into_iter().zip(self.of("tool.completed", "content")).collect()
    }

    fn of(&self, kind: &str, field: &str) -> Vec<String> {
        let events = self.events.iter().filter(|event| event["type"] == kind);
        events.map(|event| event[field].as_str().unwrap_or_default().to_owned()).collect()
    }
}
