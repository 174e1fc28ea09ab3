//! The output of an attached exec: frames of a header and a length
//! (<https://docs.docker.com/reference/api/engine/#stream-format>).
//!
//! A frame may claim up to 4 GiB. Its bytes are handed on as they come, so that nothing is held of
//! it but what was read at once.

use std::io;

use bytes::BytesMut;
use evonic_backend::spool::ScriptOutput;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes that are read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Bytes of a header: the stream, three zeros, the length.
const HEADER: usize = 8;

/// The frames of a connection.
pub(super) struct Frames<R> {
    connection: R,
    buffer: BytesMut,
    /// Whether the frame is of standard error.
    is_error: bool,
    /// Bytes of the frame that are to come.
    left: u32,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(super) fn new(connection: R) -> Self {
        Self { connection, buffer: BytesMut::new(), is_error: false, left: 0 }
    }

    /// The next piece; nothing at the end. Cancel safe.
    ///
    /// # Errors
    /// When the connection broke, or what comes is something else.
    pub(super) async fn next(&mut self) -> io::Result<Option<ScriptOutput>> {
        loop {
            if self.left > 0 && !self.buffer.is_empty() {
                let length = self.buffer.len().min(self.left as usize);
                let piece = self.buffer.split_to(length).freeze();
                self.left -= u32::try_from(length).unwrap_or(self.left);
                return Ok(Some(match self.is_error {
                    true => ScriptOutput::Err(piece),
                    false => ScriptOutput::Out(piece),
                }));
            }
            if self.left == 0
                && let Some(header) = self.buffer.first_chunk::<HEADER>()
            {
                let [stream @ 0..=2, 0, 0, 0, a, b, c, d] = *header else {
                    let said = "the engine's output is no stream of frames";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, said));
                };
                (self.is_error, self.left) = (stream == 2, u32::from_be_bytes([a, b, c, d]));
                let _header = self.buffer.split_to(HEADER);
                continue;
            }
            self.buffer.reserve(PIECE_BYTES);
            if self.connection.read_buf(&mut self.buffer).await? == 0 {
                return match (self.left, self.buffer.is_empty()) {
                    (0, true) => Ok(None),
                    _ => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: u8, text: &str) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        [&[stream, 0, 0, 0], &length[..], text.as_bytes()].concat()
    }

    async fn all(bytes: &[u8]) -> (Vec<u8>, Vec<u8>, io::Result<()>) {
        let mut frames = Frames::new(bytes);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        loop {
            match frames.next().await {
                Ok(Some(ScriptOutput::Out(piece))) => out.extend_from_slice(&piece),
                Ok(Some(ScriptOutput::Err(piece))) => err.extend_from_slice(&piece),
                Ok(None) => return (out, err, Ok(())),
                Err(error) => return (out, err, Err(error)),
            }
        }
    }

    #[tokio::test]
    async fn frames_are_told_apart_and_their_length_is_not_waited_for() {
        let long = "x".repeat(200_000);
        let stream = [frame(1, "a"), frame(2, "b"), frame(1, ""), frame(0, &long)].concat();
        let (out, err, end) = all(&stream).await;
        assert_eq!((out.len(), err.as_slice(), end.is_ok()), (200_001, &b"b"[..], true));
        // 4 GiB are claimed; what is there comes at once.
        let (out, _, end) = all(&[&[1, 0, 0, 0, 255, 255, 255, 255], &b"some"[..]].concat()).await;
        assert_eq!(
            (out.as_slice(), end.unwrap_err().kind()),
            (&b"some"[..], io::ErrorKind::UnexpectedEof)
        );
        for bytes in
            [&b"HTTP/1.1 200 OK"[..], &[3, 0, 0, 0, 0, 0, 0, 1, b'x'], &[1, 0, 0, 1, 0, 0, 0, 1]]
        {
            let (out, err, end) = all(bytes).await;
            assert!(out.is_empty() && err.is_empty() && end.is_err(), "{bytes:?}");
        }
    }
}
