//! Whether the service is well, for `evonic status` as a health check.

use evonic_shared::{
    exit::ExitCode,
    status::{Health, PartHealth, State, Status, Worker, WorkerState},
    store_report::StoreState,
};

/// The exit code of a status: [`ExitCode::Ok`] when a worker serves, all its parts prove themselves
/// alive, and its database is well, else [`ExitCode::DEGRADED`]. A lock of another process ends by
/// itself, as for `/readyz`.
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
    let ill = worker.database.as_ref().is_some_and(|report| report.state != StoreState::Locked);
    worker.state == WorkerState::Ready && ![http, store, agents].contains(&PartHealth::Late) && !ill
}

#[cfg(test)]
mod tests {
    use evonic_shared::store_report::StoreReport;

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
        let report = |state| {
            let (detail, advice, since) = Default::default();
            let report = StoreReport { state, detail, advice, since };
            let worker = Worker { database: Some(report), ..worker(17) };
            Status { worker: Some(worker), ..status() }
        };
        assert_eq!(exit_code(&report(StoreState::Locked)), ExitCode::Ok);
        let lost = report(StoreState::Lost);
        for ill in [alone, dead, late, lost] {
            assert_eq!(exit_code(&ill), ExitCode::DEGRADED, "{ill:?}");
        }
        for state in [State::Starting, State::CrashLoop, State::LeakLoop, State::Stopping] {
            assert_eq!(exit_code(&Status { state, ..status() }), ExitCode::DEGRADED, "{state}");
        }
    }
}
