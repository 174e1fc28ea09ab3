//! The checks of the service that runs, as it tells them itself.

use std::time::Duration;

use evonic_domain::Workplace;
use evonic_shared::{
    config::Config,
    status::{Reply, Request, State},
    store_report::{StorageReport, StoreState},
};
use evonic_workplace::{CheckStep, Verdict};
use tokio::time::timeout;

use super::Finding;
use crate::{
    console::{
        api::{Api, decode},
        error::Result,
        format,
        progress::Progress,
        supervisor::Supervisor,
    },
    lifecycle::database,
};

const WORKER_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a check of the local workplace may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether the supervisor answers and runs.
pub(super) fn supervisor(config: &Config) -> Finding {
    match ask_status(config) {
        Ok(Reply::Status(status)) => {
            let detail = format!("pid {}, {:?}", status.pid, status.state).to_lowercase();
            match (status.state, status.last_error) {
                (State::Running, None) => Finding::ok("supervisor", detail),
                (_, Some(error)) => Finding::warning(
                    "supervisor",
                    format!("{detail}; {error}"),
                    "see `evonic history`",
                ),
                _ => Finding::warning("supervisor", detail, "see `evonic status`"),
            }
        }
        Ok(_) => Finding::failed("supervisor", "it gave no status", "are the two of one version?"),
        Err(error) => Finding::failed(
            "supervisor",
            error.to_string(),
            "start it: `systemctl start evonic`, or `evonic-supervisor`",
        ),
    }
}

/// What keeps commands of the worker that runs inside. It may be less than what this process, outside
/// of its unit, can have.
pub(super) fn sandbox_in_force(config: &Config) -> Option<Finding> {
    let Ok(Reply::Status(status)) = ask_status(config) else { return None };
    let (check, level) = ("sandbox in force", status.worker?.sandbox);
    let advice = "`evonic workplace check local` says why, and what a command may reach";
    Some(match level.as_deref() {
        Some("namespaces") => Finding::ok(check, "commands of the worker have namespaces"),
        Some(level) => {
            let detail = format!("commands of the worker have no namespaces, but level {level}");
            Finding::warning(check, detail, advice)
        }
        None => Finding::warning(
            check,
            "commands of the worker are refused, or it has not said",
            advice,
        ),
    })
}

/// What the worker says of its database; where none runs, whether the file is there.
pub(super) fn database(config: &Config) -> Option<Finding> {
    let (check, file) = ("database", config.state_dir.join(database::FILE));
    let Ok(Reply::Status(status)) = ask_status(config) else {
        let memory = config.state_dir.join(database::MEMORY);
        let is_lost = memory.exists() && file.metadata().map_or(0, |found| found.len()) == 0;
        return is_lost.then(|| {
            Finding::failed(
                check,
                format!("database {} is gone, or empty", file.display()),
                format!(
                    "put a backup in its place as docs/install.md says, or remove {} to begin anew",
                    memory.display()
                ),
            )
        });
    };
    Some(match status.worker?.database {
        None => Finding::ok(check, file.display().to_string()),
        Some(report) if report.state == StoreState::Locked => {
            Finding::warning(check, report.detail, report.advice)
        }
        Some(report) => Finding::failed(check, report.detail, report.advice),
    })
}

/// A log this large is not brought into the database: somebody reads for very long.
const LOG_BYTES: u64 = 128 << 20;

/// From this size on it is worth a word when little is in the file.
const LARGE_BYTES: u64 = 16 << 20;

/// What the worker says of the size of its database, and of the room on its disk.
pub(super) fn storage(config: &Config) -> Vec<Finding> {
    let Ok(Reply::Status(status)) = ask_status(config) else { return Vec::new() };
    let Some(storage) = status.worker.and_then(|worker| worker.storage) else { return Vec::new() };
    storage_findings(&storage)
}

/// See [`storage`].
pub(super) fn storage_findings(storage: &StorageReport) -> Vec<Finding> {
    let check = "storage";
    let (size, floor) = (format::bytes(storage.database_bytes), storage.min_free_bytes);
    let mut findings = Vec::new();
    if let Some(free) = storage.disk_free_bytes {
        let (left, wanted) = (format::bytes(free), format::bytes(floor));
        let detail = format!("{left} free on the database's disk; retention.min_free is {wanted}");
        let advice = "make room, or keep less: `[retention]` in docs/retention.md";
        if storage.is_low {
            let detail = format!("{detail}: new messages and sessions are refused");
            findings.push(Finding::failed(check, detail, advice));
        } else if free < floor.saturating_mul(2) {
            findings.push(Finding::warning(check, detail, advice));
        }
    }
    if storage.log_bytes >= LOG_BYTES {
        let detail = format!("the database's log has {}", format::bytes(storage.log_bytes));
        let advice =
            "something reads for very long: `evonic status`, and `fuser -v` of the database";
        findings.push(Finding::warning(check, detail, advice));
    }
    let is_mostly_free = storage.free_bytes >= storage.database_bytes / 2;
    if storage.database_bytes >= LARGE_BYTES && is_mostly_free {
        let detail =
            format!("{} of the database's {size} are free", format::bytes(storage.free_bytes));
        let advice = if storage.shrinks {
            "they are given back within the next hours"
        } else {
            "a database of before does not shrink: `evonic backup`, stop, `evonic restore` makes it one \
             that does"
        };
        findings.push(Finding::warning(check, detail, advice));
    }
    if findings.is_empty() {
        let log = format::bytes(storage.log_bytes);
        findings.push(Finding::ok(check, format!("the database has {size}, its log {log}")));
    }
    findings
}

fn ask_status(config: &Config) -> Result<Reply> {
    Supervisor::connect(&Supervisor::socket(config)).and_then(|mut s| s.ask(&Request::Status))
}

/// Whether the worker answers and is ready, and its workplaces.
pub(super) async fn worker(api: &Api) -> (Finding, Vec<Workplace>) {
    let api = api.retrying(WORKER_TIMEOUT);
    match api.list::<Workplace>("/workplaces").await {
        Ok(workplaces) => {
            let finding = match api.ready().await {
                Ok(()) => Finding::ok("worker", "it answers and is ready"),
                Err(error) => Finding::warning("worker", error.to_string(), "see `evonic status`"),
            };
            (finding, workplaces)
        }
        Err(error) => {
            let advice = "see `evonic status` and `evonic history`";
            (Finding::failed("worker", error.to_string(), advice), Vec::new())
        }
    }
}

/// The local workplace as the worker checks it: what its unit hides from it is not seen from here.
pub(super) async fn local(api: &Api) -> Vec<Finding> {
    let check = "local workplace";
    let steps = match timeout(CHECK_TIMEOUT, check_steps(api)).await {
        Ok(Ok(steps)) => steps,
        Ok(Err(error)) => {
            let advice = "see `evonic workplace check local`";
            return vec![Finding::failed(check, error.to_string(), advice)];
        }
        Err(_) => {
            let detail = format!("its check takes longer than {} s", CHECK_TIMEOUT.as_secs());
            return vec![Finding::failed(check, detail, "see `evonic workplace check local`")];
        }
    };
    // What keeps commands inside has a line of its own.
    let told = |step: &CheckStep| step.verdict != Verdict::Ok && step.step != "sandbox";
    let findings: Vec<_> = steps.into_iter().filter(told).map(finding_of).collect();
    if findings.is_empty() {
        return vec![Finding::ok(check, "the worker runs commands in it")];
    }
    findings
}

async fn check_steps(api: &Api) -> Result<Vec<CheckStep>> {
    let mut events = api.stream_progress("/workplaces/local/check").await?;
    let mut steps = Vec::new();
    while let Some(Progress::Step(step)) = Progress::next(&mut events).await? {
        steps.push(decode(step.as_bytes())?);
    }
    Ok(steps)
}

fn finding_of(step: CheckStep) -> Finding {
    let check = "local workplace".to_owned();
    let CheckStep { step, verdict, detail, advice, .. } = step;
    Finding { check, verdict, detail: format!("{step}: {detail}"), advice }
}
