//! `evonic restart`: asks for a new worker and waits until it serves.

use std::time::{Duration, Instant};

use evonic_shared::{
    config::Config,
    status::{Reply, Request, State, Status, WorkerState},
};

use super::{
    command::RestartOptions,
    error::{ConsoleError, Result},
    format::duration,
    output::Console,
    status::{ask, pause},
    supervisor::{Supervisor, unexpected},
    text::Text,
};

/// After so long without an answer, a look whether the supervisor still runs. It answers by itself
/// when its own time for a replacement is over, which this command cannot know.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What a supervisor that does not wait itself is given, beside a worker's start: a backoff under way,
/// and slow machines.
const MARGIN: Duration = Duration::from_secs(5);

/// The pause between two questions to such a supervisor.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs the command.
pub(super) fn run(options: &RestartOptions, config: &Config, console: &mut Console<'_>) -> Result {
    let mut supervisor = Supervisor::connect(&Supervisor::socket(config))?;
    let began = Instant::now();
    let wait = !options.no_wait;
    let request = if options.reload { Request::Reload { wait } } else { Request::Restart { wait } };
    if options.no_wait {
        let accepted = supervisor.ask(&request)?;
        return console
            .show(&options.output, &accepted, || Text::of_line("A new worker is on its way."));
    }
    supervisor.send(&request)?;
    let generation = match outcome(&mut supervisor, config, console)? {
        Reply::Replaced { generation, .. } => generation,
        Reply::Accepted { .. } => of_earlier_supervisor(&mut supervisor, config)?,
        _ => return Err(unexpected("it is no outcome")),
    };
    let took = duration(began.elapsed().as_secs_f64());
    if options.output.json {
        return console.json(&ask(&mut supervisor)?);
    }
    console.line(format!("Generation {generation} serves after {took}."))
}

/// The answer, whenever it comes, while the supervisor runs.
fn outcome(
    supervisor: &mut Supervisor,
    config: &Config,
    console: &mut Console<'_>,
) -> Result<Reply> {
    let mut loop_reported = false;
    loop {
        if let Some(reply) = supervisor.next(ANSWER_TIMEOUT)? {
            return Ok(reply);
        }
        let status = ask(&mut Supervisor::connect(&Supervisor::socket(config))?)?;
        if status.state == State::CrashLoop && !std::mem::replace(&mut loop_reported, true) {
            let last_error = status.last_error.as_deref().unwrap_or("the reason is not known");
            console.say(format!("Workers do not become ready: {last_error}. Still waiting."));
        }
    }
}

/// Waits for the new worker of a supervisor of an earlier version, which only says that it begins: as
/// after an upgrade, until it is started anew.
fn of_earlier_supervisor(supervisor: &mut Supervisor, config: &Config) -> Result<u64> {
    let limit = config.supervisor.start_timeout + config.supervisor.backoff_cap + MARGIN;
    let began = Instant::now();
    let mut status = ask(supervisor)?;
    let wanted = match &status.worker {
        Some(worker) if worker.state == WorkerState::Starting => worker.generation,
        _ => newest(&status) + 1,
    };
    loop {
        let ready = status.worker.as_ref().filter(|worker| worker.state == WorkerState::Ready);
        if let Some(worker) = ready.filter(|worker| worker.generation >= wanted) {
            return Ok(worker.generation);
        }
        if began.elapsed() > limit {
            let last_error = status.last_error.unwrap_or_default();
            return Err(ConsoleError::NotReady { limit, last_error });
        }
        pause(PAUSE);
        status = ask(supervisor)?;
    }
}

/// The newest generation of a status.
fn newest(status: &Status) -> u64 {
    let workers = [&status.worker, &status.predecessor];
    workers.into_iter().flatten().map(|worker| worker.generation).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use evonic_shared::status::{ErrorCode, FORMAT};

    use super::{
        super::{
            command::OutputOptions,
            status::tests::{line, status, supervisor, worker},
            terminal::Terminal,
        },
        *,
    };

    /// Runs the command against these replies; returns its output or error, and its requests.
    fn restart(
        options: &RestartOptions,
        replies: Vec<Vec<String>>,
    ) -> (Result<String>, Vec<String>) {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config::defaults("/nowhere".into(), folder.path().to_owned());
        let (_, server) = supervisor(folder.path(), replies);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let result = run(options, &config, &mut Console::new(&mut out, &mut err, Terminal::NONE));
        let text = result.map(|()| String::from_utf8([err, out].concat()).expect("text"));
        (text, server.join().expect("it ends"))
    }

    fn accepted() -> String {
        line(&Reply::Accepted { format: FORMAT, op: "restart".to_owned() })
    }

    #[test]
    fn it_waits_for_the_outcome_on_the_connection_that_asked() {
        let replaced = Reply::Replaced { format: FORMAT, op: "restart".to_owned(), generation: 19 };
        let options = RestartOptions::default();
        let (text, requests) = restart(&options, vec![vec![line(&replaced)]]);
        let text = text.expect("it is replaced");
        assert!(text.starts_with("Generation 19 serves after "), "{text}");
        assert_eq!(requests, [r#"{"op":"restart","wait":true}"#]);

        let message = "exited with code 80 before it was ready: no.pem".to_owned();
        let failed = Reply::Error { format: FORMAT, code: ErrorCode::Failed, message };
        let (error, _) = restart(&options, vec![vec![line(&failed)]]);
        let error = error.expect_err("it failed");
        assert_eq!(error.exit_code(), evonic_shared::exit::ExitCode::Failure);
        assert_eq!(
            error.to_string(),
            "no new worker serves: exited with code 80 before it was ready: no.pem"
        );
    }

    #[test]
    fn a_supervisor_that_does_not_wait_is_asked_until_the_new_worker_serves() {
        let of = |generation, state| {
            let mut status = status();
            let mut worker = worker(generation);
            worker.state = state;
            status.worker = Some(worker);
            line(&Reply::Status(status))
        };
        let replies = vec![vec![
            accepted(),
            of(18, WorkerState::Starting),
            of(18, WorkerState::Starting),
            of(19, WorkerState::Ready),
        ]];
        let (text, requests) = restart(&RestartOptions::default(), replies);
        assert!(text.expect("it is replaced").starts_with("Generation 19 serves after "));
        assert_eq!(requests.len(), 4);
    }

    #[test]
    fn it_need_not_wait() {
        let options =
            RestartOptions { output: OutputOptions { json: true }, reload: true, no_wait: true };
        let (text, requests) = restart(&options, vec![vec![accepted()]]);
        assert_eq!(requests, [r#"{"op":"reload"}"#]);
        let text = text.expect("it is asked for");
        assert!(text.contains("\"op\": \"restart\""), "{text}");
    }
}
