//! Commands of this machine: each has a runner and a record.
//!
//! ```text
//! state_dir/commands/COMMAND_ID/   see `evonic_runner::record`
//! ```
//!
//! The runner is started here and outlives this process. Who comes later finds it by its record.

mod connection;
mod environment;
mod follow;
mod groups;
mod launcher;
mod limits;
mod previous;
mod records;

use std::{
    fs, io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use evonic_runner::{
    Level, Spec,
    record::{Record, Status},
    spec::VERSION,
};
use evonic_shared::config::{self, CommandNetwork, Config, Sandbox};
use parking_lot::Mutex;
use rustix::io::Errno;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(super) use self::{
    environment::Environment, launcher::Launcher, limits::describe as describe_limits,
};
use super::{
    files::Files,
    sandbox::{self, Reach},
    user,
};
use evonic_backend::{
    CommandSpec, Ended, Finished, Result, Unknown, WorkplaceError,
    spool::{check, check_command_id, too_long},
};
use evonic_handles::Budget;

/// How often old records are looked for.
const TIDY: Duration = Duration::from_secs(3600);

/// The longest time limit: ten years.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The commands of one local workplace.
#[derive(Clone, Debug)]
pub(super) struct Commands {
    pub(super) launcher: Arc<Launcher>,
    files: Arc<Files>,
    /// The folder of all records.
    records: Arc<Files>,
    settings: config::Spool,
    /// What is wished for in this workplace.
    sandbox: Sandbox,
    network: CommandNetwork,
    /// When old records were looked for.
    tidied: Arc<Mutex<Option<Instant>>>,
}

impl Commands {
    /// # Errors
    /// [`WorkplaceError`] when the folder of records cannot be made, or there are no threads.
    pub(super) fn new(
        config: &Config,
        budget: Budget,
        files: &Arc<Files>,
        reach: Reach,
        environment: Environment,
    ) -> Result<Self> {
        let folder = config.state_dir.join("commands");
        records::make_private(&folder).map_err(|source| WorkplaceError::Root {
            path: folder.display().to_string(),
            source,
        })?;
        let records = Arc::new(files.confined_at(folder.clone())?);
        let launcher = Launcher::new(config, budget, reach, environment, folder);
        let launcher = Arc::new(launcher.map_err(WorkplaceError::Threads)?);
        Ok(Self {
            launcher,
            files: Arc::clone(files),
            records,
            settings: config.spool.clone(),
            sandbox: config.workplace.sandbox,
            network: config.workplace.network,
            tidied: Arc::default(),
        })
    }

    /// The same launcher, threads and records for another folder, with other wishes.
    pub(super) fn at(
        &self,
        files: &Arc<Files>,
        sandbox: Option<Sandbox>,
        network: Option<CommandNetwork>,
    ) -> Self {
        Self {
            files: Arc::clone(files),
            sandbox: sandbox.unwrap_or(self.sandbox),
            network: network.unwrap_or(self.network),
            ..self.clone()
        }
    }

    /// The level that is in force here.
    ///
    /// # Errors
    /// [`WorkplaceError::Settings`] when what is wished for cannot be had.
    async fn level(&self) -> Result<Level> {
        let probed = self.launcher.probed().await;
        let level = probed.level(self.sandbox, self.network);
        level.map_err(|(field, problem)| WorkplaceError::settings(field, problem))
    }

    /// The level, and what it means.
    pub(super) async fn containment(
        &self,
        settings: &config::Workplace,
    ) -> Result<(Level, String)> {
        let level = self.level().await?;
        let probed = self.launcher.probed().await;
        let reached = sandbox::describe(level, probed, self.network, settings);
        let who = user::describe(self.launcher.reach.user, level, self.files.root.path());
        Ok((level, reached + &who))
    }

    fn record_path(&self, command_id: &str) -> PathBuf {
        self.records.root.path().join(command_id)
    }

    async fn spec(&self, spec: &CommandSpec) -> Result<Spec> {
        let level = self.level().await?;
        let folder = self.files.folder_path(&spec.folder).await?;
        let root = self.files.root.path().to_owned();
        let sandbox = self.launcher.reach.sandbox(level, root, self.network);
        let record = self.record_path(&spec.command_id);
        let temporary = evonic_runner::temporary(&sandbox, &record);
        let environment =
            self.launcher.environment.of_command(&spec.command_id, &sandbox, &temporary);
        let timeout = spec.timeout.min(LONGEST).as_millis();
        Ok(Spec {
            version: VERSION,
            command_id: spec.command_id.clone(),
            record,
            argv: spec.argv.clone(),
            environment,
            folder,
            timeout_ms: u64::try_from(timeout).unwrap_or(u64::MAX),
            max_output_bytes: self.settings.max_output_bytes.into(),
            limits: self.launcher.limits.clone(),
            sandbox,
            group: self.launcher.groups.as_ref().map(|groups| groups.of(&spec.command_id)),
        })
    }

    /// Looks for old records, once an hour at the most.
    fn tidy_now_and_then(&self) {
        let mut tidied = self.tidied.lock();
        if tidied.is_none_or(|last| last.elapsed() >= TIDY) {
            *tidied = Some(Instant::now());
            let commands = self.clone();
            self.launcher.tasks.spawn(async move { commands.tidy().await });
        }
    }

    /// The names of all records.
    pub(super) async fn records(&self) -> Vec<String> {
        let folder = self.records.root.path().to_owned();
        self.launcher.pool.run(move |_| records::names(&folder, |_| true)).await
    }

    /// Removes what was made to try a sandbox by workers that are dead.
    pub(super) async fn remove_probes(&self) {
        let folder = self.records.root.path().to_owned();
        let is_left = |entry: &fs::DirEntry| records::is_left_probe(&entry.file_name());
        for name in self.launcher.pool.run(move |_| records::names(&folder, is_left)).await {
            records::remove(&self.records, &name).await;
        }
    }

    /// Removes records older than `spool.keep`, unless their command still runs.
    async fn tidy(&self) {
        let (folder, keep) = (self.records.root.path().to_owned(), self.settings.keep);
        let old = self.launcher.pool.run(move |_| records::old(&folder, keep)).await;
        for command_id in old {
            records::remove(&self.records, &command_id).await;
        }
    }
}

#[async_trait]
impl evonic_backend::Commands for Commands {
    /// Makes the folder of its record.
    async fn reserve(&self, command_id: &str) -> Result<()> {
        check_command_id(command_id)?;
        let path = self.record_path(command_id);
        let made = self.launcher.pool.run(move |_| Record::create(&path)).await;
        let failed = |error| WorkplaceError::path("make", format!("record of {command_id}"), error);
        made.map(drop).map_err(failed)
    }

    /// Runs a command. Standard output and error come as one stream, in their order.
    ///
    /// The environment is `PATH`, `LANG`, `TZ` (the service's), `HOME` (the root), those of
    /// [`evonic_backend::unattended`], `EVONIC_CALL` (the command id), `TMPDIR` (a folder of its own,
    /// when it is confined), and what `tools.environment` names. Standard input ends after the given bytes. The limits and
    /// the sandbox of `[workplace]` hold from its first instruction on.
    ///
    /// Holds one `child` permit while it is followed.
    async fn run(
        &self,
        spec: CommandSpec,
        output: mpsc::Sender<Bytes>,
        cancel: &CancellationToken,
    ) -> Result<Finished> {
        check(&spec)?;
        self.tidy_now_and_then();
        let not_started = |ended| Finished { ended, left_behind: 0 };
        if let Some(why) = too_long(&spec) {
            return Ok(not_started(Ended::NotStarted(why)));
        }
        let permit = self.launcher.permit();
        let Some(permit) = cancel.run_until_cancelled(permit).await else {
            return Ok(not_started(Ended::Cancelled));
        };
        let permit = permit?;
        let ready = self.spec(&spec).await?;
        if cancel.is_cancelled() {
            return Ok(not_started(Ended::Cancelled));
        }
        let started = self.launcher.start(ready, spec.stdin, permit).await;
        let started = started
            .map_err(|source| WorkplaceError::Start { program: spec.argv[0].clone(), source })?;
        self.follow_started(&spec.command_id, started, &output, cancel).await
    }

    async fn attach(
        &self,
        command_id: &str,
        from: u64,
        output: mpsc::Sender<Bytes>,
        cancel: &CancellationToken,
    ) -> Result<Finished> {
        check_command_id(command_id)?;
        let permit = self.launcher.permit().await?;
        self.follow_record(command_id, from, &output, cancel, permit).await
    }

    async fn output(&self, command_id: &str, from: u64, limit: u64) -> Result<Bytes> {
        check_command_id(command_id)?;
        let path = self.record_path(command_id);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let read = self
            .launcher
            .pool
            .run(move |_| match Record::open(&path)? {
                Some(record) => record.output(from, limit),
                None => previous::output(&path, from, limit),
            })
            .await;
        let failed = |error: io::Error| {
            WorkplaceError::path("read", format!("output of {command_id}"), error)
        };
        match read {
            Ok(Some(bytes)) => Ok(bytes.into()),
            Ok(None) => Err(failed(Errno::NOENT.into())),
            Err(error) => Err(failed(error)),
        }
    }

    async fn kill(&self, command_id: &str) -> Result<u32> {
        check_command_id(command_id)?;
        let permit = self.launcher.permit().await?;
        self.kill_record(command_id, permit).await
    }

    fn forget(&self, command_id: &str) {
        let (records, command_id) = (Arc::clone(&self.records), command_id.to_owned());
        self.launcher.sweep();
        self.launcher.tasks.spawn(async move { records::remove(&records, &command_id).await });
    }
}

/// How a record says that its command ended.
fn finished(status: Status) -> Finished {
    use evonic_runner::Ended as Recorded;
    let ended = match status.ended {
        Recorded::Exited(code) => Ended::Exited(code),
        Recorded::Signalled(signal) => Ended::Signalled(signal),
        Recorded::NotStarted(why) => Ended::NotStarted(why),
        Recorded::TimedOut => Ended::TimedOut,
        Recorded::TooMuchOutput => Ended::TooMuchOutput,
        Recorded::Unstored(why) => Ended::Unstored(why),
        Recorded::Cancelled => Ended::Cancelled,
        Recorded::NoRecord => Ended::Unknown(Unknown::NoRecord),
        Recorded::Restarted => Ended::Unknown(Unknown::Restarted),
        Recorded::RunnerKilled => Ended::Unknown(Unknown::WatcherKilled),
    };
    Finished { ended, left_behind: status.left_behind }
}

#[cfg(test)]
mod tests;
