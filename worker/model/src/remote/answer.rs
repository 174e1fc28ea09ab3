//! An answer's body as it comes: events, or one JSON value from an endpoint that does not stream.
//!
//! Pure: bytes in, pieces and at last a reply out. How the bytes are cut does not matter.

mod assembly;
mod json;
mod reply;

use evonic_domain::Usage;
use evonic_net::sse::{Decoder, Event, SseError};
use serde_json::Value;

use self::json::{read, read_whole};
pub(crate) use self::{
    assembly::Assembly,
    reply::{Added, Finished, Terms},
};
use super::{endpoint_error::EndpointError, failure::Failure};

/// The most bytes of an answer, its framing included: some 300 bytes for each token.
const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// JSON may take so many bytes for one of a reply, for its escapes.
const JSON_BYTES: usize = 4;

/// The least bytes that JSON may have, for fields that are passed over.
const LEAST_JSON_BYTES: usize = 64 * 1024;

/// What of an answer that cannot be read is shown.
const SHOWN_CHARS: usize = 100;

/// An answer's body in the reading.
#[derive(Debug)]
pub(crate) struct Answer {
    form: Form,
    assembly: Assembly,
    /// The most bytes of an event, or of a whole answer.
    max_json_bytes: usize,
    bytes: usize,
    done: bool,
    /// The first line of data that is no JSON.
    foreign: Option<String>,
    /// What failed behind the end of the reply.
    late: Option<Failure>,
}

#[derive(Debug)]
enum Form {
    /// Nothing but white space came.
    Open,
    Events(Box<Decoder>),
    Whole(Vec<u8>),
}

impl Answer {
    /// Nothing of an answer whose reply may have so many bytes.
    pub(crate) const fn new(assembly: Assembly, max_reply_bytes: usize) -> Self {
        Self {
            form: Form::Open,
            assembly,
            max_json_bytes: max_json_bytes(max_reply_bytes),
            bytes: 0,
            done: false,
            foreign: None,
            late: None,
        }
    }

    /// Whether the endpoint said that nothing more comes.
    pub(crate) fn is_done(&self) -> bool {
        self.done || self.assembly.is_done()
    }

    /// Whether a token came.
    pub(crate) fn is_begun(&self) -> bool {
        self.assembly.is_begun()
    }

    /// Whether the reply is complete, though more of the answer may come.
    pub(crate) fn is_finished(&self) -> bool {
        self.assembly.is_finished()
    }

    /// The tokens so far, as the endpoint counted them.
    pub(crate) fn usage(&self) -> Usage {
        self.assembly.usage()
    }

    /// Takes the next piece; returns what it completed. What fails behind the end of the reply ends
    /// the answer and is no error.
    ///
    /// # Errors
    /// [`Failure`]; nothing may be pushed after it.
    pub(crate) fn push(&mut self, mut piece: &[u8]) -> Result<Added, Failure> {
        self.bytes += piece.len();
        if self.bytes > MAX_ANSWER_BYTES {
            return Err(Failure::protocol(format!("more than {MAX_ANSWER_BYTES} bytes")));
        }
        if matches!(self.form, Form::Open) {
            let blank = |b: &u8| b.is_ascii_whitespace() || "\u{feff}".as_bytes().contains(b);
            piece = &piece[piece.iter().take_while(|b| blank(b)).count()..];
            match piece.first() {
                None => return Ok(Added::default()),
                Some(b'{' | b'[') => self.form = Form::Whole(Vec::new()),
                Some(b':' | b'd' | b'e' | b'i' | b'r') => {
                    self.form = Form::Events(Box::new(Decoder::with_limit(self.max_json_bytes)));
                }
                Some(_) => {
                    let begin = shown(&String::from_utf8_lossy(&piece[..piece.len().min(400)]));
                    return Err(Failure::protocol(format!("neither events nor JSON: {begin}")));
                }
            }
        }
        match &mut self.form {
            Form::Open => Ok(Added::default()),
            Form::Whole(whole) if whole.len() + piece.len() > self.max_json_bytes => {
                let most = self.max_json_bytes;
                Err(Failure::protocol(format!("an answer of more than {most} bytes of JSON")))
            }
            Form::Whole(whole) => {
                whole.extend_from_slice(piece);
                Ok(Added::default())
            }
            Form::Events(decoder) => {
                let events = decoder.push(piece).collect();
                self.take_events(events)
            }
        }
    }

    fn take_events(&mut self, events: Vec<Result<Event, SseError>>) -> Result<Added, Failure> {
        let mut added = Added::default();
        for event in events {
            if self.is_done() {
                break;
            }
            let event = event.map_err(|error| Failure::protocol(error.to_string()));
            let taken = event.and_then(|event| self.take_event(&event.data));
            added.append(self.ignore_when_finished(taken)?);
        }
        Ok(added)
    }

    /// What was added; a failure behind the end of the reply is only noted.
    fn ignore_when_finished(&mut self, taken: Result<Added, Failure>) -> Result<Added, Failure> {
        match taken {
            Err(failure) if self.is_finished() => {
                self.late = Some(failure);
                self.done = true;
                Ok(Added::default())
            }
            taken => taken,
        }
    }

    /// An event, or several of an endpoint that leaves out the empty lines between them.
    fn take_event(&mut self, data: &str) -> Result<Added, Failure> {
        let whole = data.trim();
        if whole.contains('\n') && read(whole).is_err() {
            let mut added = Added::default();
            for line in whole.lines() {
                added.append(self.take_line(line.trim())?);
            }
            return Ok(added);
        }
        self.take_line(whole)
    }

    /// What stands behind the last empty line, of which the end may be cut.
    fn take_last(&mut self, data: &str) -> Result<Added, Failure> {
        let mut added = Added::default();
        let mut lines = data.lines().map(str::trim).peekable();
        while let Some(line) = lines.next() {
            if lines.peek().is_none() && line.starts_with('{') && read(line).is_err() {
                break;
            }
            added.append(self.take_line(line)?);
        }
        Ok(added)
    }

    fn take_line(&mut self, data: &str) -> Result<Added, Failure> {
        if data == "[DONE]" {
            self.done = true;
        }
        if self.done || data.is_empty() {
            return Ok(Added::default());
        }
        if !data.starts_with(['{', '[']) {
            self.foreign.get_or_insert_with(|| shown(data));
            return Ok(Added::default());
        }
        let chunk = read(data)?;
        self.take(chunk)
    }

    fn take(&mut self, chunk: Value) -> Result<Added, Failure> {
        match EndpointError::within(&chunk) {
            Some(fault) => Err(fault.failure(None, None)),
            None if chunk.is_array() => Err(Failure::protocol("a chunk is a list, not an object")),
            None => self.assembly.take(chunk),
        }
    }

    /// The reply, and what of it was not returned before.
    ///
    /// # Errors
    /// [`Failure`]: transient when the answer ended before the reply did.
    pub(crate) fn end(mut self) -> Result<(Finished, Added), Failure> {
        let mut rest = self.settle()?;
        let (finished, note) = self.finish()?;
        rest.append(note);
        Ok((finished, rest))
    }

    /// Takes what stands at the end of the answer; returns what that completed.
    ///
    /// # Errors
    /// As [`Answer::end`].
    pub(crate) fn settle(&mut self) -> Result<Added, Failure> {
        let mut rest = Added::default();
        match &mut self.form {
            Form::Open => return Err(Failure::incomplete("the answer is empty")),
            Form::Whole(whole) => {
                let chunk = read_whole(&std::mem::take(whole))?;
                rest = self.take(chunk)?;
                if !self.is_begun() && !self.is_finished() {
                    return Err(Failure::protocol("an answer without a choice"));
                }
                self.done = true;
            }
            Form::Events(decoder) => {
                // Some endpoints leave out the empty line behind the last event. Half of one is
                // no event.
                if !self.done
                    && let Some(event) = decoder.finish()
                {
                    let taken = self.take_last(&event.data);
                    rest = self.ignore_when_finished(taken)?;
                }
                let nothing = !self.is_begun() && !self.is_finished();
                match self.foreign.take() {
                    Some(line) if nothing => {
                        return Err(Failure::protocol(format!("events without JSON: {line}")));
                    }
                    _ if nothing && self.done => {
                        return Err(Failure::incomplete("the answer is empty"));
                    }
                    _ if !self.done && !self.is_finished() => {
                        return Err(Failure::transient("the answer ended before the reply did"));
                    }
                    _ => {}
                }
            }
        }
        Ok(rest)
    }

    /// The reply of an answer that is settled, and a note that the endpoint did not send.
    ///
    /// # Errors
    /// [`Failure`] when it is refused, or not complete.
    pub(crate) fn finish(self) -> Result<(Finished, Added), Failure> {
        let Self { assembly, done, late, .. } = self;
        // Where the reply is none, what came behind its end may say why.
        assembly.finish(done).map_err(|failure| late.unwrap_or(failure))
    }
}

const fn max_json_bytes(max_reply_bytes: usize) -> usize {
    let bytes = max_reply_bytes.saturating_mul(JSON_BYTES);
    if bytes > LEAST_JSON_BYTES { bytes } else { LEAST_JSON_BYTES }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).collect()
}
