//! The steps of a check up to an authenticated session: `resolve`, `connect`, `host key`,
//! `authenticate`, for each host of the way.

use std::{thread, time::Instant};

use evonic_shared::{config, error_chain::ErrorChain, kind::Kind};
use tokio::sync::{mpsc, oneshot};

use super::{
    connect::{self, StepObserver},
    host_key,
    known_hosts::Known,
    target::Target,
};
use evonic_backend::{Stage, Verdict, WorkplaceError, check::Steps};
use evonic_domain::SshAuth;
use evonic_handles::Budget;

/// A stage that ended well.
struct Passed {
    stage: Stage,
    detail: String,
    began: Instant,
}

/// Hands stages on to the task that reports them.
struct Listener(mpsc::UnboundedSender<Passed>);

impl StepObserver for Listener {
    fn passed(&mut self, stage: Stage, detail: String, began: Instant) {
        // The listener may be gone.
        let _gone = self.0.send(Passed { stage, detail, began });
    }
}

/// Connects once, reports every stage, and closes. Returns whether all went well. The thread that
/// does it ends within `ssh.connect_timeout`, also when the future is dropped; its permits bound
/// how many of them there are.
pub(super) async fn reach(
    target: &Target,
    settings: &config::Ssh,
    budget: &Budget,
    steps: &Steps,
) -> bool {
    let began = Instant::now();
    let mut permits = Vec::new();
    for _ in 0..=target.jumps.len() {
        match budget.acquire(Kind::Ssh, settings.connect_timeout).await {
            Ok(permit) => permits.push(permit),
            Err(error) => {
                let advice = "raise budget.ssh, or let idle connections close";
                let (detail, advice) = (error.to_string(), Some(advice.to_owned()));
                steps.report(Stage::Connect.label(), Verdict::Failed, detail, advice, began).await;
                return false;
            }
        }
    }
    let (listener, mut passed) = mpsc::unbounded_channel();
    let (reply, result) = oneshot::channel();
    let (theirs, time) = (target.clone(), settings.clone());
    let started = thread::Builder::new().name("evonic-ssh-check".to_owned()).spawn(move || {
        let mut listener = Listener(listener);
        let connected = connect::connect(&theirs, &time, permits, &mut listener);
        // Closed before the end is reported, so that the account is even by then.
        drop(reply.send(connected.map(drop)));
    });
    if let Err(error) = started {
        let detail = ErrorChain(&WorkplaceError::Threads(error)).to_string();
        steps.report(Stage::Connect.label(), Verdict::Failed, detail, None, began).await;
        return false;
    }
    let (mut stage, mut began) = (Stage::Resolve, Instant::now());
    while let Some(Passed { stage: done, detail, began: since }) = passed.recv().await {
        steps.report(done.label(), Verdict::Ok, detail, None, since).await;
        (stage, began) = (after(done), Instant::now());
    }
    match result.await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            let advice = Some(advice(&error, stage, target));
            let detail = ErrorChain(&error).to_string();
            steps.report(stage.label(), Verdict::Failed, detail, advice, began).await;
            false
        }
        Err(_) => {
            let detail = "the connection's thread ended early".to_owned();
            steps.report(stage.label(), Verdict::Failed, detail, None, began).await;
            false
        }
    }
}

/// The stage that follows. After a jump host's last one comes the connection to the next host.
const fn after(stage: Stage) -> Stage {
    match stage {
        Stage::Resolve | Stage::Authenticate => Stage::Connect,
        Stage::Connect => Stage::HostKey,
        _ => Stage::Authenticate,
    }
}

/// What to do about a step that failed: a command to run on the service's machine, as its user.
fn advice(error: &WorkplaceError, stage: Stage, target: &Target) -> String {
    let hops = target.jumps.iter().chain([target]);
    let named = match error {
        WorkplaceError::Unreachable { host, .. } | WorkplaceError::Refused { host, .. } => {
            hops.clone().find(|hop| hop.to_string() == *host)
        }
        _ => None,
    };
    let hop = named.unwrap_or(target);
    let refused = matches!(error, WorkplaceError::Refused { .. });
    match stage {
        Stage::Resolve => format!("getent hosts {}", hop.host),
        Stage::Connect => {
            format!("look whether sshd listens there: nc -vz {} {}", hop.host, hop.port)
        }
        Stage::HostKey if refused => make_known(hop),
        Stage::Authenticate if refused => let_in(hop),
        _ => format!("see what OpenSSH says: ssh -v{}", login(hop)),
    }
}

fn make_known(hop: &Target) -> String {
    let known = Known::read(&hop.known_hosts, &hop.name).unwrap_or_default();
    let check = "compare the fingerprint with that of ssh-keygen -lf on the host, then run: ";
    if known.key_types().is_empty() {
        return format!("{check}{}", host_key::how_to_add(hop));
    }
    let file = hop.known_hosts.first().map_or_else(String::new, |f| f.display().to_string());
    format!("{check}ssh-keygen -R '{}' -f {file}; {}", hop.name, host_key::how_to_add(hop))
}

fn let_in(hop: &Target) -> String {
    let key = hop.identity_files.first().filter(|_| hop.authenticate.contains(&SshAuth::Key));
    match key {
        Some(key) => format!("ssh-copy-id -i {}.pub{}", key.display(), login(hop)),
        None => format!(
            "name a key in settings.identity_files, or see what OpenSSH says: ssh -v{}",
            login(hop)
        ),
    }
}

/// Where to log in, as arguments of OpenSSH's programs.
fn login(hop: &Target) -> String {
    let jumps: Vec<_> = hop.jumps.iter().map(ToString::to_string).collect();
    let over = if jumps.is_empty() { "" } else { " -o ProxyJump=" };
    format!("{over}{} -p {} {}@{}", jumps.join(","), hop.port, hop.user, hop.host)
}

#[cfg(test)]
mod tests;
