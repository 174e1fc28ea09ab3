//! What status clients are answered.

use std::time::{Duration, SystemTime};

use evonic_shared::{
    error_chain::ErrorChain,
    status::{ErrorCode, FORMAT, Reply, Request},
    timestamp::rfc3339,
};

use super::{Course, EventLoop, settings};
use crate::{
    census::{self, Order, Subject},
    clients::{Asked, Permission, Question, error},
    log,
    policy::Event,
};

/// Requests of status clients answered in one turn.
const ANSWERS: usize = 8;

/// The time after which no further one is begun: a census of many descriptors takes long.
const SLICE: Duration = Duration::from_millis(5);

impl EventLoop {
    /// Answers some of the requests that are there, and shows watchers what changed.
    pub(super) fn serve_clients(&mut self) {
        let begun = self.clock.now();
        for _ in 0..ANSWERS {
            if self.clock.now().saturating_sub(begun) > SLICE {
                break;
            }
            let Some(question) = self.clients.next_question(&self.poller) else { break };
            self.answer(question);
        }
        self.write_down();
        let now = self.clock.now();
        if self.clients.wants_status() {
            let status = self.sources().status();
            self.clients.show(&self.poller, &status, now);
        }
        self.clients.expire(&self.poller, now);
    }

    fn answer(&mut self, question: Question) {
        let Question { serial, permission, asked } = question;
        let reply = match asked {
            Asked::Request(Request::Watch) => {
                self.clients.watch(&self.poller, serial, self.clock.now());
                return;
            }
            Asked::Request(request) => self.reply(request, permission),
            Asked::Refused { code, message } => error(code, message),
        };
        self.clients.reply(&self.poller, serial, &reply, self.clock.now());
    }

    fn reply(&mut self, request: Request, permission: Permission) -> Reply {
        let op = match request {
            Request::Status | Request::Watch => return Reply::Status(self.sources().status()),
            Request::History { limit } => {
                let limit = limit.map_or(usize::MAX, |limit| limit as usize);
                let entries = self.history.newest_first().take(limit).cloned().collect();
                return Reply::History { format: FORMAT, entries };
            }
            Request::Census => return self.census(),
            Request::Restart => "restart",
            Request::Drain => "drain",
            Request::Reload => "reload",
        };
        let Permission::Command { uid } = permission else {
            let message = format!("{op} is for root and the service's user");
            return error(ErrorCode::Forbidden, message);
        };
        if self.course != Course::On && op != "drain" {
            return error(ErrorCode::Unavailable, "the supervisor is stopping");
        }
        tracing::info!(op, uid, "command of a client");
        match request {
            Request::Reload => {
                if let Err(refusal) = self.reload(uid) {
                    return error(ErrorCode::Invalid, refusal);
                }
            }
            Request::Drain => self.stop(),
            _ => self.feed(Event::Restart { uid }),
        }
        Reply::Accepted { format: FORMAT, op: op.to_owned() }
    }

    fn census(&self) -> Reply {
        let (current, _) = self.policy.workers(self.clock.now());
        let worker = current
            .and_then(|view| self.crew.iter().find(|worker| worker.generation == view.generation));
        let Some(worker) = worker else {
            return error(ErrorCode::Unavailable, "there is no worker now");
        };
        match census::take(worker.child.pid()) {
            Ok(inventory) => {
                let subject = Subject {
                    at: rfc3339(SystemTime::now()),
                    generation: worker.generation,
                    pid: worker.child.number(),
                };
                let ready = worker.at_ready.as_ref().map(|at_ready| &at_ready.inventory);
                Reply::Census(inventory.census(subject, ready, Order::Count))
            }
            Err(failure) => error(ErrorCode::Unavailable, ErrorChain(&failure).to_string()),
        }
    }

    /// Reads the configuration again because this user asked for it, and takes it over, or refuses
    /// it with all its faults.
    pub(super) fn reload(&mut self, uid: u32) -> Result<(), String> {
        self.notify.reloading();
        let taken = self.take_configuration(uid);
        self.notify.reloaded();
        if let Err(refusal) = &taken {
            tracing::error!(refusal, "configuration is refused; the old one stays in force");
        }
        taken
    }

    fn take_configuration(&mut self, uid: u32) -> Result<(), String> {
        if self.course != Course::On {
            return Err("the supervisor is stopping".to_owned());
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
        log::set_filter(&config.log);
        log::set_format(config.log_format);
        let settings = settings(&config);
        self.config = config;
        self.launch = launch;
        tracing::info!("configuration is reloaded");
        self.feed(Event::Reload { settings, uid });
        Ok(())
    }
}
