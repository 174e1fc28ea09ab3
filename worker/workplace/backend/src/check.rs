//! The steps of a check that are the same on every kind of workplace.

use std::{
    io,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use evonic_shared::error_chain::ErrorChain;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Backend, CommandSpec, Ended, Removal, Result, Rewrite, Stage, WorkplaceError};

/// A step of a check.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CheckStep {
    /// `resolve`, `connect`, `host key`, `authenticate`, `home`, `write`, `run`, `space`.
    pub step: String,
    /// How it went.
    pub verdict: Verdict,
    /// What was found: an address, a fingerprint, a path, a size.
    pub detail: String,
    /// What to do about it.
    pub advice: Option<String>,
    /// How long it took.
    pub elapsed_ms: u64,
}

/// How a step of a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Well.
    Ok,
    /// It works, but the operator should know.
    Warning,
    /// Not; the steps after it are not tried.
    Failed,
}

/// What a step that did not fail found.
pub struct Finding {
    verdict: Verdict,
    detail: String,
    advice: Option<&'static str>,
}

impl Finding {
    /// With advice it is a warning.
    pub const fn new(detail: String, advice: Option<&'static str>) -> Self {
        let verdict = if advice.is_some() { Verdict::Warning } else { Verdict::Ok };
        Self { verdict, detail, advice }
    }
}

impl From<String> for Finding {
    fn from(detail: String) -> Self {
        Self::new(detail, None)
    }
}

/// The longest that a command of a check may run.
const COMMAND: Duration = Duration::from_secs(20);

/// The longest that a step may take: a check names the one that does not end.
const STEP: Duration = Duration::from_secs(45);

/// What a command of a check may say; the rest is passed over.
const OUTPUT_BYTES: usize = 4096;

/// Free space below which the operator should know.
const LITTLE_KIB: u64 = 512 * 1024;

/// Where steps are reported.
#[derive(Clone, Debug)]
pub struct Steps {
    sender: mpsc::Sender<CheckStep>,
}

impl Steps {
    /// Steps for whoever listens there.
    pub const fn new(sender: mpsc::Sender<CheckStep>) -> Self {
        Self { sender }
    }

    /// Does a step and reports how it went. Returns its value; [`None`] when it failed, or
    /// the listener is gone.
    pub fn step<'a, T, F: Into<Finding>>(
        &'a self,
        name: &'a str,
        advice: Option<&'a str>,
        doing: impl Future<Output = Result<(T, F)>>,
    ) -> impl Future<Output = Option<T>> {
        self.advised(name, move |_| advice, doing)
    }

    /// The same, with the advice that fits the error.
    async fn advised<'a, T, F: Into<Finding>>(
        &self,
        name: &str,
        advice: impl FnOnce(&WorkplaceError) -> Option<&'a str>,
        doing: impl Future<Output = Result<(T, F)>>,
    ) -> Option<T> {
        let began = Instant::now();
        let (value, verdict, detail, advice) = match doing.await {
            Ok((value, found)) => {
                let Finding { verdict, detail, advice } = found.into();
                (Some(value), verdict, detail, advice)
            }
            Err(error) => {
                let detail = ErrorChain(&error).to_string();
                (None, Verdict::Failed, detail, advice(&error))
            }
        };
        self.report(name, verdict, detail, advice.map(str::to_owned), began).await;
        value.filter(|_| !self.sender.is_closed())
    }

    /// Reports how a step went.
    pub async fn report(
        &self,
        name: &str,
        verdict: Verdict,
        detail: String,
        advice: Option<String>,
        began: Instant,
    ) {
        let (step, elapsed_ms) = (name.to_owned(), elapsed_ms(began));
        // The listener may be gone.
        let _ = self.sender.send(CheckStep { step, verdict, detail, advice, elapsed_ms }).await;
    }
}

/// Milliseconds since then.
fn elapsed_ms(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The steps `home`, `write`, `run` and `space` of a workplace that can be reached, up to the one
/// that fails. Leaves nothing behind.
pub async fn files_and_commands(backend: &dyn Backend, steps: &Steps) -> Option<()> {
    let home = async { backend.home().await.map(|home| ((), home)) };
    steps.advised("home", of_home, in_time(home)).await?;
    steps.advised("write", of_write, in_time(write(backend))).await?;
    steps.advised("run", of_run, in_time(commands(backend))).await?;
    steps.step("space", None, in_time(space(backend))).await
}

/// What to do about an error; nothing where that says so itself.
fn of_home(error: &WorkplaceError) -> Option<&'static str> {
    let is_path = matches!(error, WorkplaceError::Path { .. });
    is_path.then_some("give the user a home, or set settings.folder to a whole path")
}

fn of_write(error: &WorkplaceError) -> Option<&'static str> {
    let may_not = |source: &io::Error| source.kind() == io::ErrorKind::PermissionDenied;
    let is_denied = matches!(error, WorkplaceError::Path { source, .. } if may_not(source));
    is_denied.then_some("let the user write to the workplace's folder, or name another one")
}

fn of_run(error: &WorkplaceError) -> Option<&'static str> {
    let is_start = matches!(error, WorkplaceError::Start { .. } | WorkplaceError::Settings { .. });
    is_start.then_some("commands need /bin/sh and a login shell that runs it")
}

/// On the heap: the steps of a check are deep.
fn in_time<T>(
    step: impl Future<Output = Result<T>> + Send,
) -> impl Future<Output = Result<T>> + Send {
    let step = tokio::time::timeout(STEP, Box::pin(step));
    async move {
        step.await.unwrap_or_else(|_| {
            let said = format!("it does not end within {} s", STEP.as_secs());
            Err(WorkplaceError::unreachable("workplace", Stage::Script, said))
        })
    }
}

/// Runs a command, which looks for the programs of the tools `bash` and `python`. Without `bash` an
/// agent has hardly a hand; many do without Python.
async fn commands(backend: &dyn Backend) -> Result<((), Finding)> {
    let line = "uname -sr; for program in bash python3; do \
        command -v $program >/dev/null || echo no $program; done";
    let output = run(backend, line).await?;
    let lacks_bash = output.lines().any(|line| line == "no bash");
    let advice = lacks_bash.then_some("install bash: the tool of that name fails");
    Ok(((), Finding::new(output.lines().collect::<Vec<_>>().join(", "), advice)))
}

/// Writes a file, reads it back and removes it.
async fn write(backend: &dyn Backend) -> Result<((), String)> {
    let path = format!(".evonic-check-{}", uuid::Uuid::now_v7().simple());
    let content = Bytes::from_static(b"written by a check of the workplace\n");
    backend.write(&path, content.clone(), Rewrite::Whole).await?;
    let read = backend.read_lines(&path, 1, None, OUTPUT_BYTES as u64).await;
    backend.remove(&path, Removal::One).await?;
    if read?.text == content {
        return Ok(((), "a file was written, read and removed".to_owned()));
    }
    Err(WorkplaceError::settings(path, "what was read is not what was written"))
}

/// Runs a line of the shell; returns what it says.
async fn run(backend: &dyn Backend, line: &str) -> Result<String> {
    let command_id = format!("check-{}", uuid::Uuid::now_v7().simple());
    let spec = CommandSpec {
        argv: ["/bin/sh", "-c", line].map(str::to_owned).to_vec(),
        stdin: Bytes::new(),
        folder: String::new(),
        timeout: COMMAND,
        command_id: command_id.clone(),
    };
    let (sender, mut receiver) = mpsc::channel::<Bytes>(16);
    let cancel = CancellationToken::new();
    let listen = async {
        let mut output = BytesMut::new();
        while let Some(piece) = receiver.recv().await {
            let room = OUTPUT_BYTES - output.len().min(OUTPUT_BYTES);
            output.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        String::from_utf8_lossy(&output).trim().to_owned()
    };
    let (ended, output) = tokio::join!(backend.commands().run(spec, sender, &cancel), listen);
    let ended = ended?.ended;
    backend.commands().forget(&command_id);
    if ended == Ended::Exited(0) {
        return Ok(output);
    }
    let separator = if output.is_empty() { "" } else { ": " };
    Err(WorkplaceError::settings(
        format!("`{line}`"),
        format!("{}{separator}{output}", how(&ended)),
    ))
}

/// Describes how a command ended.
fn how(ended: &Ended) -> String {
    match ended {
        Ended::Exited(code) => format!("exited with {code}"),
        Ended::Signalled(signal) => format!("was killed by signal {signal}"),
        Ended::NotStarted(reason) => format!("could not be started: {reason}"),
        Ended::TimedOut => format!("did not end within {} s", COMMAND.as_secs()),
        Ended::TooMuchOutput => "wrote without end".to_owned(),
        Ended::Unstored(reason) => format!("wrote what could not be stored: {reason}"),
        Ended::Cancelled => "was cancelled".to_owned(),
        Ended::Unknown(_) => "ended, and nobody knows how".to_owned(),
    }
}

/// Looks how much space there is; little of it is a warning.
async fn space(backend: &dyn Backend) -> Result<((), Finding)> {
    let unknown = |detail| Finding { verdict: Verdict::Warning, detail, advice: None };
    let found = match run(backend, "df -Pk .").await.map(|output| free_kib(&output)) {
        Err(error) => unknown(ErrorChain(&error).to_string()),
        Ok(None) => unknown("df does not say".to_owned()),
        Ok(Some(kib)) => {
            let advice = "make space: what tools write fails when the disk is full";
            let advice = (kib < LITTLE_KIB).then_some(advice);
            Finding::new(format!("{} MiB free", kib / 1024), advice)
        }
    };
    Ok(((), found))
}

/// The fourth column of the last line of `df -P`: what is available.
fn free_kib(output: &str) -> Option<u64> {
    // A device's name may have spaces: the columns are counted from the percentage on.
    let fields: Vec<_> = output.lines().last()?.split_whitespace().collect();
    let percentage = fields.iter().position(|field| field.ends_with('%'))?;
    fields.get(percentage.checked_sub(1)?)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_is_read_from_df() {
        let head = "Filesystem     1024-blocks     Used Available Capacity Mounted on\n";
        for (line, wanted) in [
            ("/dev/vda        263174212 16777216  79691776      18% /", Some(79_691_776)),
            ("my disk 10 4 6 40% /mnt/my disk", Some(6)),
            ("nonsense", None),
            ("", None),
        ] {
            assert_eq!(free_kib(&format!("{head}{line}\n")), wanted, "{line}");
        }
    }
}
