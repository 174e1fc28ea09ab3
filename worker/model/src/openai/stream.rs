//! An answer's body as it comes: events, or one JSON object from an endpoint that does not stream.
//!
//! Pure: bytes in, text and at last a reply out. How the bytes are cut into pieces does not matter.

use std::collections::HashSet;

use super::{assembly::Assembly, chunk::Chunk, failure::Failure};
use crate::Reply;
use evonic_domain::value_count;
use evonic_net::sse::Decoder;

/// The most bytes of an answer, its framing included: some 300 bytes for each token.
const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// JSON may take so many bytes for one of a reply, for its escapes.
const JSON_BYTES: usize = 4;

/// The least bytes that JSON may have, for fields that are passed over.
const LEAST_JSON_BYTES: usize = 64 * 1024;

/// The most values of a chunk: built, a value takes many times the bytes of its text.
const MAX_VALUES: usize = 65_536;

/// An answer's body in the reading.
#[derive(Debug)]
pub(super) struct Stream {
    form: Form,
    assembly: Assembly,
    /// The most bytes of an event, or of a whole answer.
    max_json_bytes: usize,
    bytes: usize,
    done: bool,
}

#[derive(Debug)]
enum Form {
    /// Nothing but white space came.
    Open,
    Events(Box<Decoder>),
    Whole(Vec<u8>),
}

impl Stream {
    /// Nothing of an answer whose reply may have so many bytes.
    pub(super) const fn new(max_reply_bytes: usize) -> Self {
        Self {
            form: Form::Open,
            assembly: Assembly::new(max_reply_bytes),
            max_json_bytes: max_json_bytes(max_reply_bytes),
            bytes: 0,
            done: false,
        }
    }

    /// Whether the endpoint said that nothing more comes.
    pub(super) const fn is_done(&self) -> bool {
        self.done
    }

    /// Whether the reply is complete, though more of the answer may come.
    pub(super) const fn is_finished(&self) -> bool {
        self.assembly.is_finished()
    }

    /// Takes the next piece; returns the text that it completed.
    ///
    /// # Errors
    /// [`Failure`]; nothing may be pushed after it.
    pub(super) fn push(&mut self, mut piece: &[u8]) -> Result<String, Failure> {
        self.bytes += piece.len();
        if self.bytes > MAX_ANSWER_BYTES {
            return Err(Failure::protocol(format!("more than {MAX_ANSWER_BYTES} bytes")));
        }
        if matches!(self.form, Form::Open) {
            let blank = |b: &u8| b.is_ascii_whitespace() || "\u{feff}".as_bytes().contains(b);
            piece = &piece[piece.iter().take_while(|b| blank(b)).count()..];
            match piece.first() {
                None => return Ok(String::new()),
                Some(b'{') => self.form = Form::Whole(Vec::new()),
                Some(b':' | b'd' | b'e' | b'i' | b'r') => {
                    self.form = Form::Events(Box::new(Decoder::with_limit(self.max_json_bytes)));
                }
                Some(_) => {
                    let begin = String::from_utf8_lossy(&piece[..piece.len().min(100)]);
                    return Err(Failure::protocol(format!("neither events nor JSON: {begin}")));
                }
            }
        }
        match &mut self.form {
            Form::Open => Ok(String::new()),
            Form::Whole(whole) if whole.len() + piece.len() > self.max_json_bytes => {
                let most = self.max_json_bytes;
                Err(Failure::protocol(format!("an answer of more than {most} bytes of JSON")))
            }
            Form::Whole(whole) => {
                whole.extend_from_slice(piece);
                Ok(String::new())
            }
            Form::Events(decoder) => {
                let mut added = String::new();
                for event in decoder.push(piece) {
                    let event = event.map_err(|error| Failure::protocol(error.to_string()))?;
                    if event.data.trim() == "[DONE]" {
                        self.done = true;
                        break;
                    }
                    added.push_str(&self.assembly.take(event_chunk(&event.data)?)?);
                }
                Ok(added)
            }
        }
    }

    /// The reply, and what of its text was not returned before.
    ///
    /// # Errors
    /// [`Failure`]: transient when the answer ended before the reply did.
    pub(super) fn end(mut self, taken: &HashSet<&str>) -> Result<(Reply, String), Failure> {
        let mut rest = String::new();
        match &self.form {
            Form::Open => return Err(Failure::transient("the answer is empty")),
            Form::Whole(whole) => {
                rest = self.assembly.take(whole_chunk(whole)?)?;
                if !self.assembly.is_begun() {
                    return Err(Failure::protocol("an answer without a choice"));
                }
            }
            Form::Events(_) if self.is_finished() => {}
            Form::Events(_) if self.done && self.assembly.is_begun() => {}
            Form::Events(_) => {
                return Err(Failure::transient("the answer ended before the reply did"));
            }
        }
        let (reply, note) = self.assembly.finish(taken)?;
        rest.push_str(&note);
        Ok((reply, rest))
    }
}

/// An event is only seen once it is complete, so what is wrong with it does not pass.
fn event_chunk(json: &str) -> Result<Chunk, Failure> {
    check_values(json.as_bytes())?;
    serde_json::from_str(json).map_err(|error| Failure::protocol(error.to_string()))
}

fn whole_chunk(json: &[u8]) -> Result<Chunk, Failure> {
    check_values(json)?;
    serde_json::from_slice(json).map_err(|error| match error.is_eof() {
        true => Failure::transient("the answer ended within its JSON"),
        false => Failure::protocol(error.to_string()),
    })
}

const fn max_json_bytes(max_reply_bytes: usize) -> usize {
    let bytes = max_reply_bytes.saturating_mul(JSON_BYTES);
    if bytes > LEAST_JSON_BYTES { bytes } else { LEAST_JSON_BYTES }
}

fn check_values(json: &[u8]) -> Result<(), Failure> {
    if value_count(json) > MAX_VALUES {
        return Err(Failure::protocol(format!("a chunk of more than {MAX_VALUES} values")));
    }
    Ok(())
}
