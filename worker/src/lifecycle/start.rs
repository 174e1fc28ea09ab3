//! The start, in the order that [`super`] describes.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use evonic_process::{
    channel::Channel,
    folder::{self, Folder},
};
use evonic_shared::{
    config::Config,
    control::{FromWorker, Hello, PROTOCOL},
    kind::Kind,
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc,
    task::JoinSet,
};

use super::{
    budget_hook,
    control::{Control, ControlThread, ORDERS, Order},
    database::{self, Database},
    error::StartError,
    inherited::Inherited,
    liveness::{Liveness, Parts, start_answering},
    log,
    signals::signals,
    watchdog::Watchdog,
};
use evonic_agent::{AgentDeps, Agents};
use evonic_handles::{Budget, Page, Waker};
use evonic_http::{App, Listeners, Server, Supervision};
use evonic_model::Models;
use evonic_net::outbound::Outbound;
use evonic_retention::{Retention, RetentionDeps};
use evonic_store::Limiter;
use evonic_tools::{Registry, Toolboxes};
use evonic_workplace::{BackendDeps, Workplaces};

/// A worker that is ready. Its parts are dropped in this order when a start fails half-way.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) liveness: JoinSet<()>,
    /// Tells of budgets that are reached.
    pub(super) budget_hook: JoinSet<()>,
    pub(super) parts: Parts,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) channel: Arc<Channel>,
    pub(super) control: ControlThread,
    pub(super) budget: Budget,
    pub(super) runtime: Runtime,
}

/// Idle threads of the blocking pool end after this long.
const THREAD_IDLE: Duration = Duration::from_secs(5);
/// The most threads of the blocking pool: files of workplaces, locks.
const BLOCKING_THREADS: usize = 16;

/// What SQLite makes in the state folder.
const DATABASE_FILES: [&str; 6] =
    ["evonic.db", "evonic.db-wal", "evonic.db-shm", "limits.db", "limits.db-wal", "limits.db-shm"];

/// Starts the worker.
///
/// # Errors
/// [`StartError`].
pub(super) fn start(
    config: Config,
    style: log::Style,
    inherited: Inherited,
) -> Result<Worker, StartError> {
    let started = Instant::now();
    // Every thread that is started from here on inherits the mask.
    let blocked = signals().thread_block().map_err(io::Error::from);
    blocked.map_err(StartError::system("the signal mask"))?;
    let watchdog = Watchdog::start(style).map_err(StartError::system("a thread"))?;
    let (waker, wakeups) = Waker::open().map_err(StartError::system("an eventfd"))?;
    let liveness = Liveness::new(waker.clone());
    let channel = inherited.control;
    let supervision = Supervision::default();
    let (orders_sender, orders) = mpsc::channel(ORDERS);
    let control = ControlThread::start(Control {
        channel: Arc::clone(&channel),
        waker,
        wakeups,
        liveness: liveness.clone(),
        watchdog: watchdog.clone(),
        orders: orders_sender,
        supervision: supervision.clone(),
        interval: config.supervisor.heartbeat_interval,
        grace: config.supervisor.grace,
    })
    .map_err(StartError::system("a thread"))?;

    let page = Page::map(inherited.fd_page)?;
    let budget = Budget::new(&config.budget, page, config.fd.threshold);
    let runtime = runtime()?;
    let state = Folder::open(&config.state_dir, folder::PRIVATE)?;
    // Before SQLite opens them: it gives its log the mode of the database. Earlier versions left them
    // readable for others.
    for name in DATABASE_FILES {
        state.tighten(name)?;
    }
    database::require_writable(&config.state_dir)?;
    // First: what the limiter takes of the budget is not the readers'.
    let limits = config.state_dir.join("limits.db");
    let limiter = config.limits.enabled.then(|| Limiter::open(&limits, &budget)).transpose()?;
    Folder::open(&evonic_agent::generations_folder(&config.state_dir), folder::PRIVATE)?;
    // The rest of the time is for whoever reads meanwhile.
    let deadline = started + config.supervisor.start_timeout / 2;
    let Database { store, instance } =
        runtime.block_on(database::open(&config, &budget, inherited.predecessor, deadline))?;
    let proposed = inherited.generation;
    store.keep_free(config.retention.min_free);
    let generation =
        runtime.block_on(database::take_generation(&store, &config, proposed, deadline))?;
    let number = generation.number();
    let greeted = channel.send(&hello(&config, number));
    greeted.map_err(StartError::system("the control channel"))?;

    runtime.block_on(database::ensure_first_key(&store, &state, &budget))?;
    drop(state);

    let budget_hook = budget_hook::start(&store, &config.usage, &budget, runtime.handle())
        .map_err(StartError::system("a thread"))?;
    let models = Models::new(&config.models, &budget);
    let config = Arc::new(config);
    let (parts_config, parts_store) = (Arc::clone(&config), store.clone());
    let parts =
        BackendDeps { config: parts_config, budget: budget.clone(), store: parts_store, instance };
    let workplaces = {
        let _inside = runtime.enter();
        Workplaces::start(parts)?
    };
    let tools = Registry::new(&config.tools);
    let agent_deps = AgentDeps {
        store: store.clone(),
        models: models.clone(),
        tools: Toolboxes::new(workplaces.clone(), store.clone(), tools.clone()),
        settings: config.agents.clone(),
        model_handles: budget.limit(Kind::Model),
        file_handles: budget.limit(Kind::File),
        keep_unused: config.attachments.keep_unused,
    };
    let listeners =
        Listeners { http: inherited.http, api: inherited.api, probe: Some(inherited.probe) };
    let _inside = runtime.enter();
    let agents = Agents::start(agent_deps, generation, inherited.predecessor);
    watchdog.know(budget.clone(), agents.clone());
    let retention = Retention::start(RetentionDeps {
        store: store.clone(),
        workplaces: workplaces.clone(),
        settings: config.retention.clone(),
        audit_keep: config.store.audit_keep,
        state_dir: config.state_dir.clone(),
        generation: number,
    });
    let app = App {
        store: store.clone(),
        limiter,
        agents: agents.clone(),
        models,
        tools,
        outbound: Outbound::new(&config.outbound, budget.clone()),
        budget: budget.clone(),
        config,
        workplaces: workplaces.clone(),
        supervision,
        generation: number,
        started,
    };
    let server = Server::start(app, listeners)?;
    let parts = Parts { server: Arc::new(server), store, agents, workplaces, retention };
    let liveness = runtime.block_on(start_answering(&parts, &liveness));
    let said = channel.send(&FromWorker::Ready);
    said.map_err(StartError::system("the control channel"))?;
    control.ready(
        parts.workplaces.sandbox().clone(),
        parts.store.condition(),
        parts.store.storage(),
    );
    tracing::info!(
        generation = number,
        predecessor = inherited.predecessor,
        elapsed_ms = started.elapsed().as_millis(),
        "ready"
    );
    drop(_inside);
    Ok(Worker { liveness, budget_hook, parts, orders, channel, control, budget, runtime })
}

/// The runtime: few threads, so that an idle worker is small.
fn runtime() -> Result<Runtime, StartError> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let threads = cores.clamp(2, 4);
    // Where the system has no further thread for it, the runtime panics, and waits for ever for those
    // that it has started.
    try_threads(threads).map_err(StartError::Threads)?;
    Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(THREAD_IDLE)
        .thread_name("runtime")
        .enable_all()
        .build()
        .map_err(StartError::system("the runtime"))
}

/// Starts and ends so many threads, all of which live at once.
fn try_threads(count: usize) -> io::Result<()> {
    let barrier = parking_lot::RwLock::new(());
    std::thread::scope(|scope| {
        let closed = barrier.write();
        let start = |_| {
            let thread = std::thread::Builder::new();
            thread.spawn_scoped(scope, || drop(barrier.read())).map(drop)
        };
        let started = (0..count).try_for_each(start);
        drop(closed);
        started
    })
}

fn hello(config: &Config, generation: u64) -> FromWorker {
    let budget = |kind: Kind| (kind.name().to_owned(), config.budget.descriptors(kind));
    FromWorker::Hello(Hello {
        wants_metrics: true,
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        generation,
        kinds: Kind::ALL.map(|kind| kind.name().to_owned()).to_vec(),
        budget: Kind::ALL.map(budget).into(),
    })
}
