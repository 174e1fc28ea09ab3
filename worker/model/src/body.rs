//! JSON that is sent as it is built.
//!
//! The text is written once, from what it is made of, into pieces of bounded size; an attachment
//! stands in it by its hash, and is read, encoded and sent piece by piece. So a request takes its
//! own size in memory and no attachment does, and its length is known before it is sent.

mod escape;

use std::{
    collections::VecDeque,
    fmt, io, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use evonic_domain::Attachment;
use hyper::body::{Body, Frame, SizeHint};
use serde::Serialize;

use self::escape::escape;
pub(crate) use self::escape::escaped_length;
use crate::Blobs;

/// The size of a piece.
const PIECE_BYTES: usize = 64 * 1024;

#[derive(Clone, Debug)]
enum Segment {
    Text(Bytes),
    Blob { sha256: String, bytes: u64, encoding: Encoding },
}

/// How a content stands within a string.
#[derive(Clone, Copy, Debug)]
enum Encoding {
    Base64,
    /// As the text that it is.
    Text,
}

/// A body in the making.
#[derive(Debug, Default)]
pub(crate) struct JsonWriter {
    segments: Vec<Segment>,
    current: Vec<u8>,
    bytes: u64,
}

impl JsonWriter {
    /// JSON as it is.
    pub(crate) fn raw(&mut self, json: &str) {
        self.push(json.as_bytes());
    }

    /// A value.
    pub(crate) fn value<T: Serialize + ?Sized>(&mut self, value: &T) {
        serde_json::to_writer(self, value).expect("it has string keys, and memory takes it all");
    }

    /// A string.
    pub(crate) fn string(&mut self, text: &str) {
        self.strings(&[text]);
    }

    /// One string of several texts.
    pub(crate) fn strings(&mut self, texts: &[&str]) {
        self.raw("\"");
        for text in texts {
            self.within_string(text);
        }
        self.raw("\"");
    }

    /// A part of a string that was begun: RFC 8259, section 7.
    pub(crate) fn within_string(&mut self, text: &str) {
        escape(text.as_bytes(), |bytes| self.push(bytes));
    }

    /// An attachment's content in base64, within a string.
    pub(crate) fn blob(&mut self, attachment: &Attachment) {
        self.end_piece();
        let Attachment { sha256, bytes, .. } = attachment;
        self.bytes += bytes.div_ceil(3) * 4;
        let (sha256, encoding) = (sha256.clone(), Encoding::Base64);
        self.segments.push(Segment::Blob { sha256, bytes: *bytes, encoding });
    }

    /// An attachment's content as text, within a string; escaped it has this length.
    pub(crate) fn text_blob(&mut self, attachment: &Attachment, escaped: u64) {
        self.end_piece();
        self.bytes += escaped;
        let (sha256, encoding) = (attachment.sha256.clone(), Encoding::Text);
        self.segments.push(Segment::Blob { sha256, bytes: attachment.bytes, encoding });
    }

    /// The body; copies share its pieces.
    pub(crate) fn finish(mut self, blobs: Option<Arc<dyn Blobs>>) -> RequestBody {
        self.end_piece();
        let reading = None;
        RequestBody { segments: self.segments.into(), next: 0, left: self.bytes, blobs, reading }
    }

    fn push(&mut self, mut bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.current.capacity() == 0 {
                self.current.reserve_exact(PIECE_BYTES);
            }
            let (now, later) = bytes.split_at(bytes.len().min(PIECE_BYTES - self.current.len()));
            self.current.extend_from_slice(now);
            bytes = later;
            if self.current.len() == PIECE_BYTES {
                self.end_piece();
            }
        }
    }

    fn end_piece(&mut self) {
        let mut piece = mem::take(&mut self.current);
        if !piece.is_empty() {
            piece.shrink_to_fit();
            self.segments.push(Segment::Text(piece.into()));
        }
    }
}

impl io::Write for JsonWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why an attachment cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("attachment {sha256} cannot be sent: {reason}")]
pub(crate) struct BlobError {
    pub(crate) sha256: String,
    reason: String,
}

type Piece = Pin<Box<dyn Future<Output = Result<Bytes, String>> + Send>>;

/// A request's body. A clone of one that was not begun is the same body, for another attempt.
pub(crate) struct RequestBody {
    segments: Arc<[Segment]>,
    next: usize,
    /// Bytes still to be sent.
    left: u64,
    blobs: Option<Arc<dyn Blobs>>,
    reading: Option<Reading>,
}

/// A content in the reading.
struct Reading {
    offset: u64,
    /// What of it is no whole group of base64 yet.
    rest: VecDeque<u8>,
    piece: Option<Piece>,
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").field("left", &self.left).finish_non_exhaustive()
    }
}

impl RequestBody {
    /// The same body from its beginning.
    pub(crate) fn again(&self) -> Self {
        let blobs = self.blobs.clone();
        Self {
            segments: Arc::clone(&self.segments),
            next: 0,
            left: self.left,
            blobs,
            reading: None,
        }
    }

    #[cfg(test)]
    pub(crate) const fn len(&self) -> u64 {
        self.left
    }

    /// Its text, without attachments.
    #[cfg(test)]
    pub(crate) fn text(&self) -> String {
        let text = self.segments.iter().filter_map(|segment| match segment {
            Segment::Text(text) => Some(&text[..]),
            Segment::Blob { .. } => None,
        });
        String::from_utf8(text.collect::<Vec<_>>().concat()).expect("JSON is UTF-8")
    }

    fn poll_blob(
        &mut self,
        context: &mut Context<'_>,
        sha256: &str,
        bytes: u64,
        encoding: Encoding,
    ) -> Poll<Result<Option<Bytes>, BlobError>> {
        let error = |reason: String| BlobError { sha256: sha256.to_owned(), reason };
        let Some(blobs) = self.blobs.clone() else {
            return Poll::Ready(Err(error("its content is not here".to_owned())));
        };
        let fresh = || Reading { offset: 0, rest: VecDeque::new(), piece: None };
        let reading = self.reading.get_or_insert_with(fresh);
        let (hash, offset) = (sha256.to_owned(), reading.offset);
        let piece = reading
            .piece
            .get_or_insert_with(|| Box::pin(async move { blobs.read(&hash, offset).await }));
        let piece = ready!(piece.as_mut().poll(context)).map_err(error);
        reading.piece = None;
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => return Poll::Ready(Err(error)),
        };
        reading.offset += piece.len() as u64;
        let ended = piece.is_empty();
        if reading.offset > bytes || (ended && reading.offset < bytes) {
            let reason = format!("it has not the {bytes} bytes that it is said to have");
            return Poll::Ready(Err(error(reason)));
        }
        let encoded = match encoding {
            Encoding::Base64 => {
                reading.rest.extend(piece);
                let whole = if ended { reading.rest.len() } else { reading.rest.len() / 3 * 3 };
                let group: Vec<u8> = reading.rest.drain(..whole).collect();
                BASE64_STANDARD.encode(group).into_bytes()
            }
            Encoding::Text => {
                let mut escaped = Vec::with_capacity(piece.len());
                escape(&piece, |bytes| escaped.extend_from_slice(bytes));
                escaped
            }
        };
        if ended {
            self.reading = None;
            self.next += 1;
        }
        Poll::Ready(Ok((!encoded.is_empty()).then(|| encoded.into())))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BlobError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BlobError>>> {
        let this = self.get_mut();
        loop {
            let piece = match this.segments.get(this.next) {
                None => return Poll::Ready(None),
                Some(Segment::Text(text)) => {
                    let text = text.clone();
                    this.next += 1;
                    text
                }
                Some(Segment::Blob { sha256, bytes, encoding }) => {
                    let (sha256, bytes, encoding) = (sha256.clone(), *bytes, *encoding);
                    match ready!(this.poll_blob(context, &sha256, bytes, encoding)) {
                        Ok(Some(piece)) => piece,
                        Ok(None) => continue,
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    }
                }
            };
            this.left = this.left.saturating_sub(piece.len() as u64);
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.next == self.segments.len()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests;
