//! The steps of a check that are the same on every kind of workbackend.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use evonic_shared::error_chain::ErrorChain;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Backend, CommandSpec, Ended, Removal, WorkplaceError};

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
    /// It works, but somebody should know.
    Warning,
    /// Not; the steps after it are not tried.
    Failed,
}

/// The longest that a command of a check may run.
const COMMAND: Duration = Duration::from_secs(20);

/// What a command of a check may say; the rest is passed over.
const OUTPUT_BYTES: usize = 4096;

/// Free space below which somebody should know.
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

    /// Does a step and reports how it went. Returns its value; [`None`] when it failed, or nobody
    /// listens any more.
    pub async fn step<T>(
        &self,
        name: &str,
        advice: Option<&str>,
        doing: impl Future<Output = Result<(T, String), WorkplaceError>>,
    ) -> Option<T> {
        let began = Instant::now();
        let (value, verdict, detail, advice) = match doing.await {
            Ok((value, detail)) => (Some(value), Verdict::Ok, detail, None),
            Err(error) => {
                let detail = ErrorChain(&error).to_string();
                (None, Verdict::Failed, detail, advice.map(str::to_owned))
            }
        };
        self.report(name, verdict, detail, advice, began).await;
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
        // Nobody may listen any more.
        let _ = self.sender.send(CheckStep { step, verdict, detail, advice, elapsed_ms }).await;
    }
}

/// Milliseconds since then.
fn elapsed_ms(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The steps `home`, `write`, `run` and `space` of a workplace that can be reached. Returns whether
/// none failed. Leaves nothing behind.
pub async fn files_and_commands(backend: &dyn Backend, steps: &Steps) -> bool {
    let home = async { backend.home().await.map(|home| ((), home)) };
    let advice = "give the user a home, or set settings.folder to a whole path";
    if steps.step("home", Some(advice), home).await.is_none() {
        return false;
    }
    let advice = "let the user write to the workplace's folder, or name another one";
    if steps.step("write", Some(advice), write(backend)).await.is_none() {
        return false;
    }
    commands(backend, steps).await && space(backend, steps).await
}

/// Runs a command, which looks for the programs of the tools `bash` and `python`. Without `bash` an
/// agent has hardly a hand; many do without Python.
async fn commands(backend: &dyn Backend, steps: &Steps) -> bool {
    let began = Instant::now();
    let ran = run(
        backend,
        "uname -sr; for program in bash python3; do \
        command -v $program >/dev/null || echo no $program; done",
    );
    let (verdict, detail, advice) = match ran.await {
        Ok((output, _)) => {
            let detail = output.lines().collect::<Vec<_>>().join(", ");
            match output.lines().any(|line| line == "no bash") {
                true => {
                    (Verdict::Warning, detail, Some("install bash: the tool of that name fails"))
                }
                false => (Verdict::Ok, detail, None),
            }
        }
        Err(error) => {
            let advice = "commands need /bin/sh and a login shell that runs it";
            (Verdict::Failed, ErrorChain(&error).to_string(), Some(advice))
        }
    };
    steps.report("run", verdict, detail, advice.map(str::to_owned), began).await;
    verdict != Verdict::Failed && !steps.sender.is_closed()
}

/// Writes a file, reads it back and removes it.
async fn write(backend: &dyn Backend) -> Result<((), String), WorkplaceError> {
    let path = format!(".evonic-check-{}", uuid::Uuid::now_v7().simple());
    let content = Bytes::from_static(b"written by a check of the workplace\n");
    backend.write(&path, content.clone()).await?;
    let read = backend.read_lines(&path, 1, None, OUTPUT_BYTES as u64).await;
    backend.remove(&path, Removal::One).await?;
    if read?.text == content {
        return Ok(((), "a file was written, read and removed".to_owned()));
    }
    Err(WorkplaceError::Settings {
        field: path,
        problem: "what was read is not what was written".to_owned(),
    })
}

/// Runs a line of the shell; returns the first line of what it says.
async fn run(backend: &dyn Backend, line: &str) -> Result<(String, String), WorkplaceError> {
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
    let (ended, output) = tokio::join!(backend.run(spec, sender, &cancel), listen);
    let ended = ended?.ended;
    backend.forget(&command_id);
    if ended == Ended::Exited(0) {
        return Ok((output.clone(), output.lines().next().unwrap_or_default().to_owned()));
    }
    Err(WorkplaceError::Settings {
        field: format!("`{line}`"),
        problem: format!("{}{}{output}", how(&ended), if output.is_empty() { "" } else { ": " }),
    })
}

/// Describes how a command ended.
fn how(ended: &Ended) -> String {
    match ended {
        Ended::Exited(code) => format!("exited with {code}"),
        Ended::Signalled(signal) => format!("was killed by signal {signal}"),
        Ended::NotStarted(reason) => format!("could not be started: {reason}"),
        Ended::TimedOut => format!("did not end within {} s", COMMAND.as_secs()),
        Ended::TooMuchOutput => "wrote without end".to_owned(),
        Ended::Cancelled => "was cancelled".to_owned(),
        Ended::Unknown(_) => "ended, and nobody knows how".to_owned(),
    }
}

/// Looks how much space there is; little of it is a warning.
async fn space(backend: &dyn Backend, steps: &Steps) -> bool {
    let began = Instant::now();
    let free = match run(backend, "df -Pk .").await {
        Ok((output, _)) => free_kib(&output),
        Err(error) => {
            let detail = ErrorChain(&error).to_string();
            steps.report("space", Verdict::Warning, detail, None, began).await;
            return true;
        }
    };
    let (verdict, detail, advice) = match free {
        None => (Verdict::Warning, "df does not say".to_owned(), None),
        Some(kib) if kib < LITTLE_KIB => (
            Verdict::Warning,
            format!("{} MiB free", kib / 1024),
            Some("make space: what tools write fails when the disk is full".to_owned()),
        ),
        Some(kib) => (Verdict::Ok, format!("{} MiB free", kib / 1024), None),
    };
    steps.report("space", verdict, detail, advice, began).await;
    true
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
