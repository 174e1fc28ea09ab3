//! The store on a real file: every test has a database of its own.

mod audit;
mod backup;
mod blobs;
mod budgets;
mod claims;
mod closing;
mod commit;
mod compactions;
mod descriptors;
mod following;
mod foreign;
mod idempotency;
mod interleavings;
mod keys;
mod liveness;
mod metrics;
mod opening;
mod owners;
mod resources;
mod retention;
mod steps;
mod transfer;
mod usage;
mod waits;
mod workplaces;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use evonic_shared::{config, kind::Kind};
use tokio::{
    runtime::Runtime,
    sync::oneshot,
    task::{JoinHandle, JoinSet},
};

use super::*;
use evonic_domain::{
    Agent, AgentChange, Event, EventKind, Item, Lease, NewAgent, NewSession, Outcome, Session,
    SessionChange, ToolCall, Turn, TurnEnd, TurnError, TurnErrorCode, TurnId, TurnState, Usage,
};
use evonic_handles::{self, Page};

/// No test waits longer for anything.
const DEADLINE: Duration = Duration::from_secs(30);

const SETTINGS: config::Store = config::Store {
    busy_timeout: Duration::from_secs(5),
    acquire_timeout: Duration::from_secs(5),
    batch: 256,
    audit_keep: Duration::from_secs(30 * 24 * 3600),
};

/// All of a short list.
const WHOLE: Paging = Paging { limit: 200, after: None };

/// The handles of a harness: the writer's and eight to read with.
const HANDLES: u32 = 9;

/// A store, what it stands on, and a runtime to call it from.
struct Harness {
    store: Store,
    budget: Budget,
    runtime: Runtime,
    path: PathBuf,
    folder: tempfile::TempDir,
}

impl Harness {
    fn new() -> Self {
        Self::with(&SETTINGS, HANDLES)
    }

    fn with(settings: &config::Store, handles: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = path_in(folder.path());
        Self::open(folder, path, settings, handles)
    }

    fn open(
        folder: tempfile::TempDir,
        path: PathBuf,
        settings: &config::Store,
        handles: u32,
    ) -> Self {
        let budget = budget(handles);
        let store = Store::open(&path, settings, budget.clone()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .enable_time()
            .build()
            .unwrap();
        Self { store, budget, runtime, path, folder }
    }

    /// Closes the store and opens its database again.
    fn reopen(&mut self) {
        self.store.clone().close();
        self.store = Store::open(&self.path, &SETTINGS, self.budget.clone()).unwrap();
    }

    /// Adds so many sessions that have the turns of this one, as they wait.
    fn copy_waiting(&self, session: &SessionId, count: u32) {
        let session = session.clone();
        self.write(move |writer| {
            for number in 0..count {
                let copy = format!("ses_{number:032x}");
                writer.execute(
                    "test",
                    "INSERT INTO sessions (id, agent_id, title, last_event, created_at, updated_at)
                     SELECT ?1, agent_id, '', 0, created_at, updated_at FROM sessions
                     WHERE id = ?2",
                    rusqlite::params![copy, session.as_str()],
                )?;
                writer.execute(
                    "test",
                    "INSERT INTO turns (id, session_id, state, steps, cancel_requested,
                         partial_text, input_tokens, output_tokens, created_at, posted_by,
                         agent_id, wait_ends, wait_ms, wait_boot, wait_until, wait_reason,
                         wait_message)
                     SELECT 'trn_' || printf('%04x', position) || substr(?1, 9), ?1, state, steps,
                         cancel_requested, partial_text, 0, 0, created_at, posted_by, agent_id,
                         wait_ends, wait_ms, wait_boot, wait_until, wait_reason, wait_message
                     FROM turns WHERE session_id = ?2",
                    rusqlite::params![copy, session.as_str()],
                )?;
            }
            Ok(())
        });
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { tokio::time::timeout(DEADLINE, future).await }).unwrap()
    }

    fn try_read<T, F>(&self, f: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Reader<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.wait(self.store.read(f))
    }

    fn read<T, F>(&self, f: F) -> T
    where
        T: Send + 'static,
        F: FnOnce(&Reader<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.try_read(f).unwrap()
    }

    fn try_write<T, F>(&self, f: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut AuditedWriter<'_, '_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.wait(self.store.change(Origin::inside(), f))
    }

    fn write<T, F>(&self, f: F) -> T
    where
        T: Send + 'static,
        F: FnOnce(&mut AuditedWriter<'_, '_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.try_write(f).unwrap()
    }

    /// So many days more were seen.
    fn pass_days(&self, count: u32) {
        self.write(move |writer| {
            writer.see_day()?;
            for _ in 0..count {
                writer.execute(
                    "pass a day",
                    "INSERT INTO days (day, uptime, boot, audit)
                     SELECT hex(randomblob(8)), uptime, boot,
                        (SELECT COALESCE(MAX(position), 0) FROM audit)
                     FROM days ORDER BY number DESC LIMIT 1",
                    [],
                )?;
            }
            Ok(())
        });
    }

    /// A session of the agent that every database has.
    fn session(&self) -> Session {
        self.write(|writer| writer.create_session(new_session("runbook")))
    }

    fn post(&self, session: &SessionId, content: &str) -> TurnId {
        let (session, content) = (session.clone(), content.to_owned());
        self.write(move |writer| writer.post_message(&session, &content, None, 100, None)).turn.id
    }

    fn claim(&self, generation: u64) -> Option<Claimed> {
        self.write(move |writer| claim_oldest(writer, generation))
    }

    /// A session with one turn that this generation runs.
    fn running(&self, generation: u64) -> Claimed {
        let session = self.session();
        let turn = self.post(&session.id, "go");
        let claimed = self.claim(generation).unwrap();
        assert_eq!(claimed.turn.id, turn);
        claimed
    }

    fn turn(&self, id: &TurnId) -> Turn {
        let id = id.clone();
        self.read(move |reader| reader.turn(&id))
    }

    fn events(&self, session: &SessionId) -> Vec<Event> {
        let session = session.clone();
        let page = self.read(move |reader| reader.event_page(&session, 0, 10_000, usize::MAX));
        assert_eq!(page.next, AfterPage::End, "the log is longer than a test reads");
        page.events
    }

    fn names(&self, session: &SessionId) -> Vec<String> {
        self.events(session).into_iter().map(|event| event.name).collect()
    }

    /// A read that stays on its thread until the answer is dropped.
    fn hold_a_reader(&self) -> Hold {
        let (release, released) = mpsc::channel();
        let (here, arrived) = oneshot::channel();
        let store = self.store.clone();
        let task = self.runtime.spawn(async move {
            let hold = move |reader: &Reader<'_>| {
                reader.backlog()?;
                here.send(()).unwrap();
                // Ends when the sender is dropped.
                let _ = released.recv();
                Ok(())
            };
            store.read(hold).await
        });
        self.wait(arrived).unwrap();
        Hold { release, task }
    }

    /// A write that keeps the writer busy until the answer is dropped.
    fn hold_the_writer(&self) -> Hold {
        let (release, released) = mpsc::channel();
        let (here, arrived) = oneshot::channel();
        let store = self.store.clone();
        let task = self.runtime.spawn(async move {
            let hold = move |_: &mut Writer<'_>| {
                here.send(()).unwrap();
                // Ends when the sender is dropped.
                let _ = released.recv();
                Ok(())
            };
            store.write(hold).await
        });
        self.wait(arrived).unwrap();
        Hold { release, task }
    }

    fn ends(&self, hold: Hold) -> Result<(), StoreError> {
        drop(hold.release);
        self.wait(hold.task).unwrap()
    }

    fn usage(&self) -> evonic_handles::Usage {
        self.budget.usage().into_iter().find(|usage| usage.kind == Kind::Sqlite).unwrap()
    }

    /// How many descriptors of this process are the database, its log or its shared memory.
    fn links(&self) -> u32 {
        let entries = std::fs::read_dir("/proc/self/fd").unwrap();
        let links = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        links.filter(|link| link.starts_with(self.folder.path())).count().try_into().unwrap()
    }
}

/// Claims the oldest turn that may be claimed.
fn claim_oldest(writer: &mut Writer<'_>, generation: u64) -> Result<Option<Claimed>, StoreError> {
    let oldest = writer.waiting_turns()?.into_iter().min_by_key(|turn| turn.position);
    oldest.map(|turn| writer.claim_turn(generation, &turn.turn_id)).transpose()
}

/// Something of the store that is kept busy.
struct Hold {
    release: mpsc::Sender<()>,
    task: JoinHandle<Result<(), StoreError>>,
}

fn path_in(folder: &Path) -> PathBuf {
    folder.join("evonic.db")
}

fn budget(sqlite: u32) -> Budget {
    let sizes = config::Budget {
        http: 4,
        sqlite,
        model: 1,
        file: 2,
        child: 1,
        ssh: 1,
        docker: 1,
        outbound: 1,
    };
    Budget::new(&sizes, Page::private().unwrap(), 1_000_000)
}

/// Polls until this holds.
#[track_caller]
fn until(what: &str, mut state: impl FnMut() -> Result<(), String>) {
    let deadline = Instant::now() + DEADLINE;
    while let Err(last) = state() {
        assert!(Instant::now() < deadline, "{what}: {last}");
        thread::yield_now();
    }
}

fn new_session(agent: &str) -> NewSession {
    NewSession { agent: agent.to_owned(), title: String::new() }
}

fn new_agent(name: &str) -> NewAgent {
    NewAgent {
        name: name.parse().unwrap(),
        model: "runbook".to_owned(),
        instructions: String::new(),
        tools: None,
        workplace: "local".to_owned(),
        other_workplaces: Vec::new(),
        retention: None,
    }
}

fn call(id: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: "bash".to_owned(), arguments: "{}".to_owned() }
}

/// A call that is about to run for the first time.
fn pending(id: &str, command_id: &str) -> PendingCall {
    PendingCall::new(call(id), command_id, "local")
}

fn completed(text: &str) -> TurnEnd {
    TurnEnd::Completed { text: text.to_owned() }
}

fn delta(text: &str) -> EventKind {
    EventKind::TextDelta { text: text.to_owned() }
}

#[track_caller]
fn assert_conflict<T: std::fmt::Debug>(result: Result<T, StoreError>, wanted: &str) {
    match result {
        Err(StoreError::Conflict { code, .. }) => assert_eq!(code.name(), wanted),
        other => panic!("{wanted}: {other:?}"),
    }
}

#[track_caller]
fn assert_missing<T: std::fmt::Debug>(result: Result<T, StoreError>, wanted: &str) {
    match result {
        Err(StoreError::NotFound { what, .. }) => assert_eq!(what, wanted),
        other => panic!("{wanted}: {other:?}"),
    }
}
