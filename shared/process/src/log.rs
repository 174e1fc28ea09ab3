//! Where the lines of a process go ([`evonic_shared::log`] has their forms).
//!
//! Under systemd lines go to journald by its own protocol: fields stay fields, and the severity
//! needs no prefix. That costs one descriptor, opened with the first line; severity prefixes on
//! standard error stand in where journald cannot be reached.
//!
//! A reader that does not read, or is gone, costs lines and nothing else.

use std::{
    env,
    io::{self, IsTerminal},
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use evonic_shared::{
    config::LogFormat,
    log::{JOURNAL_SOCKET, Line, Reader, Style, journal_stream},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    pipe::PIPE_BUF,
};

/// How long a line waits for its reader before it is dropped.
pub const WRITE_TIMEOUT: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

const NO_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Where lines go, and in which form.
#[derive(Debug)]
pub struct Output {
    /// How lines are written.
    pub style: Style,
    /// Of [`Style::Native`].
    journal: PathBuf,
    /// [`None`] inside where journald cannot be reached.
    connection: OnceLock<Option<UnixDatagram>>,
    /// The last line on standard error was dropped, so the next ones do not wait.
    is_stalled: AtomicBool,
}

impl Output {
    /// The output that a configured format asks for.
    pub fn new(format: LogFormat) -> Self {
        Self::with_style(Style::new(format, reader()), Path::new(JOURNAL_SOCKET))
    }

    /// An output in a style; [`Style::Native`] goes to the journald on this socket.
    pub fn with_style(style: Style, journal: &Path) -> Self {
        let (connection, is_stalled) = (OnceLock::new(), AtomicBool::new(false));
        Self { style, journal: journal.to_owned(), connection, is_stalled }
    }

    /// Connects to journald now, where that is wanted, instead of with the first line.
    pub fn connected(self) -> Self {
        self.journald();
        self
    }

    /// Writes a line, or drops it when its reader does not take it in time.
    ///
    /// # Errors
    /// The OS error, or [`io::ErrorKind::WouldBlock`]: the line is dropped.
    pub fn write(&self, line: &Line<'_>) -> io::Result<()> {
        self.write_encoded(&self.encode(line))
    }

    /// A line as this output writes it, at this moment.
    pub fn encode(&self, line: &Line<'_>) -> Vec<u8> {
        let style = match self.style {
            Style::Native if self.journald().is_none() => Style::Prefixed,
            style => style,
        };
        line.encode(style, SystemTime::now())
    }

    /// Writes what [`Output::encode`] gave.
    ///
    /// # Errors
    /// As [`Output::write`].
    pub fn write_encoded(&self, line: &[u8]) -> io::Result<()> {
        match self.journald() {
            Some(connection) => self.send(connection, line),
            None => self.write_stderr(line),
        }
    }

    fn journald(&self) -> Option<&UnixDatagram> {
        if self.style != Style::Native {
            return None;
        }
        self.connection.get_or_init(|| connect(&self.journal).ok()).as_ref()
    }

    /// Sends a datagram; to a journald that was started anew it is sent again.
    fn send(&self, connection: &UnixDatagram, datagram: &[u8]) -> io::Result<()> {
        let Err(error) = connection.send(datagram) else { return Ok(()) };
        if error.kind() == io::ErrorKind::WouldBlock {
            let mut room = [PollFd::new(connection, PollFlags::OUT)];
            rustix::event::poll(&mut room, Some(&WRITE_TIMEOUT))?;
        } else {
            connection.connect(&self.journal)?;
        }
        connection.send(datagram).map(drop)
    }

    /// Writes to standard error. It is shared with other processes, so it must not be made
    /// non-blocking.
    #[expect(clippy::disallowed_methods, reason = "lines are escaped where they are encoded")]
    fn write_stderr(&self, line: &[u8]) -> io::Result<()> {
        let stderr = rustix::stdio::stderr();
        let mut ready = [PollFd::from_borrowed_fd(stderr, PollFlags::OUT)];
        let timeout = if self.is_stalled.load(Ordering::Relaxed) { NO_WAIT } else { WRITE_TIMEOUT };
        let polled = rustix::event::poll(&mut ready, Some(&timeout));
        let is_stalled = polled.is_err() || !ready[0].revents().contains(PollFlags::OUT);
        self.is_stalled.store(is_stalled, Ordering::Relaxed);
        if is_stalled {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // Room for a page is what makes a pipe writable: more than that could block.
        rustix::io::write(stderr, &line[..line.len().min(PIPE_BUF)])?;
        Ok(())
    }
}

/// Connects to journald: one descriptor.
fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(path)?;
    Ok(socket)
}

/// Who reads standard error.
#[expect(clippy::disallowed_methods, reason = "it is looked at, not written to")]
fn reader() -> Reader {
    let stream = env::var("JOURNAL_STREAM").ok();
    let file = rustix::fs::fstat(rustix::stdio::stderr());
    if file.is_ok_and(|file| stream == Some(journal_stream(file.st_dev, file.st_ino))) {
        Reader::Journal
    } else if !io::stderr().is_terminal() {
        Reader::File
    } else if env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        // See no-color.org.
        Reader::PlainTerminal
    } else {
        Reader::ColourTerminal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_that_does_not_read_or_is_gone_stops_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let journald = UnixDatagram::bind(&path).unwrap();
        let output = Output::with_style(Style::Native, &path);
        let connection = connect(&path).unwrap();
        let send = |datagram: &[u8]| output.send(&connection, datagram);
        for _ in 0..20 {
            // Refused once the queue is full.
            let _ = send(&[b'x'; 60_000]);
        }
        drop(journald);
        assert!(send(b"MESSAGE=nobody\n").is_err());
        std::fs::remove_file(&path).unwrap();
        let again = UnixDatagram::bind(&path).unwrap();
        send(b"MESSAGE=again\n").unwrap();
        let mut datagram = [0; 64];
        let length = again.recv(&mut datagram).unwrap();
        assert_eq!(&datagram[..length], b"MESSAGE=again\n");
    }
}
