//! Whether the service is well, for `evonic status` as a health check.

use evonic_shared::{
    exit::ExitCode,
    status::{Health, PartHealth, State, Status, Worker, WorkerState},
};

/// The exit code of a status: [`ExitCode::Ok`] when a worker serves and all its parts prove themselves
/// alive, else [`ExitCode::DEGRADED`].
pub(super) fn exit_code(status: &Status) -> ExitCode {
    let workers = [&status.worker, &status.predecessor].into_iter().flatten();
    let serves = match status.state {
        State::Running | State::Recycling => workers.into_iter().any(serves),
        // Requests wait, or will soon.
        State::Starting | State::CrashLoop | State::LeakLoop | State::Stopping => false,
    };
    if serves { ExitCode::Ok } else { ExitCode::DEGRADED }
}

fn serves(worker: &Worker) -> bool {
    let Health { http, store, agents } = worker.health;
    worker.state == WorkerState::Ready && ![http, store, agents].contains(&PartHealth::Late)
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{status, worker},
        *,
    };

    #[test]
    fn well_is_a_worker_that_serves_whoever_replaces_it() {
        let well = status();
        assert_eq!(exit_code(&well), ExitCode::Ok);
        let starting = Worker { state: WorkerState::Starting, ..worker(18) };
        let recycling = Status {
            state: State::Recycling,
            worker: Some(starting.clone()),
            predecessor: Some(worker(17)),
            ..status()
        };
        assert_eq!(exit_code(&recycling), ExitCode::Ok, "its predecessor serves");
        let alone = Status { predecessor: None, ..recycling.clone() };
        let dead = Status { worker: None, predecessor: None, ..recycling };
        let late = Health { store: PartHealth::Late, ..worker(17).health };
        let late = Status { worker: Some(Worker { health: late, ..worker(17) }), ..status() };
        for ill in [alone, dead, late] {
            assert_eq!(exit_code(&ill), ExitCode::DEGRADED, "{ill:?}");
        }
        for state in [State::Starting, State::CrashLoop, State::LeakLoop, State::Stopping] {
            assert_eq!(exit_code(&Status { state, ..status() }), ExitCode::DEGRADED, "{state}");
        }
    }
}
