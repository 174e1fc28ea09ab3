//! Server-sent events: an incremental decoder of the `text/event-stream` format
//! (WHATWG HTML, section 9.2.6).
//!
//! A pure function of bytes, used by the console for evonic's own streams and by the model client
//! for those of endpoints. It takes chunks cut anywhere, accepts the three line ends,
//! and bounds what it keeps.

use std::collections::VecDeque;

/// The most bytes of an event's data, and of a line, that a [`Decoder`] keeps by default.
pub const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;

/// The most bytes of an `id` and of an `event`: every event that follows carries a copy of them.
pub const MAX_NAME_BYTES: usize = 1024;

/// One event: the fields between two empty lines, with data among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The last `id` seen on the stream, of this event or an earlier one: the `Last-Event-ID` to
    /// resume with once the event is dealt with. None before the first.
    pub id: Option<String>,
    /// `event`; `message` when it was not given.
    pub event: String,
    /// The `data` lines, joined by line feeds.
    pub data: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// An event, or a line, is larger than the decoder keeps.
    #[error("an event of more than {limit} bytes")]
    TooLarge {
        /// The bound.
        limit: usize,
    },
    /// An `id` or `event` is longer than [`MAX_NAME_BYTES`].
    #[error("an event's id or name of more than {MAX_NAME_BYTES} bytes")]
    NameTooLong,
}

/// The decoder of one stream. After an error it yields nothing any more.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    /// The line so far, without its end.
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed that follows belongs to it.
    after_return: bool,
    /// Nothing was read yet: a byte order mark may come.
    at_start: bool,
    event: String,
    data: Option<String>,
    id: Option<String>,
    retry: Option<u64>,
    failed: Option<SseError>,
    ready: VecDeque<Event>,
}

impl Default for Decoder {
    /// A decoder that keeps at most [`MAX_EVENT_BYTES`] of one event.
    fn default() -> Self {
        Self::with_limit(MAX_EVENT_BYTES)
    }
}

impl Decoder {
    /// A decoder that keeps at most `limit` bytes of one event.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            after_return: false,
            at_start: true,
            event: String::new(),
            data: None,
            id: None,
            retry: None,
            failed: None,
            ready: VecDeque::new(),
        }
    }

    /// Takes the next chunk of the stream; yields the events that it completes. An iterator that
    /// is dropped early loses nothing: what it did not yield comes first the next time.
    ///
    /// # Errors
    /// [`SseError`], as the last item, when a bound is exceeded.
    pub fn push(&mut self, bytes: &[u8]) -> impl Iterator<Item = Result<Event, SseError>> + '_ {
        let mut error = None;
        if self.failed.is_none() {
            error = self.take(bytes).err();
            self.failed = error;
        }
        let ready = &mut self.ready;
        std::iter::from_fn(move || ready.pop_front().map(Ok).or_else(|| error.take().map(Err)))
    }

    /// The event that the stream's end leaves without an empty line behind it. The specification
    /// drops it, since it may be cut; who can tell whether it is whole may take it.
    pub fn finish(&mut self) -> Option<Event> {
        if self.failed.is_some() || self.end_line().is_err() {
            return None;
        }
        self.end_event();
        self.ready.pop_front()
    }

    /// The last `retry` seen on the stream, in milliseconds: how long to wait before reconnecting.
    #[must_use]
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<(), SseError> {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_return) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (chunk, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            self.reserve(chunk.len())?;
            self.line.extend_from_slice(chunk);
            bytes = rest;
            if let Some((&ending, rest)) = rest.split_first() {
                self.after_return = ending == b'\r';
                bytes = rest;
                self.end_line()?;
            }
        }
        Ok(())
    }

    fn reserve(&self, more: usize) -> Result<(), SseError> {
        let kept = self.data.as_ref().map_or(0, String::len) + self.line.len();
        let fits = kept.checked_add(more).is_some_and(|bytes| bytes <= self.limit);
        if fits { Ok(()) } else { Err(SseError::TooLarge { limit: self.limit }) }
    }

    fn end_line(&mut self) -> Result<(), SseError> {
        let line = std::mem::take(&mut self.line);
        let mut line = line.as_slice();
        if std::mem::take(&mut self.at_start) {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        if line.is_empty() {
            self.end_event();
            return Ok(());
        }
        let (field, value) = match line.iter().position(|&byte| byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = String::from_utf8_lossy(value.strip_prefix(b" ").unwrap_or(value));
        match field {
            b"event" | b"id" if value.len() > MAX_NAME_BYTES => return Err(SseError::NameTooLong),
            b"event" => self.event = value.into_owned(),
            b"data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(&value);
                }
                None => self.data = Some(value.into_owned()),
            },
            b"id" if !value.contains('\0') => self.id = Some(value.into_owned()),
            b"retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = value.parse().ok().or(self.retry);
            }
            // A comment (empty field), or an unknown field.
            _ => {}
        }
        Ok(())
    }

    fn end_event(&mut self) {
        let event = std::mem::take(&mut self.event);
        if let Some(data) = self.data.take() {
            let event = if event.is_empty() { "message".to_owned() } else { event };
            self.ready.push_back(Event { id: self.id.clone(), event, data });
        }
    }
}

#[cfg(test)]
mod tests;
