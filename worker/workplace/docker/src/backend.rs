//! The workplace of a session in its container.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    container::{Container, Lease, UNCOUNTED},
    container_manager::ContainerManager,
    reading::{Lookup, Reading},
    run_script::run_script,
    shell::Sandbox,
    spec::{HIDDEN, WORKSPACE},
    upload::{self, Appending},
    writing,
};
use evonic_backend::{
    Backend, Change, CommandSpec, Commands, Download, Ended, Entry, Finished, Found, Home, Removal,
    Result, Rewrite, Stat, Upload, WorkplaceError, Written,
    batch::{self, SmallFile},
    search,
    spool::Spool,
};
use evonic_domain::WorkplaceKind;
use evonic_shared::error_chain::ErrorChain;

/// Entries of the hidden folder that a list asks for beyond its limit, so that they take no place.
const HIDDEN_ENTRIES: u32 = 1000;

/// How often processes of this container were killed for want of memory, by either kind of control
/// group.
const MEMORY_KILLS: &str = "cat /sys/fs/cgroup/memory.events \
    /sys/fs/cgroup/memory/memory.oom_control 2>/dev/null | while read -r name count; do \
    [ \"$name\" != oom_kill ] || echo \"$count\"; done";

/// The home of the container's user; the workspace `$1` for one that the image gives none.
const HOME: &str = r#"case $HOME in /?*) [ ! -d "$HOME" ] || { printf %s "$HOME"; exit 0; } ;; esac
printf %s "$1""#;

#[derive(Clone, Debug)]
pub struct Docker {
    sandbox: Sandbox,
    spool: Spool,
}

impl Docker {
    pub(super) fn new(manager: Arc<ContainerManager>, container: Arc<Container>) -> Self {
        let settings = manager.parts.config.spool.clone();
        let sandbox = Sandbox { container, manager };
        let spool = Spool::new(Arc::new(sandbox.clone()), settings)
            .sharing(Arc::clone(&sandbox.container.forgotten));
        Self { sandbox, spool }
    }

    /// The container, up and kept so.
    pub(super) async fn lease(&self) -> Result<Lease> {
        self.sandbox.lease().await
    }

    #[cfg(test)]
    pub(super) fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    #[cfg(test)]
    pub(super) fn name(&self) -> &str {
        &self.sandbox.container.identity.name
    }

    #[cfg(test)]
    pub(super) fn session(&self) -> evonic_domain::SessionId {
        self.sandbox.container.identity.session.clone()
    }

    async fn user_home(&self) -> Result<&Home> {
        let ask = || async {
            let output = run_script(&self.sandbox, "home", "~", HOME, &[WORKSPACE]).await?;
            Home::from_shell(output.as_bytes())
        };
        self.sandbox.container.home.get_or_try_init(ask).await
    }

    /// A whole path of the container.
    async fn whole(&self, path: &str) -> Result<String> {
        let home = self.user_home().await?;
        let workspace = home.resolve(home.path(), WORKSPACE)?;
        let path = if path.is_empty() { "." } else { path };
        Ok(home.resolve(&workspace, path)?.to_string())
    }

    /// The whole path of what may be changed.
    async fn own(&self, path: &str) -> Result<String> {
        writing::below_workspace(path, &self.whole(path).await?)
    }

    /// Removes old records of commands, once a worker, beside the agent's work.
    fn tidy(&self) {
        let Sandbox { container, manager } = &self.sandbox;
        if container.tidied.swap(true, Ordering::Relaxed) {
            return;
        }
        let (spool, ending) = (self.spool.clone(), manager.ending.clone());
        manager.tasks.spawn(async move {
            if let Some(Err(error)) = ending.run_until_cancelled(spool.tidy()).await {
                tracing::debug!(
                    reason = ErrorChain(&error).to_string(),
                    "records of commands not removed"
                );
            }
        });
    }

    /// How often something was killed for want of memory since the container started.
    async fn count_memory_kills(&self) -> Option<u64> {
        let counted = run_script(&self.sandbox, "look", "memory", MEMORY_KILLS, &[]).await;
        counted.ok()?.trim().parse().ok()
    }

    /// Kills before the first command of this worker are no news.
    async fn begin_count(&self) {
        let known = &self.sandbox.container.memory_kills;
        if known.load(Ordering::Relaxed) == UNCOUNTED {
            known.store(self.count_memory_kills().await.unwrap_or(0), Ordering::Relaxed);
        }
    }

    /// Adds news when something was killed for want of memory: the command itself, which looks like
    /// any kill, or something that it started, which may look like anything but success.
    async fn explain(&self, finished: &Finished) {
        let container = &self.sandbox.container;
        let killed = match finished.ended {
            Ended::Signalled(9) | Ended::Exited(137) => true,
            // Of an earlier worker's command nobody counted what was before it.
            Ended::Exited(1..) | Ended::Signalled(_) | Ended::Unknown(_) => {
                container.memory_kills.load(Ordering::Relaxed) != UNCOUNTED
            }
            _ => false,
        };
        if !killed {
            return;
        }
        let Some(count) = self.count_memory_kills().await else { return };
        let before = container.memory_kills.swap(count, Ordering::Relaxed);
        if (if before == UNCOUNTED { 0 } else { before }) < count {
            container.add_news(format!(
                "The container ran out of memory ({} MiB with everything in it), and the kernel \
                 killed a process of the command.",
                container.settings().memory_bytes >> 20
            ));
        }
    }
}

#[async_trait]
impl Commands for Docker {
    async fn run(
        &self,
        spec: CommandSpec,
        output: mpsc::Sender<Bytes>,
        cancel: &CancellationToken,
    ) -> Result<Finished> {
        let _lease = self.sandbox.lease().await?;
        // Commands have it as HOME.
        self.user_home().await?;
        self.begin_count().await;
        let finished = self.spool.run(spec, output, cancel).await?;
        self.explain(&finished).await;
        self.tidy();
        Ok(finished)
    }

    async fn attach(
        &self,
        command_id: &str,
        from: u64,
        output: mpsc::Sender<Bytes>,
        cancel: &CancellationToken,
    ) -> Result<Finished> {
        let _lease = self.sandbox.lease().await?;
        let finished = self.spool.attach(command_id, from, output, cancel).await?;
        self.explain(&finished).await;
        Ok(finished)
    }

    async fn output(&self, command_id: &str, from: u64, limit: u64) -> Result<Bytes> {
        self.spool.output(command_id, from, limit).await
    }

    async fn kill(&self, command_id: &str) -> Result<u32> {
        self.spool.kill(command_id).await
    }

    fn forget(&self, command_id: &str) {
        self.spool.forget(command_id);
    }
}

#[async_trait]
impl Backend for Docker {
    fn kind(&self) -> WorkplaceKind {
        WorkplaceKind::Docker
    }

    fn news(&self) -> Option<String> {
        self.sandbox.container.take_news()
    }

    async fn home(&self) -> Result<String> {
        Ok(self.user_home().await?.path().to_string())
    }

    fn commands(&self) -> &dyn Commands {
        self
    }

    async fn stat(&self, path: &str) -> Result<Stat> {
        let whole = self.whole(path).await?;
        let mut at = Reading::begin(&self.sandbox, path).await?;
        Ok(at.find("stat", &whole).await?.stat)
    }

    async fn write(&self, path: &str, content: Bytes, rewrite: Rewrite) -> Result<Written> {
        let whole = self.whole(path).await?;
        writing::write(&self.sandbox, path, &whole, content, None, rewrite).await
    }

    async fn edit(
        &self,
        path: &str,
        limit_bytes: u64,
        change: Change,
        rewrite: Rewrite,
    ) -> Result<Written> {
        let whole = self.whole(path).await?;
        let mut at = Reading::begin(&self.sandbox, path).await?;
        let seen = at.find("edit", &whole).await?;
        let mut file = at.download(&whole, 0).await?;
        let size_bytes = file.stat.size_bytes;
        if size_bytes > limit_bytes {
            let path = path.to_owned();
            return Err(WorkplaceError::TooLarge { path, size_bytes, limit_bytes });
        }
        let mut content = Vec::new();
        while let Some(piece) = file.bytes.next().await {
            content.extend_from_slice(&piece?);
        }
        drop(file);
        let Some(changed) = change(&content) else { return Ok(Written::default()) };
        writing::write(&self.sandbox, path, &whole, changed.into(), Some(&seen), rewrite).await
    }

    async fn list(&self, path: &str, depth: u32, limit: u32) -> Result<(Vec<Entry>, bool)> {
        let whole = self.whole(path).await?;
        let hidden = format!("{WORKSPACE}/{HIDDEN}");
        let asked = limit.saturating_add(HIDDEN_ENTRIES);
        let (mut entries, more) = search::list(&self.sandbox, &whole, depth, asked).await?;
        let is_hidden = |entry: &Entry| {
            let path = format!("{}/{}", whole.trim_end_matches('/'), entry.path);
            path.strip_prefix(&hidden).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        entries.retain(|entry| !is_hidden(entry));
        let more = more || entries.len() > limit as usize;
        entries.truncate(limit as usize);
        Ok((entries, more))
    }

    async fn search(
        &self,
        pattern: &str,
        path: &str,
        glob: Option<&str>,
        limit: u32,
    ) -> Result<Found> {
        let whole = self.whole(path).await?;
        search::search(&self.sandbox, pattern, WORKSPACE, &whole, glob, limit).await
    }

    async fn make_folder(&self, path: &str) -> Result<()> {
        let whole = self.whole(path).await?;
        let script = r#"mkdir -p -- "$1""#;
        run_script(&self.sandbox, "make folder", path, script, &[&whole]).await.map(drop)
    }

    async fn remove(&self, path: &str, removal: Removal) -> Result<()> {
        let whole = self.own(path).await?;
        let script = match removal {
            Removal::One => {
                r#"if [ -d "$1" ] && [ ! -L "$1" ]; then exec rmdir -- "$1"; fi
                if [ -e "$1" ] || [ -L "$1" ]; then exec rm -f -- "$1"; fi
                echo "No such file or directory" >&2; exit 1"#
            }
            Removal::All => {
                r#"if [ -e "$1" ] || [ -L "$1" ]; then exec rm -rf -- "$1"; fi
                echo "No such file or directory" >&2; exit 1"#
            }
        };
        run_script(&self.sandbox, "remove", path, script, &[&whole]).await.map(drop)
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (source, target) = (self.own(from).await?, self.own(to).await?);
        let script = r#"if [ ! -e "$1" ] && [ ! -L "$1" ]; then
                echo "No such file or directory" >&2; exit 1
            fi
            if [ -d "$2" ]; then echo "Is a directory" >&2; exit 1; fi
            exec mv -f -- "$1" "$2""#;
        run_script(&self.sandbox, "rename", from, script, &[&source, &target]).await.map(drop)
    }

    async fn download(&self, path: &str, from: u64) -> Result<Download> {
        let whole = self.whole(path).await?;
        Reading::begin(&self.sandbox, path).await?.download(&whole, from).await
    }

    async fn upload(&self, path: &str, id: &str) -> Result<Box<dyn Upload>> {
        let whole = self.whole(path).await?;
        let mut at = Reading::begin(&self.sandbox, path).await?;
        let (end, mode) = match at.look(&whole).await? {
            Lookup::Found(found) => {
                at.expect_file(&found)?;
                (found.path, Some(found.stat.mode))
            }
            Lookup::Absent { path } => (path, None),
        };
        let end = writing::below_workspace(path, &end)?;
        Ok(Box::new(Appending::open(&self.sandbox, path, end, mode, id).await?))
    }

    async fn read_batch(&self, folder: &str, paths: &[String]) -> Result<Option<Vec<SmallFile>>> {
        let whole = self.whole(folder).await?;
        batch::read(&self.sandbox, &whole, paths).await
    }

    async fn write_batch(
        &self,
        folder: &str,
        files: &[SmallFile],
    ) -> Result<Option<HashMap<String, String>>> {
        let whole = self.own(folder).await?;
        batch::write(&self.sandbox, &whole, files).await
    }

    async fn sha256(&self, path: &str) -> Result<String> {
        let whole = self.whole(path).await?;
        upload::digest(&self.sandbox, path, &whole).await
    }
}
