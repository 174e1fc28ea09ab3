//! An unfinished copy: appended to by one `cat`, which lives no longer than its upload.
//!
//! The engine's archives are whole files of a known size; what grows piece by piece, and goes on
//! after a cut, is appended.

use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::AsyncWriteExt;

use super::{
    reading::Reading,
    run_script::run_script,
    shell::{Attached, Sandbox},
    writing::TAKE_PLACE,
};
use evonic_backend::{
    Class, KeepAnswer, KeepRequest, Result, Rewrite, Stage, Upload, WorkplaceError, Written,
    search,
    spool::{Gathered, ScriptEnd},
};

/// Bytes of a writer's complaint that errors show.
const COMPLAINT_BYTES: usize = 1000;

/// The variable by which writers of an unfinished copy find each other.
const VARIABLE: &str = "EVONIC_UPLOAD";

/// Ends a writer of before, whose connection may have broken a moment ago: it must not add to what
/// is counted here. Then makes the file and prints its size.
const OPEN: &str = r#"mkdir -p -- "${1%/*}" || exit 1
tries=0
while [ "$tries" -lt 50 ]; do
    found=
    for process in /proc/[0-9]*; do
        if tr '\0' '\n' 2>/dev/null <"$process/environ" | grep -qxF "EVONIC_UPLOAD=$2"; then
            found=1
            kill -9 "${process#/proc/}" 2>/dev/null
        fi
    done
    [ -z "$found" ] && break
    tries=$((tries + 1))
    sleep 0.1 2>/dev/null || sleep 1
done
[ -z "$found" ] || { echo "another writer of it does not end" >&2; exit 1; }
umask 077
: >>"$1" && wc -c <"$1""#;

/// Gives `$1` the mode `$3` and puts it in the place of `$2`.
const FINISH: &str = r#"if [ -d "$2" ]; then echo "Is a directory" >&2; exit 1; fi
chmod "$3" -- "$1" 2>/dev/null || chmod "$3" "$1" || exit 1
mv -f -- "$1" "$2""#;

pub(super) struct Appending {
    sandbox: Sandbox,
    shown: String,
    /// The unfinished copy.
    part: String,
    /// Where it goes.
    target: String,
    /// Of the file that is there.
    mode: Option<u32>,
    length: u64,
    /// Absent when it is flushed.
    writer: Option<Attached>,
}

impl Appending {
    /// Opens `.NAME.ID.part` beside `target`, a whole path.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub(super) async fn open(
        sandbox: &Sandbox,
        shown: &str,
        target: String,
        mode: Option<u32>,
        id: &str,
    ) -> Result<Self> {
        let (folder, name) = target.rsplit_once('/').unwrap_or(("", &target));
        let part = format!("{folder}/.{name}.{id}.part");
        let size = run_script(sandbox, "upload", shown, OPEN, &[&part, &part]).await?;
        let length = size.trim().parse().map_err(|_| {
            let source = io::Error::other(format!("its size was reported as {size:?}"));
            WorkplaceError::path("upload", shown, source)
        })?;
        let (sandbox, shown) = (sandbox.clone(), shown.to_owned());
        Ok(Self { sandbox, shown, part, target, mode, length, writer: None })
    }

    fn broken(&self, reason: String) -> WorkplaceError {
        self.sandbox.container.engine.unreachable(Stage::Upload, reason)
    }

    async fn put_in_place(&mut self, wanted: Option<u32>) -> Result<Written> {
        let Self { shown, target: file, part: draft, .. } = &*self;
        let Some(mode) = self.mode else {
            let mode = format!("{:o}", wanted.unwrap_or(0o644) & 0o7777);
            let arguments = [draft.as_str(), file, &mode];
            run_script(&self.sandbox, "upload", shown, FINISH, &arguments).await?;
            return Ok(Written::default());
        };
        let (rewrite, then) = (Rewrite::Whole, TAKE_PLACE);
        let request = KeepRequest { shown, file, draft, mode, wanted, rewrite, then };
        match request.run(&self.sandbox).await? {
            KeepAnswer::Kept(written) => Ok(written),
            KeepAnswer::InPlace => Ok(Written::default()),
        }
    }

    /// Waits until everything is in the file.
    async fn flush(&mut self) -> Result<()> {
        let Some(mut writer) = self.writer.take() else { return Ok(()) };
        writer.input.shutdown().await.map_err(|error| self.broken(error.to_string()))?;
        let mut complaint = Gathered::new(COMPLAINT_BYTES);
        let timeout = self.sandbox.container.engine.timeout;
        loop {
            let piece = tokio::time::timeout(timeout, writer.output.next()).await;
            let piece = piece.unwrap_or(Err(io::ErrorKind::TimedOut.into()));
            match piece.map_err(|error| self.broken(error.to_string()))? {
                Some(piece) if complaint.push(&piece).is_break() => {
                    return Err(self.broken("the writer complains without end".to_owned()));
                }
                Some(_) => {}
                None => break,
            }
        }
        match self.sandbox.ended(writer).await? {
            ScriptEnd::Exited(0) => Ok(()),
            _ => Err(self.broken(complaint.complaint())),
        }
    }
}

#[async_trait]
impl Upload for Appending {
    fn safe_bytes(&self) -> u64 {
        self.length
    }

    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        if self.writer.is_none() {
            let script = r#"exec cat >>"$1""#;
            let argv = ["/bin/sh", "-c", script, "sh", &self.part].map(str::to_owned).to_vec();
            let variable = format!("{VARIABLE}={}", self.part);
            self.writer = Some(self.sandbox.exec(argv, vec![variable]).await?);
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let timeout = self.sandbox.container.engine.timeout;
        let sent = tokio::select! {
            sent = tokio::time::timeout(timeout, writer.input.write_all(&bytes)) => Some(sent),
            // It writes nothing unless it fails, and ends only then.
            _ = writer.output.next() => None,
        };
        match sent {
            Some(Ok(Ok(()))) => {
                self.length += bytes.len() as u64;
                Ok(())
            }
            Some(Ok(Err(error))) => Err(self.broken(error.to_string())),
            Some(Err(_)) => Err(self.broken("nothing moves".to_owned())),
            None => {
                // Asks the file system for the reason, without sending anything.
                self.writer = None;
                let probe = r#"printf x >"$1.full" && rm -f -- "$1.full""#;
                run_script(&self.sandbox, "upload", &self.shown, probe, &[&self.part]).await?;
                Err(self.broken("the writer ended early".to_owned()))
            }
        }
    }

    async fn sha256(&mut self) -> Result<String> {
        self.flush().await?;
        digest(&self.sandbox, &self.shown, &self.part).await
    }

    async fn finish(mut self: Box<Self>, mode: Option<u32>) -> Result<Written> {
        self.flush().await?;
        let placed = self.put_in_place(mode).await;
        if placed.as_ref().is_err_and(|error| error.class() == Class::Permanent) {
            // The first error is reported; that this one may follow from it is not news.
            let _left = self.discard().await;
        }
        placed
    }

    async fn discard(mut self: Box<Self>) -> Result<()> {
        self.writer = None;
        let script = r#"rm -f -- "$1""#;
        run_script(&self.sandbox, "upload", &self.shown, script, &[&self.part]).await.map(drop)
    }
}

/// The SHA-256 of a file in the container; by its bytes where nothing there can compute it.
///
/// # Errors
/// [`WorkplaceError`].
pub(super) async fn digest(sandbox: &Sandbox, shown: &str, path: &str) -> Result<String> {
    match search::sha256(sandbox, path).await? {
        Some(digest) => Ok(digest),
        None => Reading::begin(sandbox, shown).await?.download(path, 0).await?.sha256().await,
    }
}
