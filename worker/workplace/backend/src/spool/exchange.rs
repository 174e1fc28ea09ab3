//! One exchange with a machine: a script goes there, and what it says is told apart.
//!
//! A login shell may write whatever it likes before the script begins, so the script begins by
//! writing a nonce, and begins each of its own lines on standard error with it.

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use super::{Purpose, Said, Script, ScriptEnd, Shell};
use crate::WorkplaceError;

/// Pieces on their way from the shell.
const PIECES: usize = 8;

/// How much of what is not ours is kept, for the message when nothing of ours comes.
const NOISE: usize = 1000;

/// Where the output goes.
pub(super) enum Sink<'a> {
    /// To a reader; `at` is the offset of the next byte. One that is gone misses it.
    Reader {
        /// The reader.
        to: &'a mpsc::Sender<Bytes>,
        /// The offset.
        at: &'a mut u64,
    },
    /// Into memory.
    Memory(&'a mut BytesMut),
}

/// What was heard.
#[derive(Debug)]
pub(super) struct Heard {
    /// Whether the script began.
    pub(super) begun: bool,
    /// The last line of ours, but for signs of life.
    pub(super) word: Option<String>,
    /// What was said besides.
    pub(super) noise: String,
    /// How the script ended.
    pub(super) end: ScriptEnd,
}

/// Runs a script to its end. `arguments` come after the nonce.
pub(super) async fn exchange(
    shell: &impl Shell,
    text: String,
    arguments: Vec<String>,
    input: Bytes,
    purpose: Purpose,
    sink: Sink<'_>,
) -> (Ears, Result<ScriptEnd, WorkplaceError>) {
    let nonce = format!("evonic-{:016x}", fastrand::u64(..));
    let arguments = std::iter::once(nonce.clone()).chain(arguments).collect();
    let script = Script { text, arguments, input, purpose };
    let (said, heard) = mpsc::channel(PIECES);
    let mut ears = Ears::new(nonce);
    let (end, ()) = tokio::join!(shell.script(script, said), ears.listen(heard, sink));
    (ears, end)
}

/// Tells apart what is said.
#[derive(Debug)]
pub(super) struct Ears {
    nonce: String,
    begun: bool,
    alive: bool,
    word: Option<String>,
    /// Standard output before the nonce.
    before: BytesMut,
    /// The unfinished line of standard error.
    line: Vec<u8>,
    noise: Vec<u8>,
}

impl Ears {
    fn new(nonce: String) -> Self {
        Self {
            nonce,
            begun: false,
            alive: false,
            word: None,
            before: BytesMut::new(),
            line: Vec::new(),
            noise: Vec::new(),
        }
    }

    /// What was heard, when the script has ended.
    pub(super) fn heard(mut self, end: ScriptEnd) -> Heard {
        if !self.begun {
            let before = std::mem::take(&mut self.before);
            self.noise(&before);
        }
        let line = std::mem::take(&mut self.line);
        self.noise(&line);
        let noise = String::from_utf8_lossy(&self.noise).trim().to_owned();
        Heard { begun: self.begun, word: self.word, noise, end }
    }

    /// Whether there was any sign that the command had been started.
    pub(super) const fn alive(&self) -> bool {
        self.alive
    }

    async fn listen(&mut self, mut said: mpsc::Receiver<Said>, mut sink: Sink<'_>) {
        while let Some(piece) = said.recv().await {
            match piece {
                Said::Err(bytes) => self.lines(&bytes),
                Said::Out(bytes) => {
                    let bytes = self.past_nonce(bytes);
                    if bytes.is_empty() {
                        continue;
                    }
                    self.alive = true;
                    match &mut sink {
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
        }
    }

    /// What of standard output comes after the nonce and its line end.
    fn past_nonce(&mut self, bytes: Bytes) -> Bytes {
        if self.begun {
            return bytes;
        }
        self.before.extend_from_slice(&bytes);
        let mark = format!("{}\n", self.nonce);
        let found = self.before.windows(mark.len()).position(|bytes| bytes == mark.as_bytes());
        let Some(at) = found else {
            let beyond = self.before.len().saturating_sub(NOISE);
            let _old = self.before.split_to(beyond);
            return Bytes::new();
        };
        self.begun = true;
        let rest = self.before.split_off(at + mark.len());
        let before = std::mem::take(&mut self.before);
        self.noise(&before[..at]);
        rest.freeze()
    }

    fn lines(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.take(&line);
            } else if self.line.len() > 64 * NOISE {
                self.line.clear();
            }
        }
    }

    fn take(&mut self, line: &[u8]) {
        let ours = line.strip_prefix(self.nonce.as_bytes()).and_then(|l| l.strip_prefix(b" "));
        match ours {
            None => self.noise(line),
            Some(b".\n") => self.alive = true,
            Some(word) => self.word = Some(String::from_utf8_lossy(word).trim_end().to_owned()),
        }
    }

    fn noise(&mut self, bytes: &[u8]) {
        self.noise.extend_from_slice(bytes);
        let beyond = self.noise.len().saturating_sub(NOISE);
        self.noise.drain(..beyond);
    }
}
