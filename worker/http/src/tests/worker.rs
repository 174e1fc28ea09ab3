//! A whole worker behind the server: real store, real agents, the runbook as model.

use std::{
    io::{Read, Write},
    ops::Deref,
    sync::Arc,
    time::{Duration, Instant},
};

use evonic_shared::{config::Config, kind::Kind};
use serde_json::{Value, json};

use super::{
    client::{Client, Reply},
    test_server::{Parts, TestServer},
};
use crate::{App, Server};
use evonic_agent::{AgentDeps, Agents, Generation, generations_folder};
use evonic_domain::{Origin, Scope, Token};
use evonic_model::Models;
use evonic_store::{KeyRow, Limiter, Store};
use evonic_tools::{Registry, Toolboxes};
use evonic_workplace::Workplaces;

/// A running worker.
pub(super) struct Worker {
    server: TestServer,
    store: Option<Store>,
}

impl Deref for Worker {
    type Target = TestServer;

    fn deref(&self) -> &TestServer {
        &self.server
    }
}

impl Worker {
    pub(super) fn new(adjust: impl FnOnce(&mut Config)) -> Self {
        let mut store = None;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut server = TestServer::open(listener, adjust, |parts| {
            let (server, opened) = start(parts);
            store = Some(opened);
            server
        });
        let token = Token::random().unwrap();
        server.key = Some(token.reveal().to_owned());
        let admin = KeyRow {
            id: token.id().clone(),
            name: "admin".parse().unwrap(),
            hash: token.hash(),
            scope: Scope::Admin,
            agents: None,
            expires_in: None,
        };
        let make = store
            .as_ref()
            .unwrap()
            .change(Origin::inside(), move |writer| writer.create_key(admin));
        server.runtime.block_on(make).unwrap();
        Self { server, store }
    }

    pub(super) fn plain() -> Self {
        Self::new(|_| {})
    }

    /// A worker whose requests come from another machine, through a proxy of this one.
    pub(super) fn behind_proxy(adjust: impl FnOnce(&mut Config)) -> Self {
        const SECRET: &str = "a-secret-of-the-proxies";
        let mut worker = Self::new(|config| {
            let file = config.state_dir.join("proxy-secret");
            std::fs::write(&file, SECRET).unwrap();
            config.http.proxy_secret_file = Some(file);
            config.http.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
            adjust(config);
        });
        worker.server.headers =
            format!("x-forwarded-for: 198.51.100.7\r\nx-evonic-proxy-secret: {SECRET}\r\n");
        worker
    }

    /// The folder of the local workplace.
    pub(super) fn root(&self) -> std::path::PathBuf {
        self.socket.with_file_name("workplace")
    }

    /// An agent with the runbook.
    pub(super) fn agent(&self, name: &str) -> Value {
        self.post("/api/v1/agents", &json!({ "name": name, "model": "runbook" })).created()
    }

    /// A session with a new agent of this name.
    pub(super) fn session(&self, agent: &str) -> String {
        self.agent(agent);
        let session = self.post("/api/v1/sessions", &json!({ "agent": agent })).created();
        session["id"].as_str().unwrap().to_owned()
    }

    /// Posts a message; returns the id of its turn.
    pub(super) fn say(&self, session: &str, content: &str) -> String {
        let path = format!("/api/v1/sessions/{session}/messages");
        let reply = self.post(&path, &json!({ "content": content }));
        assert_eq!(reply.status, 202, "{reply:?}");
        reply.json()["turn"]["id"].as_str().unwrap().to_owned()
    }

    /// Deletes a session as another worker does: unknown to this one's routes.
    pub(super) fn delete_behind_its_back(&self, session: &str) {
        let id = session.parse().unwrap();
        let delete = self
            .store
            .as_ref()
            .unwrap()
            .change(Origin::inside(), move |writer| writer.delete_session(&id));
        self.runtime.block_on(delete).unwrap();
    }

    /// A key that may read, good for so long; its identifier and itself.
    pub(super) fn new_key(&self, expires_in: Option<Duration>) -> (String, String) {
        let mut body = json!({ "name": "reader", "scope": "read" });
        if let Some(time) = expires_in {
            body["expires_in_seconds"] = time.as_secs().into();
        }
        let key = self.post("/api/v1/keys", &body).created();
        let text = |field: &str| key[field].as_str().unwrap().to_owned();
        (text("id"), text("secret"))
    }

    /// Revokes a key as another worker does.
    pub(super) fn revoke_behind_its_back(&self, id: &str) {
        let id = id.to_owned();
        let store = self.store.as_ref().unwrap();
        let revoke = store.change(Origin::inside(), move |writer| writer.revoke_key(&id));
        self.runtime.block_on(revoke).unwrap();
    }

    /// The turn once it has ended.
    pub(super) fn ended(&self, turn: &str) -> Value {
        self.fetch(&format!("/api/v1/turns/{turn}?wait=30")).json()
    }

    pub(super) fn fetch(&self, path: &str) -> Reply {
        self.connect().ask(self.get(path))
    }

    /// The status only: a stream has no end.
    pub(super) fn fetch_head(&self, path: &str) -> u16 {
        let mut client = self.connect();
        client.send(self.get(path));
        client.head().unwrap().status
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, body)
    }

    pub(super) fn send(&self, method: &str, path: &str, body: &Value) -> Reply {
        self.connect().ask(self.request(method, path, "", &body.to_string()))
    }

    pub(super) fn delete(&self, path: &str) -> Reply {
        self.connect().ask(format!("{}\r\n", self.head("DELETE", path)))
    }

    /// A request with a JSON body and further header lines.
    pub(super) fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let head = self.head(method, path);
        let length = body.len();
        format!(
            "{head}content-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n\
             {body}"
        )
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(store) = self.store.take() {
            let _within = self.server.runtime.enter();
            store.close();
        }
    }
}

impl Reply {
    /// The body of a 201.
    pub(super) fn created(&self) -> Value {
        assert_eq!(self.status, 201, "{self:?}");
        let body = self.json();
        let location = self.header("location").unwrap();
        assert!(location.ends_with(body["id"].as_str().unwrap()), "{location}");
        body
    }
}

/// Everything of an event stream until the server ends it.
pub(super) fn whole<S: Read + Write>(client: &mut Client<S>) -> String {
    let mut text = Vec::new();
    while let Some(piece) = client.chunk().unwrap() {
        text.extend(piece);
    }
    String::from_utf8(text).unwrap()
}

fn start(parts: Parts) -> (Server, Store) {
    let Parts { config, budget, listeners } = parts;
    let limiter = config
        .limits
        .enabled
        .then(|| Limiter::open(&config.state_dir.join("limits.db"), &budget).unwrap());
    let store =
        Store::open(&config.state_dir.join("evonic.db"), &config.store, budget.clone()).unwrap();
    let models = Models::new(&config.models, &budget);
    let config = Arc::new(config);
    let workplaces = Workplaces::start(evonic_workplace::BackendDeps {
        config: Arc::clone(&config),
        budget: budget.clone(),
        store: store.clone(),
        instance: "test".to_owned(),
    })
    .unwrap();
    let tools = Registry::new(&config.tools);
    let deps = AgentDeps {
        store: store.clone(),
        models: models.clone(),
        tools: Toolboxes::new(workplaces.clone(), store.clone(), tools.clone()),
        settings: config.agents.clone(),
        model_handles: budget.limit(Kind::Model),
        file_handles: budget.limit(Kind::File),
        keep_unused: config.attachments.keep_unused,
    };
    let locks = generations_folder(&config.state_dir);
    std::fs::create_dir(&locks).unwrap();
    let register = store.write(|writer| writer.register_generation(1, std::process::id()));
    let number = tokio::runtime::Handle::current().block_on(register).unwrap();
    let generation = Generation::lock(&locks, number).unwrap();
    let agents = Agents::start(deps, generation, None);
    let app = App {
        store: store.clone(),
        limiter,
        agents,
        models,
        tools,
        outbound: evonic_net::outbound::Outbound::new(&config.outbound, budget.clone()),
        budget,
        config,
        workplaces,
        supervision: Default::default(),
        generation: number,
        started: Instant::now(),
    };
    (Server::start(app, listeners).unwrap(), store)
}
