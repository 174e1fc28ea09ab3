//! Bytes on their way through a script's pipes.

use std::{io, os::fd::OwnedFd, time::Duration};

use bytes::{Buf, Bytes};
use tokio::{
    net::unix::pipe::{Receiver, Sender},
    sync::mpsc,
    time::{Instant, timeout},
};

use evonic_backend::spool::ScriptOutput;

/// The most bytes of one piece.
const PIECE_BYTES: usize = 32 * 1024;

/// After the script's end: how long a silence on a pipe that a process it left behind still holds
/// ends the reading.
const SILENCE: Duration = Duration::from_millis(200);

/// After the script's end: how long such a process is listened to at the most.
const LINGER: Duration = Duration::from_secs(1);

/// The writing end of standard input, and what is still to be written. Closed when that is done.
pub(super) struct Feed {
    pipe: Option<Sender>,
    left: Bytes,
}

impl Feed {
    /// Nothing to do without a pipe.
    pub(super) fn new(pipe: Option<(OwnedFd, Bytes)>) -> io::Result<Self> {
        let Some((pipe, left)) = pipe else { return Ok(Self { pipe: None, left: Bytes::new() }) };
        Ok(Self { pipe: Some(Sender::from_owned_fd(pipe)?), left })
    }

    /// Whether everything was written, or nobody reads it any more, and the pipe is closed.
    pub(super) const fn is_ended(&self) -> bool {
        self.pipe.is_none()
    }

    /// Writes what fits. Cancel safe.
    pub(super) async fn step(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        let written = match pipe.writable().await {
            Ok(()) => pipe.try_write(&self.left),
            Err(error) => Err(error),
        };
        match written {
            Ok(length) => self.left.advance(length),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // The script ended, or reads no input.
            Err(_) => self.left.clear(),
        }
        if self.left.is_empty() {
            self.pipe = None;
        }
    }
}

/// The reading end of a pipe, and who reads its bytes.
pub(super) struct Stream {
    pipe: Receiver,
    reader: mpsc::Sender<ScriptOutput>,
    /// Which stream of the script it is.
    wrap: fn(Bytes) -> ScriptOutput,
    /// Read, and not yet handed on.
    pending: Vec<u8>,
    ended: bool,
}

impl Stream {
    pub(super) fn new(
        pipe: OwnedFd,
        reader: mpsc::Sender<ScriptOutput>,
        wrap: fn(Bytes) -> ScriptOutput,
    ) -> io::Result<Self> {
        let pipe = Receiver::from_owned_fd(pipe)?;
        Ok(Self { pipe, reader, wrap, pending: Vec::new(), ended: false })
    }

    /// Whether every process has closed the pipe and everything was handed on.
    pub(super) const fn is_ended(&self) -> bool {
        self.ended && self.pending.is_empty()
    }

    /// Hands on the piece that was read, or else reads the next; returns how many bytes it read.
    /// Without a reader the bytes are dropped, so that the script does not stand still.
    /// Cancel safe.
    pub(super) async fn step(&mut self) -> usize {
        if !self.pending.is_empty() {
            let slot = self.reader.reserve().await;
            let piece = std::mem::take(&mut self.pending);
            if let Ok(slot) = slot {
                slot.send((self.wrap)(piece.into()));
            }
            return 0;
        }
        match self.read().await {
            Ok(0) => self.ended = true,
            Ok(length) => return length,
            Err(error) => {
                tracing::warn!(%error, "output of a script cannot be read");
                self.ended = true;
            }
        }
        0
    }

    async fn read(&mut self) -> io::Result<usize> {
        loop {
            self.pipe.readable().await?;
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            match self.pipe.try_read_buf(&mut piece) {
                Ok(length) => {
                    self.pending = piece;
                    return Ok(length);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// After the script's end: hands on everything that stands in the pipe, and what comes until
    /// it is closed, is silent for 200 ms, or a second is over. Cancel safe.
    pub(super) async fn drain(&mut self) {
        let until = Instant::now() + LINGER;
        let mut owed = rustix::io::ioctl_fionread(&self.pipe).unwrap_or(0);
        while !self.is_ended() && (owed > 0 || Instant::now() < until) {
            if self.pending.is_empty() {
                let Ok(length) = timeout(SILENCE, self.step()).await else { return };
                owed = owed.saturating_sub(length as u64);
            } else {
                self.step().await;
            }
        }
        if !self.pending.is_empty() {
            self.step().await;
        }
    }
}
