//! `evonic restart`: asks for a new worker and waits until it serves.

use std::time::{Duration, Instant};

use evonic_shared::{
    config::Config,
    status::{Request, State, Status, WorkerState},
};

use super::{
    command::RestartOptions,
    error::{ConsoleError, Result},
    format::duration,
    output::Console,
    status::{Watch, ask},
    supervisor::Supervisor,
    text::Text,
};

/// What is waited beside a worker's start: a backoff under way, and slow machines.
const MARGIN: Duration = Duration::from_secs(5);

/// Runs the command.
pub(super) fn run(options: &RestartOptions, config: &Config, console: &mut Console<'_>) -> Result {
    let socket = Supervisor::socket(config);
    let mut supervisor = Supervisor::connect(&socket)?;
    let before = ask(&mut supervisor)?;
    let old = newest(&before);
    let began = Instant::now();
    let request = if options.reload { Request::Reload } else { Request::Restart };
    let accepted = supervisor.ask(&request)?;
    if options.no_wait {
        return console
            .show(&options.output, &accepted, || Text::of_line("A new worker is on its way."));
    }
    let limit = config.supervisor.start_timeout + config.supervisor.backoff_cap + MARGIN;
    let mut watch = Watch::connect(&socket)?;
    let mut status = watch.next()?;
    let mut loop_reported = false;
    while !serves(&status, old) {
        if status.state == State::CrashLoop && !std::mem::replace(&mut loop_reported, true) {
            let last_error = status.last_error.as_deref().unwrap_or("the reason is not known");
            console.say(format!("Workers do not become ready: {last_error}. Still waiting."));
        }
        if began.elapsed() > limit {
            let last_error = status.last_error.unwrap_or_default();
            return Err(ConsoleError::NotReady { limit, last_error });
        }
        status = watch.next()?;
    }
    console.show(&options.output, &status, || {
        let worker = status.worker.as_ref().map_or(0, |worker| worker.generation);
        let took = duration(began.elapsed().as_secs_f64());
        Text::of_line(format!("Generation {worker} serves after {took}."))
    })
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

#[cfg(test)]
mod tests {
    use evonic_shared::status::{FORMAT, Reply};

    use super::{
        super::{
            command::OutputOptions,
            status::tests::{line, status, supervisor, worker},
            terminal::Terminal,
        },
        *,
    };

    /// Runs the command against these replies; returns its output and its requests.
    fn restart(options: &RestartOptions, replies: Vec<Vec<String>>) -> (String, Vec<String>) {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config::defaults("/nowhere".into(), folder.path().to_owned());
        let (_, server) = supervisor(folder.path(), replies);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        run(options, &config, &mut Console::new(&mut out, &mut err, Terminal::NONE))
            .expect("it is replaced");
        let text = String::from_utf8(err).expect("text") + &String::from_utf8(out).expect("text");
        (text, server.join().expect("it ends"))
    }

    fn accepted() -> String {
        line(&Reply::Accepted { format: FORMAT, op: "restart".to_owned() })
    }

    #[test]
    fn it_waits_until_a_newer_worker_is_ready() {
        let of = |generation, state| {
            let mut status = status();
            let mut worker = worker(generation);
            worker.state = state;
            status.worker = Some(worker);
            status
        };
        let mut loops = of(18, WorkerState::Starting);
        loops.state = State::CrashLoop;
        loops.last_error = Some("it fell".to_owned());
        let frames = [
            of(17, WorkerState::Ready),
            loops.clone(),
            loops,
            of(18, WorkerState::Starting),
            of(19, WorkerState::Ready),
        ];
        let frames = frames.map(|status| line(&Reply::Status(status))).concat();
        let replies = vec![vec![line(&Reply::Status(status())), accepted()], vec![frames], vec![]];
        let (text, requests) = restart(&RestartOptions::default(), replies);
        let (first, last) = text.split_once('\n').expect("two lines");
        assert_eq!(first, "Workers do not become ready: it fell. Still waiting.");
        assert!(last.starts_with("Generation 19 serves after "), "{text}");
        assert_eq!(requests, [r#"{"op":"status"}"#, r#"{"op":"restart"}"#, r#"{"op":"watch"}"#]);
    }

    #[test]
    fn it_need_not_wait() {
        let options =
            RestartOptions { output: OutputOptions { json: true }, reload: true, no_wait: true };
        let replies = vec![vec![line(&Reply::Status(status())), accepted()]];
        let (text, requests) = restart(&options, replies);
        assert_eq!(requests, [r#"{"op":"status"}"#, r#"{"op":"reload"}"#]);
        assert!(text.contains("\"op\": \"restart\""), "{text}");
    }
}
