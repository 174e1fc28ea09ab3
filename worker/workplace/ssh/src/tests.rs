//! Against OpenSSH's server.

mod broken;
mod homes;
mod hostile;
mod streams;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use evonic_parts::{Account, Sshd};
use evonic_shared::{
    config::{Config, Environment},
    error_chain::ErrorChain,
    kind::Kind,
};
use futures_util::{StreamExt, TryStreamExt};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::*;
use evonic_backend::{Backend, Class, CommandSpec, Ended, Finished, WorkplaceError};
use evonic_domain::SshAuth;
use evonic_handles::{Budget, Page};
use evonic_store::Store;

/// A server, and what a worker has of it.
struct Fixture {
    sshd: Sshd,
    hosts: Hosts,
    budget: Budget,
    state: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self::with("", |_| ())
    }

    fn with(sshd: &str, change: impl FnOnce(&mut Config)) -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut config = Config::resolve(None, &Environment::default()).unwrap().config;
        config.state_dir = state.path().to_owned();
        config.ssh.connect_timeout = Duration::from_secs(20);
        config.ssh.backoff_base = Duration::from_millis(10);
        change(&mut config);
        let budget = Budget::new(&config.budget, Page::private().unwrap(), 1 << 20);
        std::fs::write(state.path().join("ssh_config"), "").unwrap();
        let store =
            Store::open(&state.path().join("evonic.db"), &config.store, budget.clone()).unwrap();
        let (config, instance) = (Arc::new(config), "test".to_owned());
        let parts = BackendDeps { config, budget: budget.clone(), store, instance };
        Self { sshd: Sshd::with(sshd), hosts: Hosts::new(&parts), budget, state }
    }

    fn settings(&self, account: &Account) -> SshSettings {
        SshSettings {
            host: "127.0.0.1".into(),
            port: Some(self.sshd.port()),
            user: Some(account.name.clone()),
            authenticate: vec![SshAuth::Key],
            identity_files: vec![account.key.clone()],
            known_hosts: Some(self.sshd.known_hosts()),
            config_file: Some(self.state.path().join("ssh_config")),
            ..SshSettings::default()
        }
    }

    fn account(&self) -> Account {
        self.sshd.account("/bin/sh", "home")
    }

    fn open(&self, account: &Account) -> Ssh {
        self.hosts.open(&self.settings(account), None).unwrap()
    }

    /// Permits and descriptors that are in use.
    fn used(&self) -> (u32, u32) {
        let usage = self.budget.usage();
        let ssh = usage.iter().find(|usage| usage.kind == Kind::Ssh).unwrap();
        (ssh.permits, ssh.descriptors)
    }
}

fn spec(command_id: &str, text: &str) -> CommandSpec {
    CommandSpec {
        argv: ["sh", "-c", text].map(str::to_owned).to_vec(),
        stdin: Bytes::new(),
        folder: String::new(),
        timeout: Duration::from_secs(60),
        command_id: command_id.to_owned(),
    }
}

/// Runs a line of the shell; returns its end and its output.
async fn run(workplace: &Ssh, command_id: &str, text: &str) -> Result<(Finished, String)> {
    let (sender, mut receiver) = mpsc::channel::<Bytes>(4);
    let cancel = CancellationToken::new();
    let collect = async {
        let mut all = BytesMut::new();
        while let Some(bytes) = receiver.recv().await {
            all.extend_from_slice(&bytes);
        }
        String::from_utf8_lossy(&all).into_owned()
    };
    let (finished, output) =
        tokio::join!(workplace.commands().run(spec(command_id, text), sender, &cancel), collect);
    Ok((finished?, output))
}

async fn output(workplace: &Ssh, command_id: &str, text: &str) -> String {
    let (finished, output) = run(workplace, command_id, text).await.unwrap();
    assert_eq!(finished.ended, Ended::Exited(0), "{output}");
    output
}

fn chain(error: &WorkplaceError) -> String {
    ErrorChain(error).to_string()
}

/// Waits, at most for 20 s, until `what` holds.
async fn until(state: &str, mut what: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !what() {
        assert!(Instant::now() < deadline, "still not: {state}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn download(workplace: &Ssh, path: &str, from: u64) -> Result<Vec<u8>> {
    let download = workplace.download(path, from).await?;
    download.bytes.map_ok(|bytes| bytes.to_vec()).try_concat().await
}
