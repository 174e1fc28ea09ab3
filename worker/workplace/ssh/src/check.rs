//! The steps of a check up to an authenticated session: `resolve`, `connect`, `host key`,
//! `authenticate`, for each host of the way.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use evonic_shared::error_chain::ErrorChain;
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout_at,
};

use super::{
    connect::{self, StepObserver, next_stage},
    host_key,
    known_hosts::Known,
    pool::{self, PoolState},
    target::Target,
};
use evonic_backend::{Stage, Verdict, WorkplaceError, check::Steps};

/// A stage that ended well.
struct Passed {
    stage: Stage,
    detail: String,
    began: Instant,
}

/// Hands stages on to the task that reports them.
struct Listener {
    passed: mpsc::UnboundedSender<Passed>,
    /// The first key that a server did not accept.
    refused: Arc<Mutex<Option<PathBuf>>>,
}

impl StepObserver for Listener {
    fn passed(&mut self, stage: Stage, detail: String, began: Instant) {
        // The listener may be gone.
        let _gone = self.passed.send(Passed { stage, detail, began });
    }

    fn key_refused(&mut self, key: &Path) {
        self.refused.lock().get_or_insert_with(|| key.to_owned());
    }
}

/// How long after its own deadline the thread is waited for.
const LATE: Duration = Duration::from_secs(2);

/// Connects once, reports every stage, and closes. Returns whether all went well. The thread that
/// does it ends within `ssh.connect_timeout`, also when the future is dropped; its permits bound
/// how many of them there are, and unused connections give theirs.
pub(super) async fn reach(target: &Target, pool: &PoolState, steps: &Steps) -> bool {
    let began = Instant::now();
    let settings = &pool.settings;
    let permits = match pool.permits(target.jumps.len() + 1).await {
        Ok(permits) => permits,
        Err(error) => {
            let advice = "raise budget.ssh, or wait until fewer connections are in use";
            let (detail, advice) = (ErrorChain(&error).to_string(), Some(advice.to_owned()));
            steps.report(Stage::Connect.label(), Verdict::Failed, detail, advice, began).await;
            return false;
        }
    };
    let (sender, mut passed) = mpsc::unbounded_channel();
    let refused = Arc::new(Mutex::new(None));
    let mut listener = Listener { passed: sender, refused: Arc::clone(&refused) };
    let (reply, result) = oneshot::channel();
    let (theirs, time) = (target.clone(), settings.clone());
    let started = thread::Builder::new().name("evonic-ssh-check".to_owned()).spawn(move || {
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
    let deadline = tokio::time::Instant::now() + settings.connect_timeout + LATE;
    while let Ok(Some(Passed { stage: done, detail, began: since })) =
        timeout_at(deadline, passed.recv()).await
    {
        steps.report(done.label(), Verdict::Ok, detail, None, since).await;
        (stage, began) = (next_stage(done), Instant::now());
    }
    let result = timeout_at(deadline, result).await;
    let late = || Ok(Err(pool::late(target, stage, settings.connect_timeout)));
    match result.unwrap_or_else(|_| late()) {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            let advice = Some(advice(&error, stage, target, refused.lock().as_deref()));
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

/// What to do about a step that failed: a command to run on the service's machine, as its user.
fn advice(error: &WorkplaceError, stage: Stage, target: &Target, key: Option<&Path>) -> String {
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
        Stage::Authenticate if refused => let_in(hop, key),
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

/// `key`: one that the server does not accept.
fn let_in(hop: &Target, key: Option<&Path>) -> String {
    let see = format!("see what OpenSSH says: ssh -v{}", login(hop));
    match (key, hop.identity_files.is_empty()) {
        (Some(key), _) => format!(
            "if the account has not got the key yet: ssh-copy-id -i {}.pub{}; if it has, sshd's log \
             there says why it is refused",
            key.display(),
            login(hop)
        ),
        (None, true) => format!("name a key in settings.identity_files, or {see}"),
        (None, false) => see,
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
