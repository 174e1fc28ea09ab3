//! The client of the status socket: one JSON request a line, one JSON reply a line.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use evonic_shared::{
    config::Config,
    status::{CommandToken, ErrorCode, Reply, Request, RequestLine, TOKEN_FILE},
};

use super::error::{ConsoleError, Result};

/// The supervisor answers at once: it never waits for anybody else.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

const MAX_REPLY_BYTES: usize = 16 * 1024 * 1024;

/// A connection to the supervisor.
#[derive(Debug)]
pub(super) struct Supervisor {
    socket: PathBuf,
    stream: BufReader<UnixStream>,
    /// The beginning of a reply.
    unread: Vec<u8>,
}

impl Supervisor {
    /// The path of the status socket.
    pub(super) fn socket(config: &Config) -> PathBuf {
        config.runtime_dir.join("supervisor.sock")
    }

    pub(super) fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket)
            .map_err(|source| ConsoleError::unreachable(socket, source))?;
        let stream = BufReader::new(stream);
        let supervisor = Self { socket: socket.to_owned(), stream, unread: Vec::new() };
        let timeout = supervisor.stream.get_ref().set_write_timeout(Some(REPLY_TIMEOUT));
        timeout.map_err(|source| supervisor.lost(source))?;
        Ok(supervisor)
    }

    /// Asks, without waiting. With a command goes the token of its folder, if this user may read it:
    /// root needs none.
    pub(super) fn send(&mut self, request: &Request) -> Result {
        let is_command =
            matches!(request, Request::Restart { .. } | Request::Reload { .. } | Request::Drain);
        let token = is_command.then(|| self.token()).flatten();
        let line = RequestLine { request: request.clone(), token }.encode();
        self.stream.get_mut().write_all(line.as_bytes()).map_err(|source| self.lost(source))
    }

    /// Asks, and waits for the answer.
    pub(super) fn ask(&mut self, request: &Request) -> Result<Reply> {
        self.send(request)?;
        match self.next(REPLY_TIMEOUT)? {
            Some(reply) => Ok(reply),
            None => Err(self.lost(io::ErrorKind::TimedOut.into())),
        }
    }

    /// The next reply of a `watch`; none when none came within `limit`.
    pub(super) fn next(&mut self, limit: Duration) -> Result<Option<Reply>> {
        self.stream.get_ref().set_read_timeout(Some(limit)).map_err(|e| self.lost(e))?;
        let room = MAX_REPLY_BYTES.saturating_sub(self.unread.len()) as u64;
        match self.stream.by_ref().take(room).read_until(b'\n', &mut self.unread) {
            Ok(_) if self.unread.ends_with(b"\n") => {
                decode(&std::mem::take(&mut self.unread)).map(Some)
            }
            Ok(_) if self.unread.len() < MAX_REPLY_BYTES => {
                Err(self.lost(io::ErrorKind::UnexpectedEof.into()))
            }
            Ok(_) => Err(self.lost(io::ErrorKind::InvalidData.into())),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Ok(None),
                _ => Err(self.lost(error)),
            },
        }
    }

    fn token(&self) -> Option<CommandToken> {
        let text = std::fs::read_to_string(self.socket.with_file_name(TOKEN_FILE)).ok()?;
        Some(CommandToken::parse(&text))
    }

    fn lost(&self, source: io::Error) -> ConsoleError {
        ConsoleError::SupervisorLost { socket: self.socket.clone(), source }
    }
}

/// Decodes a line; a refusal is an error.
fn decode(line: &[u8]) -> Result<Reply> {
    match serde_json::from_slice(line) {
        Ok(Reply::Error { code: ErrorCode::Forbidden, message, .. }) => {
            Err(ConsoleError::Forbidden { message })
        }
        Ok(Reply::Error { code: ErrorCode::Failed, message, .. }) => {
            Err(ConsoleError::NotReplaced { message })
        }
        Ok(Reply::Error { code, message, .. }) => {
            Err(ConsoleError::SupervisorRefused { code, message })
        }
        Ok(reply) => Ok(reply),
        Err(source) => Err(unexpected(source)),
    }
}

/// The error of a reply that does not answer the request.
pub(super) fn unexpected(
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> ConsoleError {
    ConsoleError::Protocol { from: "the supervisor", source: source.into() }
}
