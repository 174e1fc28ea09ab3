//! Requests of status clients.

use std::time::{Duration, SystemTime};

use evonic_shared::{
    config::Supervisor,
    error_chain::ErrorChain,
    status::{ErrorCode, FORMAT, Reply, Request, RequestLine},
};

use super::{EventLoop, RunState};
use crate::{
    census::{self, Order},
    clients::{Wait, error, thread_time},
    log,
    policy::{Event, Settings},
    worker::Launch,
};

/// Requests answered in one turn.
const MAX_REQUESTS: usize = 8;

/// After this time no further request is begun in a turn: a census of many descriptors is slow.
const TIME_SLICE: Duration = Duration::from_millis(5);

/// What is waited beside the times of the configuration: slow machines.
const MARGIN: Duration = Duration::from_secs(5);

pub(super) const STOPPING: &str = "the supervisor is stopping";

impl EventLoop {
    /// Answers some pending requests, and sends the status to watchers.
    pub(super) fn serve_clients(&mut self) {
        let begun = self.clock.now();
        for _ in 0..MAX_REQUESTS {
            if self.clock.now().saturating_sub(begun) > TIME_SLICE {
                break;
            }
            let now = self.clock.now();
            let Some((serial, uid, line)) = self.clients.next_request(&self.poller, now) else {
                break;
            };
            let before = thread_time();
            self.answer(serial, uid, line);
            self.clients.charge(uid, thread_time().saturating_sub(before), now);
        }
        self.save();
        let now = self.clock.now();
        if self.clients.wants_status() {
            let status = self.status();
            self.clients.show(&self.poller, &status, now);
        }
        self.clients.expire(&self.poller, now, self.policy.last_error());
    }

    fn answer(&mut self, serial: u64, uid: Option<u32>, line: Result<RequestLine, Reply>) {
        let reply = match line {
            Ok(RequestLine { request: Request::Watch, .. }) => {
                self.clients.watch(&self.poller, serial, self.clock.now());
                return;
            }
            Ok(line) => match self.reply(serial, line, uid) {
                Some(reply) => reply,
                None => return,
            },
            Err(refusal) => refusal,
        };
        self.clients.reply(&self.poller, serial, &reply, self.clock.now());
    }

    /// The reply to a request; [`None`] when the client waits for its outcome.
    fn reply(
        &mut self,
        serial: u64,
        RequestLine { request, token }: RequestLine,
        uid: Option<u32>,
    ) -> Option<Reply> {
        let op = match request {
            Request::Status | Request::Watch => {
                return Some(Reply::Status(self.status()));
            }
            Request::History { limit } => {
                let limit = limit.map_or(usize::MAX, |limit| limit as usize);
                let entries = self.history.newest_first().take(limit).cloned().collect();
                let tampering = self.history.tampering_newest_first().take(limit).cloned();
                let tampering = tampering.collect();
                return Some(Reply::History { format: FORMAT, entries, tampering });
            }
            Request::Census => return Some(self.census()),
            Request::Restart { .. } => "restart",
            Request::Drain => "drain",
            Request::Reload { .. } => "reload",
        };
        let Some(uid) = self.token.commander(uid, token.as_ref()) else {
            let message = format!(
                "{op} is for root, and for the service's user with the token of {}",
                self.token.path().display()
            );
            return Some(error(ErrorCode::Forbidden, message));
        };
        if self.run_state != RunState::Running && request != Request::Drain {
            return Some(error(ErrorCode::Unavailable, STOPPING));
        }
        if matches!(request, Request::Restart { .. })
            && let Err(refusal) = check_program(&self.launch)
        {
            tracing::error!(op, uid, refusal, "command of a client is refused");
            return Some(error(ErrorCode::Failed, refusal));
        }
        tracing::info!(op, uid, "command of a client");
        let answers = match request {
            Request::Restart { wait: true } => Some(self.policy.answers_restart()),
            Request::Reload { wait: true } => Some(self.policy.answers_reload()),
            _ => None,
        };
        // Before the event: what follows from it at once is its answer already.
        if let Some(generation) = answers {
            let now = self.clock.now();
            let wait = Wait { op, generation, until: now + self.longest_replacement() };
            if !self.clients.wait(&self.poller, serial, wait, now) {
                return None;
            }
        }
        match request {
            Request::Drain => self.stop(),
            Request::Reload { .. } => {
                if let Err(refusal) = self.reload(uid) {
                    return Some(error(ErrorCode::Invalid, refusal));
                }
            }
            _ => self.feed(Event::Restart { uid }),
        }
        answers.is_none().then(|| Reply::Accepted { format: FORMAT, op: op.to_owned() })
    }

    /// What a replacement takes at most: a predecessor that drains still, a start with the delay after
    /// one that failed, and as much again for one that had begun with the old settings.
    fn longest_replacement(&self) -> Duration {
        let Supervisor { start_timeout, grace, backoff_cap, .. } = self.config.supervisor;
        (grace + start_timeout + backoff_cap) * 2 + MARGIN
    }

    fn census(&self) -> Reply {
        let (current, _) = self.policy.workers();
        let Some(worker) = current.and_then(|worker| self.held(worker)) else {
            return error(ErrorCode::Unavailable, "there is no worker now");
        };
        match census::take(worker.child.pid) {
            Ok(inventory) => {
                let subject = worker.subject(SystemTime::now());
                let ready = worker.at_ready.as_ref().map(|at_ready| &at_ready.inventory);
                Reply::Census(inventory.census(subject, ready, Order::Count))
            }
            Err(failure) => error(ErrorCode::Unavailable, ErrorChain(&failure).to_string()),
        }
    }

    /// Reads and applies the configuration again, for this user. The error has everything that is
    /// wrong with it.
    pub(super) fn reload(&mut self, uid: u32) -> Result<(), String> {
        self.notify.reloading();
        let applied = self.apply_configuration(uid);
        self.notify.reloaded();
        if let Err(refusal) = &applied {
            tracing::error!(refusal, "configuration is refused; the old one stays in force");
        }
        applied
    }

    fn apply_configuration(&mut self, uid: u32) -> Result<(), String> {
        if self.run_state != RunState::Running {
            return Err(STOPPING.to_owned());
        }
        let (config, launch) =
            self.source.load().map_err(|error| ErrorChain(&error).to_string())?;
        let moved = [
            ("listen", config.listen != self.config.listen),
            ("state_dir", config.state_dir != self.config.state_dir),
            ("runtime_dir", config.runtime_dir != self.config.runtime_dir),
        ];
        if let Some((key, _)) = moved.into_iter().find(|&(_, changed)| changed) {
            return Err(format!("{key} changed: that needs a restart of the supervisor"));
        }
        check_program(&launch)?;
        log::set_filter(&config.log);
        log::set_format(config.log_format);
        let settings = Settings::from(&config);
        self.config = config;
        self.launch = launch;
        tracing::info!("configuration is reloaded");
        self.feed(Event::Reload { settings, uid });
        Ok(())
    }
}

/// Before a worker that serves is asked to go: whether there is another to start.
fn check_program(launch: &Launch) -> Result<(), String> {
    launch.check().map_err(|error| {
        let program = launch.program.display();
        format!("cannot start {program}: {error}; nothing is replaced")
    })
}
