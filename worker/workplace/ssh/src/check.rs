//! The steps of a check up to an authenticated session: `resolve`, `connect`, `host key`,
//! `authenticate`, for each host of the way.

use std::{thread, time::Instant};

use evonic_shared::{config, kind::Kind};
use tokio::sync::{mpsc, oneshot};

use super::{
    connect::{self, Witness},
    host_key,
    known_hosts::Known,
    target::Target,
};
use evonic_backend::{Verdict, WorkplaceError, check::Steps};
use evonic_domain::SshAuth;
use evonic_handles::Budget;

/// A step that ended well.
struct Passed {
    step: &'static str,
    detail: String,
    began: Instant,
}

/// Hands steps on to the task that tells them.
struct Listener(mpsc::UnboundedSender<Passed>);

impl Witness for Listener {
    fn passed(&mut self, step: &'static str, detail: String, began: Instant) {
        // Nobody may listen any more.
        let _gone = self.0.send(Passed { step, detail, began });
    }
}

/// Connects once, tells every step, and closes. Returns whether all went well. The thread that
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
                let told = (error.to_string(), Some(advice.to_owned()));
                steps.report("connect", Verdict::Failed, told.0, told.1, began).await;
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
        // Closed before the end is told, so that whoever hears it finds the account even.
        drop(reply.send(connected.map(drop)));
    });
    if let Err(error) = started {
        let detail =
            evonic_shared::error_chain::ErrorChain(&WorkplaceError::Threads(error)).to_string();
        steps.report("connect", Verdict::Failed, detail, None, began).await;
        return false;
    }
    let (mut step, mut began) = ("resolve", Instant::now());
    while let Some(Passed { step: done, detail, began: since }) = passed.recv().await {
        steps.report(done, Verdict::Ok, detail, None, since).await;
        (step, began) = (after(done), Instant::now());
    }
    match result.await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            let advice = Some(advice(&error, step, target));
            let detail = evonic_shared::error_chain::ErrorChain(&error).to_string();
            steps.report(step, Verdict::Failed, detail, advice, began).await;
            false
        }
        Err(_) => {
            let detail = "the connection's thread ended early".to_owned();
            steps.report(step, Verdict::Failed, detail, None, began).await;
            false
        }
    }
}

/// The step that comes then. After a jump host's last one comes the connection to the next.
fn after(step: &str) -> &'static str {
    match step {
        "resolve" | "authenticate" => "connect",
        "connect" => "host key",
        _ => "authenticate",
    }
}

/// What to do about a step that failed: a command to run on the service's machine, as its user.
fn advice(error: &WorkplaceError, step: &str, target: &Target) -> String {
    let hops = target.jumps.iter().chain([target]);
    let named = match error {
        WorkplaceError::Unreachable { host, .. } | WorkplaceError::Refused { host, .. } => {
            hops.clone().find(|hop| hop.to_string() == *host)
        }
        _ => None,
    };
    let hop = named.unwrap_or(target);
    let refused = matches!(error, WorkplaceError::Refused { .. });
    match step {
        "resolve" => format!("getent hosts {}", hop.host),
        "connect" => format!("look whether sshd listens there: nc -vz {} {}", hop.host, hop.port),
        "host key" if refused => make_known(hop),
        "authenticate" if refused => let_in(hop),
        _ => format!(
            "see what OpenSSH says: ssh -v{} -p {} {}@{}",
            over(hop),
            hop.port,
            hop.user,
            hop.host
        ),
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
        Some(key) => format!(
            "ssh-copy-id -i {}.pub{} -p {} {}@{}",
            key.display(),
            over(hop),
            hop.port,
            hop.user,
            hop.host
        ),
        None => format!(
            "name a key in settings.identity_files, or see what OpenSSH says: ssh -v{} -p {} {}@{}",
            over(hop),
            hop.port,
            hop.user,
            hop.host
        ),
    }
}

/// The jump hosts, as an option of OpenSSH's.
fn over(hop: &Target) -> String {
    if hop.jumps.is_empty() {
        return String::new();
    }
    let jumps: Vec<_> = hop.jumps.iter().map(ToString::to_string).collect();
    format!(" -o ProxyJump={}", jumps.join(","))
}

#[cfg(test)]
mod tests;
