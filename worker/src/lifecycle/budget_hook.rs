//! Who is told that a budget is spent to 50, 80 or 100 %: the log, and the operator's program
//! (`usage.on_budget`).
//!
//! The program is the operator's alone: no agent and no client names it. It runs as the service's
//! user, one at a time, with `PATH` as its whole environment, the event on its standard input and
//! nothing else open; it leads a process group of its own, which is killed when its time is over,
//! when it has ended, and when this worker ends. Events wait in a bounded queue; what does not fit is
//! counted in the log. A turn never waits for it.

use std::{
    ffi::OsString,
    io::{self, Write},
    os::{fd::AsRawFd, unix::process::CommandExt},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use evonic_domain::{BudgetReached, Event};
use evonic_handles::{
    Budget, Permit,
    blocking::{BlockingPool, Waiter},
};
use evonic_shared::{config::UsageReport, kind::Kind};
use evonic_store::{BudgetNotices, Store};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};
use tokio::{runtime::Handle, task::JoinSet};

use super::raw;

/// Between two starts of the program.
const PAUSE: Duration = Duration::from_secs(1);

/// How long one look for the program's end takes: so late it is noticed that nobody waits.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// How long the program waits for the right to run, each time.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Both ends of its standard input, `/dev/null`, and its pidfd.
const DESCRIPTORS: u32 = 4;

/// Starts to tell, in a task of this set: until that is dropped.
///
/// # Errors
/// The OS error, when no thread can be started.
pub(super) fn start(
    store: &Store,
    settings: &UsageReport,
    budget: &Budget,
    runtime: &Handle,
) -> io::Result<JoinSet<()>> {
    let program = match settings.on_budget.split_first() {
        None => None,
        Some((program, arguments)) => Some(Hook {
            program: program.clone(),
            arguments: arguments.to_vec(),
            path: std::env::var_os("PATH").unwrap_or_default(),
            limit: settings.on_budget_timeout,
            budget: budget.clone(),
            pool: BlockingPool::start("evonic-hook", 1)?,
        }),
    };
    let mut tasks = JoinSet::new();
    tasks.spawn_on(run_hook(store.budget_notices(), program), runtime);
    Ok(tasks)
}

/// The program, and what it needs.
struct Hook {
    program: String,
    arguments: Vec<String>,
    path: OsString,
    limit: Duration,
    budget: Budget,
    pool: BlockingPool,
}

async fn run_hook(mut notices: BudgetNotices, hook: Option<Hook>) {
    while let Some((event, missed)) = notices.next().await {
        if missed > 0 {
            tracing::warn!(missed, "more budgets are reached than can be told");
        }
        log(&event);
        if let Some(hook) = &hook {
            hook.run(&event).await;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn log(event: &Event) {
    let Ok(reached) = serde_json::from_str::<BudgetReached>(&event.data) else { return };
    let BudgetReached { name, of, percent, unit, spent, limit, .. } = reached;
    let (budget, session_id) = (name.as_str(), event.session_id.as_str());
    if percent < 100 {
        tracing::info!(
            budget,
            of,
            percent,
            unit,
            spent,
            limit,
            session_id,
            "budget is nearly spent"
        );
    } else {
        tracing::warn!(budget, of, percent, unit, spent, limit, session_id, "budget is spent");
    }
}

impl Hook {
    async fn run(&self, event: &Event) {
        let permit = loop {
            match self.budget.acquire(Kind::Child, PERMIT_TIMEOUT).await {
                Ok(permit) => break permit,
                Err(error) => tracing::warn!(%error, "usage.on_budget waits for a place"),
            }
        };
        let (command, input, limit) = (self.command(), input(event), self.limit);
        let ended = self.pool.run(move |waiter| run(command, &input, limit, permit, waiter)).await;
        let program = self.program.as_str();
        match ended {
            Ok(Some(status)) if status.success() => {
                tracing::debug!(program, "usage.on_budget was told");
            }
            Ok(Some(status)) => tracing::warn!(program, %status, "usage.on_budget failed"),
            Ok(None) => {
                let limit_ms = limit.as_millis();
                tracing::warn!(program, limit_ms, "usage.on_budget took too long, and was killed");
            }
            Err(error) => tracing::warn!(program, %error, "usage.on_budget cannot be run"),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the gateway of the operator's program")]
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear().env("PATH", &self.path).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        raw::unblock_signals(&mut command);
        command
    }
}

/// The event as its stream has it, and its session: one line of JSON, shorter than a pipe holds.
fn input(event: &Event) -> String {
    let mut data: serde_json::Value = serde_json::from_str(&event.data).unwrap_or_default();
    data["session_id"] = event.session_id.as_str().into();
    format!("{data}\n")
}

/// Runs a command to its end; none where it was killed.
fn run(
    mut command: Command,
    input: &str,
    limit: Duration,
    mut permit: Permit,
    waiter: &Waiter<'_>,
) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    permit.owns(DESCRIPTORS, None);
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        permit.owns(DESCRIPTORS, u32::try_from(stdin.as_raw_fd()).ok());
        // One that does not read it is none the worse for it.
        let _ = stdin.write_all(input.as_bytes());
    }
    let in_time = ends(&child, deadline, waiter);
    // Not reaped yet: the number is still its group's.
    end_group(&child);
    let status = child.wait()?;
    in_time.map(|in_time| in_time.then_some(status))
}

/// Waits for a process's end; false where it did not come in time, or nobody waits for it.
fn ends(child: &Child, deadline: Instant, waiter: &Waiter<'_>) -> io::Result<bool> {
    let pidfd = pidfd_open(pid(child)?, PidfdFlags::empty())?;
    while Instant::now() < deadline && waiter.is_waiting() {
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&LOOK)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

fn end_group(child: &Child) {
    // Gone where all of it has ended.
    let _ = pid(child).map(|pid| kill_process_group(pid, Signal::KILL));
}

fn pid(child: &Child) -> io::Result<Pid> {
    let number = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    number.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}
