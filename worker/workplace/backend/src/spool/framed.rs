//! Cuts the answer of a script out of what a login shell writes around it.
//!
//! ```text
//! standard output:  what the shell says | nonce newline | the answer | nonce exit-code newline | ...
//! standard error:   what the shell says | nonce newline | the script's complaints
//! ```

use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;

use super::{
    output_parser::{cut_short, refused},
    run::{FLOOD_BYTES, OutputSink, flooded, run_script},
    shell::{Script, ScriptEnd, ScriptOutput, Shell},
};
use crate::{Result, Stage};

/// Bytes of foreign output that are kept, for the error of a script that never began.
const NOISE_BYTES: usize = 1000;

/// Bytes of an exit code, with the space before it and the newline after it.
const CODE_BYTES: usize = 8;

impl Script {
    /// The script, between marks. It runs in a subshell, so that it may exit.
    fn framed(mut self, nonce: &str) -> Self {
        self.text = format!(
            "evonic_mark=$1; shift\nprintf '%s\\n' \"$evonic_mark\"\n\
             printf '%s\\n' \"$evonic_mark\" >&2\n(\n{}\n)\n\
             set -- $?\nprintf '%s %s\\n' \"$evonic_mark\" \"$1\"\nexit \"$1\"\n",
            self.text
        );
        self.arguments.insert(0, nonce.to_owned());
        self
    }
}

/// Runs a script as [`run_script`] does; `sink` gets what the script itself writes, and nothing
/// that a login shell writes before or after it.
///
/// # Errors
/// Those of [`run_script`]; a shell that runs no script, or writes more than [`FLOOD_BYTES`] beside
/// it, is told with its own words.
pub async fn run_framed(
    shell: &dyn Shell,
    script: Script,
    sink: &mut impl OutputSink,
) -> Result<Option<ScriptEnd>> {
    if !shell.has_login_shell() {
        return run_script(shell, script, sink).await;
    }
    let nonce = format!("evonic-{:016x}", fastrand::u64(..));
    let script = script.framed(&nonce);
    let mut framed = Framed::new(&nonce, sink);
    let end = run_script(shell, script, &mut framed).await;
    if framed.unasked > FLOOD_BYTES {
        return Err(flooded(FLOOD_BYTES as u64));
    }
    let Some(end) = end? else { return Ok(None) };
    framed.end(end).map(Some)
}

/// One stream of the output.
#[derive(Debug, Default)]
struct Stream {
    begun: bool,
    /// What may be the beginning of a mark; before the script began, the last words.
    held: BytesMut,
}

struct Framed<'s, S> {
    nonce: Finder<'static>,
    inner: &'s mut S,
    out: Stream,
    err: Stream,
    /// What follows the mark at the end.
    code: Option<Vec<u8>>,
    /// Bytes that are not the script's.
    unasked: usize,
}

impl<'s, S: OutputSink> Framed<'s, S> {
    fn new(nonce: &str, inner: &'s mut S) -> Self {
        let nonce = Finder::new(nonce.as_bytes()).into_owned();
        let (out, err) = Default::default();
        Self { nonce, inner, out, err, code: None, unasked: 0 }
    }

    /// How the script ended, by its own mark.
    fn end(self, end: ScriptEnd) -> Result<ScriptEnd> {
        let code = String::from_utf8_lossy(self.code.as_deref().unwrap_or_default()).into_owned();
        let code = code.split_once('\n').and_then(|(code, _)| code.trim().parse().ok());
        match (code, end) {
            (Some(code), _) => Ok(ScriptEnd::Exited(code)),
            // 128 and above: killed, as shells and engines report it.
            (None, ScriptEnd::Exited(code)) if !self.out.begun && code < 128 => {
                let noise = [&self.err.held[..], &self.out.held].concat();
                let noise = String::from_utf8_lossy(&noise);
                let said = format!("the login shell ran no script and exited with {code}: ");
                Err(refused(said + noise.trim()))
            }
            (None, ScriptEnd::Exited(0)) => Err(cut_short(Stage::Script)),
            (None, end) => Ok(end),
        }
    }

    /// What comes after the mark at the beginning of a stream; the rest is foreign.
    fn past_mark(&mut self, of_out: bool, bytes: Bytes) -> Bytes {
        let stream = if of_out { &mut self.out } else { &mut self.err };
        if stream.begun {
            return bytes;
        }
        stream.held.extend_from_slice(&bytes);
        let mark = self.nonce.needle().len();
        let found = self.nonce.find(&stream.held).filter(|at| stream.held.len() > at + mark);
        let Some(at) = found else {
            let beyond = stream.held.len().saturating_sub(NOISE_BYTES);
            self.unasked += beyond;
            let _old = stream.held.split_to(beyond);
            return Bytes::new();
        };
        self.unasked += at;
        stream.begun = true;
        let rest = stream.held.split_off(at + mark + 1);
        stream.held.clear();
        rest.freeze()
    }

    /// The part of the script's standard output that is certain to be no mark.
    fn answer(&mut self, bytes: Bytes) -> Bytes {
        let mark = self.nonce.needle().len();
        if let Some(code) = &mut self.code {
            let room = CODE_BYTES.saturating_sub(code.len()).min(bytes.len());
            code.extend_from_slice(&bytes[..room]);
            self.unasked += bytes.len();
            return Bytes::new();
        }
        let held = &mut self.out.held;
        let bytes = if held.is_empty() {
            bytes
        } else {
            held.extend_from_slice(&bytes);
            std::mem::take(held).freeze()
        };
        if let Some(at) = self.nonce.find(&bytes) {
            self.code = Some(Vec::new());
            let _code = self.answer(bytes.slice(at + mark..));
            return bytes.slice(..at);
        }
        let certain = bytes.len().saturating_sub(mark - 1);
        self.out.held.extend_from_slice(&bytes[certain..]);
        bytes.slice(..certain)
    }
}

impl<S: OutputSink> OutputSink for Framed<'_, S> {
    fn patience(&self) -> std::time::Duration {
        self.inner.patience()
    }

    async fn take(&mut self, output: ScriptOutput) -> ControlFlow<()> {
        let output = match output {
            ScriptOutput::Out(bytes) => {
                let bytes = self.past_mark(true, bytes);
                ScriptOutput::Out(if self.out.begun { self.answer(bytes) } else { bytes })
            }
            ScriptOutput::Err(bytes) => ScriptOutput::Err(self.past_mark(false, bytes)),
        };
        if self.unasked > FLOOD_BYTES {
            return ControlFlow::Break(());
        }
        match &output {
            ScriptOutput::Out(bytes) | ScriptOutput::Err(bytes) if bytes.is_empty() => {
                ControlFlow::Continue(())
            }
            _ => self.inner.take(output).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::Gathered;

    /// What is kept of these streams, cut everywhere, and how the script ended.
    async fn cut_out(
        out: &[u8],
        err: &[u8],
        piece: usize,
    ) -> (Vec<u8>, Vec<u8>, Result<ScriptEnd>) {
        let mut kept = Gathered::new(1000);
        let mut framed = Framed::new("evonic-1", &mut kept);
        for bytes in out.chunks(piece) {
            let taken = framed.take(ScriptOutput::Out(Bytes::copy_from_slice(bytes))).await;
            assert!(taken.is_continue());
        }
        for bytes in err.chunks(piece) {
            let taken = framed.take(ScriptOutput::Err(Bytes::copy_from_slice(bytes))).await;
            assert!(taken.is_continue());
        }
        let end = framed.end(ScriptEnd::Exited(0));
        (kept.stdout, kept.stderr, end)
    }

    #[tokio::test]
    async fn only_what_the_script_writes_is_kept_wherever_the_stream_is_cut() {
        let answer = b"a\nevonic-\0b";
        let out =
            [&b"Welcome\0 evonic-0\n evonic"[..], b"evonic-1\n", answer, b"evonic-1 41\nlogout\n"];
        let (out, err) = (out.concat(), b"motd\nevonic-1\nno such thing\n");
        for piece in 1..out.len() {
            let (kept, complaint, end) = cut_out(&out, err, piece).await;
            assert_eq!(kept, answer, "{piece}");
            assert_eq!(complaint, b"no such thing\n", "{piece}");
            assert_eq!(end.unwrap(), ScriptEnd::Exited(41), "{piece}");
        }
    }

    #[tokio::test]
    async fn a_shell_that_runs_no_script_is_told_with_its_words() {
        let (_, _, end) = cut_out(b"This account is closed.\n", b"", 5).await;
        let error = end.unwrap_err();
        assert_eq!(error.class(), crate::Class::Permanent);
        let said = std::error::Error::source(&error).unwrap().to_string();
        assert!(said.ends_with("exited with 0: This account is closed."), "{said}");
        let (_, _, end) = cut_out(b"evonic-1\nhalf", b"", 5).await;
        assert_eq!(end.unwrap_err().class(), crate::Class::Transient);
    }
}
