//! Tells the output of a script from what a login shell writes.
//!
//! A login shell may write anything before the script begins, so the script begins by writing a
//! nonce, and begins each of its own lines on standard error with it.

use std::{io, ops::ControlFlow};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use super::{
    run::{OutputSink, run_script},
    shell::{Purpose, Script, ScriptEnd, ScriptOutput, Shell},
};
use crate::{Result, Stage, WorkplaceError};

/// Bytes of foreign output that are kept, for the error of a script that never began.
const NOISE_BYTES: usize = 1000;

/// Where the command's output goes.
pub(super) enum Sink<'a> {
    /// To a reader; `at` is the offset of the next byte. One that is gone misses it.
    Reader {
        to: &'a mpsc::Sender<Bytes>,
        at: &'a mut u64,
    },
    Memory(&'a mut BytesMut),
}

/// What a script reported.
#[derive(Debug)]
pub(super) struct ScriptResult {
    /// Whether the script began.
    begun: bool,
    /// The script's last line, signs of life excepted.
    pub(super) final_line: Option<String>,
    /// Foreign output.
    noise: String,
    end: ScriptEnd,
}

impl ScriptResult {
    /// The script's last line.
    ///
    /// # Errors
    /// Without one its link broke, or its login shell runs no scripts.
    pub(super) fn final_line(self, stage: Stage) -> Result<String> {
        match (self.final_line, self.end) {
            (Some(line), _) => Ok(line),
            // 128 and above: killed, as shells and engines report it.
            (None, ScriptEnd::Exited(code)) if !self.begun && code < 128 => {
                let noise = self.noise;
                Err(refused(format!(
                    "the login shell ran no script and exited with {code}: {noise}"
                )))
            }
            (None, _) => Err(cut_short(stage)),
        }
    }
}

/// A script that ended before its last line.
pub(super) fn cut_short(stage: Stage) -> WorkplaceError {
    WorkplaceError::unreachable("shell", stage, "the script was cut short")
}

/// A machine that refuses to run a command.
pub(super) fn refused(why: String) -> WorkplaceError {
    WorkplaceError::Start { program: "/bin/sh".to_owned(), source: io::Error::other(why) }
}

/// Runs a script to its end. `arguments` come after the nonce.
pub(super) async fn run_parsed(
    shell: &dyn Shell,
    text: String,
    arguments: Vec<String>,
    input: Bytes,
    purpose: Purpose,
    sink: Sink<'_>,
) -> (bool, Result<ScriptResult>) {
    let nonce = format!("evonic-{:016x}", fastrand::u64(..));
    let arguments = std::iter::once(nonce.clone()).chain(arguments).collect();
    let script = Script { text, arguments, input, purpose };
    let mut parser = OutputParser::new(nonce, sink);
    let end = run_script(shell, script, &mut parser).await;
    // It takes every chunk, so the script ran to its end.
    let end = end.map(|end| end.unwrap_or(ScriptEnd::Killed));
    (parser.alive, end.map(|end| parser.result(end)))
}

struct OutputParser<'a> {
    nonce: String,
    sink: Sink<'a>,
    begun: bool,
    /// Whether there was any sign that the command had been started.
    alive: bool,
    final_line: Option<String>,
    /// Standard output before the nonce.
    before: BytesMut,
    /// The unfinished line of standard error.
    line: Vec<u8>,
    noise: Vec<u8>,
}

impl<'a> OutputParser<'a> {
    fn new(nonce: String, sink: Sink<'a>) -> Self {
        Self {
            nonce,
            sink,
            begun: false,
            alive: false,
            final_line: None,
            before: BytesMut::new(),
            line: Vec::new(),
            noise: Vec::new(),
        }
    }

    fn result(mut self, end: ScriptEnd) -> ScriptResult {
        if !self.begun {
            let before = std::mem::take(&mut self.before);
            self.noise(&before);
        }
        let line = std::mem::take(&mut self.line);
        self.noise(&line);
        let noise = String::from_utf8_lossy(&self.noise).trim().to_owned();
        ScriptResult { begun: self.begun, final_line: self.final_line, noise, end }
    }

    /// The part of standard output after the nonce and its line end.
    fn past_nonce(&mut self, bytes: Bytes) -> Bytes {
        if self.begun {
            return bytes;
        }
        self.before.extend_from_slice(&bytes);
        let first_line = format!("{}\n", self.nonce);
        let mut windows = self.before.windows(first_line.len());
        let Some(at) = windows.position(|bytes| bytes == first_line.as_bytes()) else {
            let beyond = self.before.len().saturating_sub(NOISE_BYTES);
            let _old = self.before.split_to(beyond);
            return Bytes::new();
        };
        self.begun = true;
        let rest = self.before.split_off(at + first_line.len());
        let before = std::mem::take(&mut self.before);
        self.noise(&before[..at]);
        rest.freeze()
    }

    fn lines(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.whole_line(&line);
            } else if self.line.len() > 64 * NOISE_BYTES {
                self.line.clear();
            }
        }
    }

    fn whole_line(&mut self, line: &[u8]) {
        let own = line.strip_prefix(self.nonce.as_bytes()).and_then(|l| l.strip_prefix(b" "));
        match own {
            None => self.noise(line),
            Some(b".\n") => self.alive = true,
            Some(own) => {
                self.final_line = Some(String::from_utf8_lossy(own).trim_end().to_owned());
            }
        }
    }

    fn noise(&mut self, bytes: &[u8]) {
        self.noise.extend_from_slice(bytes);
        let beyond = self.noise.len().saturating_sub(NOISE_BYTES);
        self.noise.drain(..beyond);
    }
}

impl OutputSink for OutputParser<'_> {
    async fn take(&mut self, output: ScriptOutput) -> ControlFlow<()> {
        match output {
            ScriptOutput::Err(bytes) => self.lines(&bytes),
            ScriptOutput::Out(bytes) => {
                let bytes = self.past_nonce(bytes);
                if bytes.is_empty() {
                    return ControlFlow::Continue(());
                }
                self.alive = true;
                match &mut self.sink {
                    Sink::Memory(memory) => memory.extend_from_slice(&bytes),
                    Sink::Reader { to, at } => {
                        let length = bytes.len() as u64;
                        // Counted when it is handed on: a future dropped here counts nothing.
                        let _gone = to.send(bytes).await;
                        **at += length;
                    }
                }
            }
        }
        ControlFlow::Continue(())
    }
}
