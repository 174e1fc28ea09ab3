//! Whether this worker can do its work: a check of each part, and the names of those that fail.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use evonic_shared::{
    error_chain::ErrorChain,
    store_report::{StoreReport, StoreState},
};
use http::{
    HeaderValue,
    header::{CONTENT_TYPE, VARY},
};
use serde_json::{Map, Value, json};
use tokio::time::timeout;
use warp::reply::Response;

use crate::{
    answer,
    call::Call,
    exposition::{Format, ScrapeMetrics},
    places::Class,
    problem::{Answer, Problem},
    process,
    state::ApiState,
};
use evonic_domain::UsageSum;
use evonic_store::{BudgetList, Paging, Reader, StoreError, TakenTurn};

/// A part that takes longer is not ready.
const PART_TIMEOUT: Duration = Duration::from_secs(2);

/// `/livez`: the event loop answers. Says nothing about the parts.
pub(super) async fn live(_state: Arc<ApiState>, _call: Call) -> Answer {
    answer::ok(&json!({ "live": true }))
}

/// `/readyz`: every part passed its check just now.
///
/// # Errors
/// 503 that names the parts that did not, or says that the worker is draining.
pub(super) async fn ready(state: Arc<ApiState>, _call: Call) -> Answer {
    let (store, agents) = tokio::join!(
        check(async {
            state.app.store.ping().await.map_err(|error| ErrorChain(&error).to_string())
        }),
        check(async {
            state.app.agents.ping().await;
            Ok(())
        }),
    );
    let report = state.app.store.condition().report();
    let mut store = with_report(store, report.as_ref());
    if let Err(error) = state.app.store.require_room() {
        // Reads are answered, and every other worker would have the same disk.
        store["low_space"] = error.to_string().into();
    }
    let parts = [("store", store), ("agents", agents), ("descriptors", headroom(&state))];
    let draining = state.shutdown.draining.is_cancelled();
    let failing = parts.iter().filter(|(_, status)| status["ok"] != true);
    let mut failing: Vec<&str> = failing.map(|(name, _)| *name).collect();
    if draining {
        failing.push("draining");
    }
    let parts: Map<String, Value> =
        parts.into_iter().map(|(name, status)| (name.to_owned(), status)).collect();
    if failing.is_empty() {
        let generation = state.app.generation;
        let body = json!({ "ready": true, "generation": generation, "parts": parts });
        return answer::ok(&body);
    }
    let mut detail = format!("not ready: {}", failing.join(", "));
    if let Some(report) = report.filter(|_| failing.contains(&"store")) {
        detail.push_str(&format!(" ({}: {})", report.detail, report.advice));
    }
    Err(Problem::unavailable("not_ready", detail, Duration::from_secs(1))
        .with("ready", false.into())
        .with("generation", state.app.generation.into())
        .with("draining", draining.into())
        .with("parts", parts.into()))
}

/// The store's part with what is wrong with its database. A lock of another process leaves it
/// ready: reads are answered, every other worker would meet the same lock, and without this one
/// nobody would answer at all.
fn with_report(mut part: Value, report: Option<&StoreReport>) -> Value {
    if let Some(StoreReport { state, detail, advice, since }) = report {
        if *state != StoreState::Locked {
            part["ok"] = false.into();
        }
        part["state"] = state.name().into();
        part["error"] = detail.as_str().into();
        part["advice"] = advice.as_str().into();
        part["since"] = since.as_str().into();
    }
    part
}

/// The most turns that metrics name.
const FATAL_TURNS: u32 = 16;

/// The most models and budgets that metrics name.
const NAMED: u32 = 100;

/// What metrics show of the database; nothing where it cannot be read.
#[derive(Default)]
struct Stored {
    turns: Option<(u64, u64)>,
    fatal_turns: Vec<TakenTurn>,
    model_totals: Vec<UsageSum>,
    budgets: Vec<(String, u64)>,
}

fn stored(reader: &Reader<'_>) -> Result<Stored, StoreError> {
    let budgets = reader.budgets(BudgetList::Every, &Paging { limit: NAMED, after: None })?;
    let budgets = budgets.data.into_iter().filter_map(|view| {
        let spent = view.state.spent.first()?.percent;
        Some((view.budget.name.to_string(), spent))
    });
    Ok(Stored {
        turns: Some(reader.backlog()?),
        fatal_turns: reader.fatal_turns(FATAL_TURNS)?,
        model_totals: reader.model_totals(NAMED)?,
        budgets: budgets.collect(),
    })
}

/// `/metrics`, in the text format that the client wants.
///
/// # Errors
/// 500 when a metric cannot be encoded.
pub(super) async fn metrics(state: Arc<ApiState>, call: Call) -> Answer {
    let stored = timeout(PART_TIMEOUT, state.app.store.read(stored)).await;
    let stored = stored.ok().and_then(Result::ok).unwrap_or_default();
    let scraped = ScrapeMetrics {
        open_fds: process::open_descriptors(),
        max_fds: process::max_descriptors(),
        resident_bytes: process::resident_bytes(&state.app.budget),
        start_time_seconds: process::start_time_seconds(state.app.started.elapsed()),
        usage: state.app.budget.usage(),
        turns: stored.turns,
        fatal_turns: stored.fatal_turns,
        model_totals: stored.model_totals,
        budgets: stored.budgets,
        places: Class::ALL.map(|class| (class, state.places.count(class))),
        generation: state.app.generation,
        hosts: state.app.workplaces.hosts(),
        sandbox: state.app.workplaces.sandbox().get(),
        supervision: state.app.supervision.report(),
        database: state.app.store.condition().report().map(|report| report.state),
        storage: state.app.store.storage().report(),
        taken: state.app.store.storage().taken(),
    };
    let format = Format::wanted(&call.headers);
    let text =
        scraped.expose(&state.registry, format).map_err(|error| Problem::internal(&error))?;
    let mut response = Response::new(text.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// The result of a check: `ok`, and the details.
async fn check(part: impl Future<Output = Result<(), String>>) -> Value {
    let began = Instant::now();
    let found = timeout(PART_TIMEOUT, part).await;
    let found = found.unwrap_or_else(|_| Err(format!("no answer within {PART_TIMEOUT:?}")));
    let elapsed_ms = began.elapsed().as_micros() as f64 / 1000.0;
    match found {
        Ok(()) => json!({ "ok": true, "elapsed_ms": elapsed_ms }),
        Err(error) => {
            tracing::warn!(error, elapsed_ms, "part is not ready");
            json!({ "ok": false, "elapsed_ms": elapsed_ms, "error": error })
        }
    }
}

/// Whether what the budget may still open fits below the limit.
fn headroom(state: &ApiState) -> Value {
    let open = process::open_descriptors();
    let limit = process::max_descriptors();
    let owned: u64 =
        state.app.budget.usage().iter().map(|usage| u64::from(usage.descriptors)).sum();
    let budget = u64::from(state.app.config.budget.total());
    let needed = open.map(|open| open + budget.saturating_sub(owned.max(open.min(budget))));
    // Also where the kernel does not say, or sets no limit.
    let ok = needed.zip(limit).is_none_or(|(needed, limit)| needed <= limit);
    json!({ "ok": ok, "open": open, "limit": limit, "owned": owned })
}
