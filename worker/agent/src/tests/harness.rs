//! A store with a workplace, and workers that run its turns.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use evonic_shared::{
    config::{Config, Environment, Model},
    kind::Kind,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::Runtime,
    task::JoinSet,
};

use crate::{AgentDeps, Agents, Generation};
use evonic_domain::{
    Compaction, Event, Item, Lease, NewAgent, NewSession, Origin, SessionId, Turn, TurnId,
};
use evonic_handles::{Budget, Page};
use evonic_model::Models;
use evonic_store::{AfterPage, AuditedWriter, Claimed, Paging, Store, StoreError, Writer};
use evonic_tools::{Registry, Toolboxes};
use evonic_workplace::{BackendDeps, Workplaces};

/// The state that workers share.
pub(super) struct Harness {
    pub(super) store: Store,
    pub(super) config: Config,
    pub(super) runtime: Runtime,
    /// Makes the tools of workers from those that come with them.
    pub(super) registry: fn(Registry) -> Registry,
    budget: Budget,
    folder: evonic_parts::Folder,
}

impl Harness {
    pub(super) fn open() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(adjust: impl FnOnce(&mut Config)) -> Self {
        let folder = evonic_parts::Folder::new().unwrap();
        let mut config = Config::defaults(folder.path().into(), folder.path().into());
        config.workplace.root = folder.path().join("workplace");
        adjust(&mut config);
        let budget = Budget::new(&config.budget, Page::private().unwrap(), config.fd.threshold);
        let path = folder.path().join("evonic.db");
        let store = Store::open(&path, &config.store, budget.clone()).unwrap();
        std::fs::create_dir(folder.path().join("generations")).unwrap();
        let runtime = runtime();
        Self { store, config, runtime, registry: |registry| registry, budget, folder }
    }

    pub(super) fn locks(&self) -> PathBuf {
        self.folder.path().join("generations")
    }

    pub(super) fn database(&self) -> PathBuf {
        self.folder.path().join("evonic.db")
    }

    pub(super) fn workplace(&self, path: &str) -> PathBuf {
        self.config.workplace.root.join(path)
    }

    /// A worker of this generation.
    pub(super) fn worker(&self, generation: u64, predecessor: Option<u64>) -> Worker {
        let runtime = runtime();
        let parts = BackendDeps {
            config: Arc::new(self.config.clone()),
            budget: self.budget.clone(),
            store: self.store.clone(),
            instance: "0".repeat(32),
        };
        let workplaces = {
            let _inside = runtime.enter();
            Workplaces::start(parts).unwrap()
        };
        let deps = AgentDeps {
            store: self.store.clone(),
            models: Models::new(&self.config.models, &self.budget),
            tools: Toolboxes::new(
                workplaces,
                self.store.clone(),
                (self.registry)(Registry::new(&self.config.tools)),
            ),
            settings: self.config.agents.clone(),
            model_handles: self.budget.limit(Kind::Model),
            file_handles: self.budget.limit(Kind::File),
            keep_unused: self.config.attachments.keep_unused,
        };
        let generation = self.lock(generation);
        let agents = {
            let _inside = runtime.enter();
            Agents::start(deps, generation, predecessor)
        };
        Worker { agents, runtime }
    }

    /// A generation's lock. A child that another test starts just now may have its predecessor's
    /// for a moment: descriptors close when a program is executed, not when the process is made.
    pub(super) fn lock(&self, generation: u64) -> Generation {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match Generation::lock(&self.locks(), generation) {
                Ok(generation) => return generation,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            self.pause(Duration::from_millis(2));
        }
    }

    pub(super) fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut AuditedWriter<'_, '_>) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.runtime.block_on(self.store.change(Origin::inside(), write)).unwrap()
    }

    /// A session with a new agent of this model.
    pub(super) fn session(&self, model: &str, tools: Option<&[&str]>) -> SessionId {
        let new = NewAgent {
            name: format!("a{}", uuid::Uuid::now_v7().simple()).parse().unwrap(),
            model: model.to_owned(),
            instructions: String::new(),
            tools: tools.map(|tools| tools.iter().map(|&tool| tool.to_owned()).collect()),
            workplace: "local".to_owned(),
            other_workplaces: Vec::new(),
            retention: None,
        };
        self.write(move |writer| {
            let agent = writer.create_agent(new)?.id.to_string();
            Ok(writer.create_session(NewSession { agent, title: String::new() })?.id)
        })
    }

    /// Queues a turn.
    pub(super) fn post(&self, session: &SessionId, content: &str) -> TurnId {
        let (session, content) = (session.clone(), content.to_owned());
        self.write(move |writer| {
            Ok(writer.post_message(&session, &content, None, 100, None)?.turn.id)
        })
    }

    /// Queues a turn as this caller.
    pub(super) fn post_as(&self, caller: &str, session: &SessionId, content: &str) -> TurnId {
        let origin = Origin { actor: caller.to_owned(), ..Origin::inside() };
        let (session, content) = (session.clone(), content.to_owned());
        let post = self.store.change(origin, move |writer| {
            Ok(writer.post_message(&session, &content, None, 100, None)?.turn.id)
        });
        self.runtime.block_on(post).unwrap()
    }

    /// Queues a turn that a worker that does not exist has claimed before any other could.
    pub(super) fn post_to_another(
        &self,
        generation: u64,
        session: &SessionId,
        content: &str,
    ) -> TurnId {
        let (session, content) = (session.clone(), content.to_owned());
        self.write(move |writer| {
            let turn = writer.post_message(&session, &content, None, 100, None)?.turn.id;
            let claimed = claim_oldest(writer, generation)?;
            assert_eq!(claimed.turn.id, turn);
            Ok(turn)
        })
    }

    /// Queues a turn of a new runbook agent.
    pub(super) fn runbook(&self, content: &str) -> (SessionId, TurnId) {
        let session = self.session("runbook", None);
        let turn = self.post(&session, content);
        (session, turn)
    }

    /// Claims the next turn for a worker that does not exist, and lets it do something with it.
    pub(super) fn as_another<T: Send + 'static>(
        &self,
        generation: u64,
        act: impl FnOnce(&mut AuditedWriter<'_, '_>, &Lease) -> Result<T, StoreError> + Send + 'static,
    ) -> (Claimed, T) {
        self.write(move |writer| {
            let claimed = claim_oldest(writer, generation)?;
            let done = act(writer, &claimed.lease)?;
            Ok((claimed, done))
        })
    }

    pub(super) fn turn(&self, turn: &TurnId) -> Turn {
        let turn = turn.clone();
        self.runtime.block_on(self.store.read(move |reader| reader.turn(&turn))).unwrap()
    }

    pub(super) fn items(&self, turn: &TurnId) -> Vec<Item> {
        let turn = turn.clone();
        self.runtime.block_on(self.store.read(move |reader| reader.transcript(&turn))).unwrap()
    }

    /// Results of calls, in order: outcome and content.
    pub(super) fn results(&self, turn: &TurnId) -> Vec<(&'static str, String)> {
        let result = |item| match item {
            Item::ToolResult { outcome, content, .. } => Some((outcome.name(), content)),
            _ => None,
        };
        self.items(turn).into_iter().filter_map(result).collect()
    }

    /// Compactions of a session, oldest first.
    pub(super) fn compactions(&self, session: &SessionId) -> Vec<Compaction> {
        let (session, paging) = (session.clone(), Paging { limit: 200, after: None });
        let read = self.store.read(move |reader| reader.compactions(&session, &paging));
        self.runtime.block_on(read).unwrap().data
    }

    pub(super) fn events(&self, session: &SessionId) -> Vec<Event> {
        let session = session.clone();
        let read =
            self.store.read(move |reader| reader.event_page(&session, 0, 10_000, usize::MAX));
        let page = self.runtime.block_on(read).unwrap();
        assert_eq!(page.next, AfterPage::End, "the log is longer than a test reads");
        page.events
    }

    pub(super) fn event_names(&self, session: &SessionId) -> Vec<String> {
        self.events(session).into_iter().map(|event| event.name).collect()
    }

    /// Everything that a session's calls showed while they ran.
    pub(super) fn shown(&self, session: &SessionId) -> String {
        let text = |event: Event| {
            let data: serde_json::Value = serde_json::from_str(&event.data).unwrap();
            (event.name == "tool.output").then(|| data["text"].as_str().unwrap().to_owned())
        };
        self.events(session).into_iter().filter_map(text).collect()
    }

    /// Waits until the turn has ended.
    pub(super) fn ended(&self, turn: &TurnId) -> Turn {
        self.until("the turn's end", || self.turn(turn), |turn| turn.state.is_ended())
    }

    /// Waits until the session's log has an event of this name.
    pub(super) fn said(&self, session: &SessionId, name: &str) {
        let happened = |events: &Vec<String>| events.iter().any(|event| event == name);
        self.until(name, || self.event_names(session), happened);
    }

    /// Polls until it holds.
    pub(super) fn until<T: std::fmt::Debug>(
        &self,
        what: &str,
        mut state: impl FnMut() -> T,
        holds: impl Fn(&T) -> bool,
    ) -> T {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let now = state();
            if holds(&now) {
                return now;
            }
            assert!(Instant::now() < deadline, "no {what} within 20 s: {now:#?}");
            self.pause(Duration::from_millis(2));
        }
    }

    /// Lets time go by in which something must not happen.
    pub(super) fn pause(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    /// Lines of a file of the workplace; none while there is no file.
    pub(super) fn lines(&self, path: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.workplace(path)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The process whose own number a command wrote into a file of the workplace.
    pub(super) fn pid(&self, path: &str) -> u32 {
        let pid = || {
            let own = self.lines(path).first()?.parse().ok()?;
            evonic_local::fixture::outside(own, &self.workplace(""))
        };
        self.until("process", pid, Option::is_some).expect("it is there")
    }

    /// Waits until a process is gone.
    pub(super) fn dead(&self, pid: u32) {
        let alive = || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
            status.is_ok_and(|status| !status.contains("State:\tZ"))
        };
        self.until("end of the process", alive, |&alive| !alive);
    }
}

fn claim_oldest(writer: &mut Writer<'_>, generation: u64) -> Result<Claimed, StoreError> {
    let waiting = writer.waiting_turns()?.into_iter();
    let oldest = waiting.min_by_key(|turn| turn.position).expect("a turn is queued");
    writer.claim_turn(generation, &oldest.turn_id)
}

/// A worker, as far as turns go. Dropped, it is dead: its lock is free.
pub(super) struct Worker {
    pub(super) agents: Agents,
    pub(super) runtime: Runtime,
}

impl Worker {
    pub(super) fn drain(&self, timeout: Duration) -> (usize, usize) {
        self.runtime.block_on(self.agents.drain(timeout))
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// An endpoint that answers every request with the same bytes, then waits for its client to leave.
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    _runtime: Runtime,
}

/// The beginning of an answer that never ends.
pub(super) const ENDLESS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n\
     data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Let me think\"}}]}\n\n";

/// An answer that asks for the same call each time.
pub(super) const LOOPS: &str = concat!(
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n",
    r#"data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","function":"#,
    r#"{"name":"list_files","arguments":"{}"}}]}}]}"#,
    "\n\n",
    r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
    "\n\ndata: [DONE]\n\n"
);

impl Endpoint {
    pub(super) fn start(answer: &'static str) -> Self {
        Self::answering(move |_| answer)
    }

    /// One whose answer follows from the beginning of a request.
    pub(super) fn answering(answer: impl Fn(&str) -> &'static str + Copy + Send + 'static) -> Self {
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let _inside = runtime.enter();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut held = JoinSet::new();
            while let Ok((mut socket, _)) = listener.accept().await {
                held.spawn(async move {
                    let mut request = [0; 4096];
                    let read = socket.read(&mut request).await;
                    let begun = String::from_utf8_lossy(&request);
                    let wrote = socket.write_all(answer(&begun).as_bytes()).await;
                    let whole = socket.read_to_end(&mut Vec::new()).await;
                    drop((read, wrote, whole));
                });
            }
        });
        accepting.detach_all();
        drop(_inside);
        Self { address, _runtime: runtime }
    }
}

/// A model at this address, tried once.
pub(super) fn model_at(address: SocketAddr) -> Model {
    let text = format!("[models.m]\nbase_url = \"http://{address}/v1\"\nmodel = \"model\"\n");
    let environment = Environment::new([], 0, PathBuf::from("/"));
    let resolved = Config::resolve(Some((Path::new("test.toml"), &text)), &environment);
    let model = resolved.expect("it is sound").config.models["m"].clone();
    Model { retries: 0, patience: Duration::ZERO, ..model }
}
