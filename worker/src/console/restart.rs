//! `evonic restart`: asks for a new worker and waits until it serves.

use std::time::{Duration, Instant};

use evonic_shared::{
    config::Config,
    status::{Request, Status, WorkerState},
};

use super::{
    Console,
    command::RestartOptions,
    error::ConsoleError,
    figures::span,
    pretty,
    status::{Watch, ask},
    supervisor::Supervisor,
};

/// What is waited for beside a worker's start: a backoff that is under way, and slow machines.
const SLACK: Duration = Duration::from_secs(5);

/// Runs the command.
pub(super) fn run(
    options: &RestartOptions,
    config: &Config,
    console: &mut Console<'_>,
) -> Result<(), ConsoleError> {
    let socket = Supervisor::socket(config);
    let mut supervisor = Supervisor::connect(&socket)?;
    let before = ask(&mut supervisor)?;
    let old = newest(&before);
    let began = Instant::now();
    let accepted = supervisor.ask(&Request::Restart)?;
    if options.no_wait {
        let told = if options.output.json {
            pretty(&accepted)
        } else {
            "A new worker is on its way.\n".to_owned()
        };
        return console.print(&told);
    }
    let patience = config.supervisor.start_timeout + config.supervisor.backoff_cap + SLACK;
    let mut watch = Watch::connect(&socket)?;
    let mut status = watch.next()?;
    while !serves(&status, old) {
        if began.elapsed() > patience {
            let last_error = status.last_error.unwrap_or_default();
            return Err(ConsoleError::NotReady { patience, last_error });
        }
        status = watch.next()?;
    }
    if options.output.json {
        return console.print(&pretty(&status));
    }
    let worker = status.worker.as_ref().map_or(0, |worker| worker.generation);
    let took = span(began.elapsed().as_secs_f64());
    console.print(&format!("Generation {worker} serves after {took}.\n"))
}

/// The newest generation of a status.
fn newest(status: &Status) -> u64 {
    let workers = [&status.worker, &status.predecessor];
    workers.into_iter().flatten().map(|worker| worker.generation).max().unwrap_or(0)
}

/// Whether a worker newer than `old` is ready.
fn serves(status: &Status, old: u64) -> bool {
    status
        .worker
        .as_ref()
        .is_some_and(|worker| worker.generation > old && worker.state == WorkerState::Ready)
}
