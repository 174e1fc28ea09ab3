//! Tells the output of a script from what a login shell writes.
//!
//! A login shell may write anything before the script begins, so the script begins by writing a
//! nonce, and begins each of its own lines on standard error with it.
//!
//! Whoever answers may be anybody, and knows the nonce: what is kept is bounded, so is what is asked
//! for, and a script that floods is ended, for good.

use std::{io, ops::ControlFlow, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use super::{
    run::{FIRST_OUTPUT, FLOOD_BYTES, OutputSink, flooded, run_script},
    shell::{Script, ScriptEnd, ScriptOutput, Shell},
};
use crate::{Result, Stage, WorkplaceError};

/// Bytes of foreign output that are kept, for the error of a script that never began.
const NOISE_BYTES: usize = 1000;

/// Bytes of a line that are read; it ends with a reason, or the beginning of one.
const LINE_BYTES: usize = 8 * 1024;

/// How long a script may be silent.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// Until it begins.
    first: Duration,
    /// Once it began: it gives a sign of life every few seconds.
    then: Duration,
}

const PATIENCE: Patience = Patience { first: FIRST_OUTPUT, then: Duration::from_secs(60) };

/// Bytes of a script's input that a slow link carries in a second, while the script says nothing.
const INPUT_BYTES_PER_SECOND: u64 = 16 * 1024;

/// Where the command's output goes.
pub(super) enum Sink<'a> {
    /// To a reader; `at` is the offset of the next byte. One that is gone misses it.
    Reader {
        to: &'a mpsc::Sender<Bytes>,
        at: &'a mut u64,
        /// The offset that no output goes beyond.
        limit: u64,
    },
    Memory {
        memory: &'a mut BytesMut,
        /// The most bytes that were asked for.
        limit: usize,
    },
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

/// Runs a script to its end. The nonce is put before its arguments.
pub(super) async fn run_parsed(
    shell: &dyn Shell,
    script: Script,
    sink: Sink<'_>,
) -> (bool, Result<ScriptResult>) {
    run_within(shell, script, sink, PATIENCE).await
}

async fn run_within(
    shell: &dyn Shell,
    mut script: Script,
    sink: Sink<'_>,
    patience: Patience,
) -> (bool, Result<ScriptResult>) {
    let nonce = format!("evonic-{:016x}", fastrand::u64(..));
    script.arguments.insert(0, nonce.clone());
    let carried = Duration::from_secs(script.input.len() as u64 / INPUT_BYTES_PER_SECOND);
    let Patience { first, then } = patience;
    let patience = Patience { first: first + carried, then: then + carried };
    let mut parser = OutputParser::new(nonce, sink, patience);
    let end = run_script(shell, script, &mut parser).await;
    let alive = parser.alive;
    let result = match (end, parser.flood) {
        (_, Some(bytes)) => Err(flooded(bytes)),
        (Ok(end), None) => Ok(parser.result(end.unwrap_or(ScriptEnd::Killed))),
        (Err(error), None) => Err(error),
    };
    (alive, result)
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
    /// The unfinished line of standard error, its beginning.
    line: Vec<u8>,
    noise: Vec<u8>,
    patience: Patience,
    /// Bytes that are neither output nor a sign of life.
    unasked: usize,
    /// The bound that was passed.
    flood: Option<u64>,
}

impl<'a> OutputParser<'a> {
    fn new(nonce: String, sink: Sink<'a>, patience: Patience) -> Self {
        Self {
            nonce,
            sink,
            begun: false,
            alive: false,
            final_line: None,
            before: BytesMut::new(),
            line: Vec::new(),
            noise: Vec::new(),
            patience,
            unasked: 0,
            flood: None,
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
            let (text, ends) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            let room = LINE_BYTES.saturating_sub(self.line.len());
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            self.unasked += text.len() + 1;
            if ends {
                let line = std::mem::take(&mut self.line);
                self.whole_line(&line);
            }
        }
    }

    fn whole_line(&mut self, line: &[u8]) {
        let own = line.strip_prefix(self.nonce.as_bytes()).and_then(|l| l.strip_prefix(b" "));
        match own {
            None => {
                self.noise(line);
                self.noise(b"\n");
            }
            Some(b".") => {
                self.alive = true;
                self.unasked = self.unasked.saturating_sub(line.len() + 1);
            }
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

impl OutputParser<'_> {
    /// Hands on what is the command's output. Returns the bound that it passed, if it did.
    async fn output(&mut self, bytes: Bytes) -> Option<u64> {
        self.alive = true;
        match &mut self.sink {
            Sink::Memory { memory, limit } => {
                if bytes.len() > *limit - memory.len() {
                    return Some(*limit as u64);
                }
                memory.extend_from_slice(&bytes);
            }
            Sink::Reader { to, at, limit } => {
                let length = bytes.len() as u64;
                // Counted when it is handed on: a future dropped here counts nothing.
                let _gone = to.send(bytes).await;
                **at = at.saturating_add(length);
                if **at > *limit {
                    return Some(*limit);
                }
            }
        }
        None
    }
}

impl OutputSink for OutputParser<'_> {
    fn patience(&self) -> Duration {
        if self.begun { self.patience.then } else { self.patience.first }
    }

    async fn take(&mut self, output: ScriptOutput) -> ControlFlow<()> {
        match output {
            ScriptOutput::Err(bytes) => self.lines(&bytes),
            ScriptOutput::Out(bytes) => {
                let (came, begun) = (bytes.len(), self.begun);
                let bytes = self.past_nonce(bytes);
                if !begun {
                    self.unasked += came - bytes.len();
                }
                if !bytes.is_empty() {
                    self.flood = self.output(bytes).await;
                }
            }
        }
        if self.unasked > FLOOD_BYTES {
            self.flood = Some(FLOOD_BYTES as u64);
        }
        if self.flood.is_none() {
            return ControlFlow::Continue(());
        }
        // Whatever it is, the script was handed over.
        self.alive = true;
        ControlFlow::Break(())
    }
}

#[cfg(test)]
mod tests;
