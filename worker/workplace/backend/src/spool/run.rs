//! Runs a script and takes its output.

use std::{ops::ControlFlow, time::Duration};

use tokio::{sync::mpsc, time::timeout};

use super::{
    framed::run_framed,
    shell::{Script, ScriptEnd, ScriptOutput, Shell},
};
use crate::{Result, Stage, WorkplaceError};

/// Chunks of output that wait for their reader.
const CHUNKS: usize = 8;

/// How long the first output of a script may take: a connection, a container and a login shell come
/// before it, which have deadlines of their own.
pub const FIRST_OUTPUT: Duration = Duration::from_secs(180);

/// How long a script that gathers something may take in all.
const GATHERING: Duration = Duration::from_secs(300);

/// Takes the output of a script.
pub trait OutputSink: Send {
    /// How long the next chunk may take.
    fn patience(&self) -> Duration {
        FIRST_OUTPUT
    }

    /// Takes the next chunk; breaks off when no more is wanted.
    fn take(&mut self, output: ScriptOutput) -> impl Future<Output = ControlFlow<()>> + Send;
}

/// Runs a script to its end, and hands its output to `sink` as it comes. Returns [`None`] when
/// `sink` broke off: the link is closed then, and the script ends soon.
///
/// # Errors
/// See [`Shell::script`]; `sink` has all that came before the error. A script that is silent for
/// longer than [`OutputSink::patience`] is [`WorkplaceError::Unreachable`], and its link is closed.
pub async fn run_script(
    shell: &dyn Shell,
    script: Script,
    sink: &mut impl OutputSink,
) -> Result<Option<ScriptEnd>> {
    let (sender, mut output) = mpsc::channel(CHUNKS);
    let run = shell.script(script, sender);
    let listen = async {
        loop {
            let patience = sink.patience();
            match timeout(patience, output.recv()).await {
                Err(_) => return Err(silent(patience)),
                Ok(None) => return Ok(ControlFlow::Continue(())),
                Ok(Some(chunk)) => {
                    if sink.take(chunk).await.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
        }
    };
    tokio::pin!(run, listen);
    tokio::select! {
        listened = &mut listen => match listened? {
            ControlFlow::Break(()) => Ok(None),
            ControlFlow::Continue(()) => run.await.map(Some),
        },
        end = &mut run => {
            let broke_off = listen.await?.is_break();
            end.map(|end| (!broke_off).then_some(end))
        }
    }
}

fn silent(patience: Duration) -> WorkplaceError {
    let said = format!("nothing came for {} s", patience.as_secs());
    WorkplaceError::unreachable("shell", Stage::Script, said)
}

/// What came was more than any honest machine sends: it would come again.
pub(super) fn flooded(bytes: u64) -> WorkplaceError {
    let said = format!("the machine sends more than {bytes} bytes that were not asked for");
    WorkplaceError::refused("shell", Stage::Script, said)
}

/// Bytes that a script may write beyond what is wanted of it: a login shell may have much to say,
/// but not that much.
pub const FLOOD_BYTES: usize = 4 * 1024 * 1024;

/// The output of a script in memory, at most `limit` bytes of each of its streams.
#[derive(Debug)]
pub struct Gathered {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    limit: usize,
    /// Bytes for which there was no room.
    beyond: usize,
}

impl Gathered {
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { stdout: Vec::new(), stderr: Vec::new(), limit, beyond: 0 }
    }

    /// Keeps the chunk, as far as there is room. Breaks off after [`FLOOD_BYTES`] without.
    pub fn push(&mut self, output: &ScriptOutput) -> ControlFlow<()> {
        let (kept, chunk) = match output {
            ScriptOutput::Out(chunk) => (&mut self.stdout, chunk),
            ScriptOutput::Err(chunk) => (&mut self.stderr, chunk),
        };
        let room = self.limit.saturating_sub(kept.len()).min(chunk.len());
        kept.extend_from_slice(&chunk[..room]);
        self.beyond += chunk.len() - room;
        if self.beyond > FLOOD_BYTES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Standard error as text, without white space around it.
    #[must_use]
    pub fn complaint(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim().to_owned()
    }
}

impl OutputSink for Gathered {
    async fn take(&mut self, output: ScriptOutput) -> ControlFlow<()> {
        self.push(&output)
    }
}

/// Runs a script to its end and keeps at most `limit` bytes of each of its streams, without what a
/// login shell writes around it.
///
/// # Errors
/// See [`Shell::script`]; [`WorkplaceError::Unreachable`] after five minutes,
/// [`WorkplaceError::Refused`] after [`FLOOD_BYTES`] for which there is no room.
pub async fn gather(
    shell: &dyn Shell,
    script: Script,
    limit: usize,
) -> Result<(ScriptEnd, Gathered)> {
    let mut gathered = Gathered::new(limit);
    let ran = timeout(GATHERING, run_framed(shell, script, &mut gathered)).await;
    let end = ran.unwrap_or_else(|_| Err(silent(GATHERING)))?;
    Ok((end.ok_or_else(|| flooded(FLOOD_BYTES as u64))?, gathered))
}
