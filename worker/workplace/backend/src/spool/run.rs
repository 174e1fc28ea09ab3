//! Runs a script and takes its output.

use std::ops::ControlFlow;

use tokio::sync::mpsc;

use super::shell::{Script, ScriptEnd, ScriptOutput, Shell};
use crate::Result;

/// Chunks of output that wait for their reader.
const CHUNKS: usize = 8;

/// Takes the output of a script.
pub trait OutputSink: Send {
    /// Takes the next chunk; breaks off when no more is wanted.
    fn take(&mut self, output: ScriptOutput) -> impl Future<Output = ControlFlow<()>> + Send;
}

/// Runs a script to its end, and hands its output to `sink` as it comes. Returns [`None`] when
/// `sink` broke off: the link is closed then, and the script ends soon.
///
/// # Errors
/// See [`Shell::script`]; `sink` has all that came before the error.
pub async fn run_script(
    shell: &dyn Shell,
    script: Script,
    sink: &mut impl OutputSink,
) -> Result<Option<ScriptEnd>> {
    let (sender, mut output) = mpsc::channel(CHUNKS);
    let run = shell.script(script, sender);
    let listen = async {
        while let Some(chunk) = output.recv().await {
            sink.take(chunk).await?;
        }
        ControlFlow::Continue(())
    };
    tokio::pin!(run, listen);
    tokio::select! {
        listened = &mut listen => match listened {
            ControlFlow::Break(()) => Ok(None),
            ControlFlow::Continue(()) => run.await.map(Some),
        },
        end = &mut run => {
            let broke_off = listen.await.is_break();
            end.map(|end| (!broke_off).then_some(end))
        }
    }
}

/// The output of a script in memory, at most `limit` bytes of each of its streams.
#[derive(Debug)]
pub struct Gathered {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    limit: usize,
}

impl Gathered {
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { stdout: Vec::new(), stderr: Vec::new(), limit }
    }

    /// Keeps the chunk, as far as there is room.
    pub fn push(&mut self, output: &ScriptOutput) {
        let (kept, chunk) = match output {
            ScriptOutput::Out(chunk) => (&mut self.stdout, chunk),
            ScriptOutput::Err(chunk) => (&mut self.stderr, chunk),
        };
        let room = self.limit.saturating_sub(kept.len());
        kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }

    /// Standard error as text, without white space around it.
    #[must_use]
    pub fn complaint(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim().to_owned()
    }
}

impl OutputSink for Gathered {
    async fn take(&mut self, output: ScriptOutput) -> ControlFlow<()> {
        self.push(&output);
        ControlFlow::Continue(())
    }
}

/// Runs a script to its end and keeps at most `limit` bytes of each of its streams.
///
/// # Errors
/// See [`Shell::script`].
pub async fn gather(
    shell: &dyn Shell,
    script: Script,
    limit: usize,
) -> Result<(ScriptEnd, Gathered)> {
    let mut gathered = Gathered::new(limit);
    let end = run_script(shell, script, &mut gathered).await?;
    // It takes every chunk, so the script ran to its end.
    Ok((end.unwrap_or(ScriptEnd::Killed), gathered))
}
