//! The log: lines on standard error, in the form that its reader wants.
//!
//! A reader that does not read, or is gone, costs lines and nothing else: no thread of the worker
//! waits for it longer than [`PATIENCE`].

use std::{
    fmt,
    io::{self, IsTerminal},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    pipe::PIPE_BUF,
};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Compact, Format, Writer},
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

/// Who reads standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// A person: colours and time.
    Person,
    /// The journal: it knows the time, and reads the severity from a prefix.
    Journal,
    /// A file or a pipe: plain lines with time.
    File,
}

impl Reader {
    /// Who reads this process's standard error. systemd names the journal's socket in
    /// `JOURNAL_STREAM` by device and inode (`systemd.exec(5)`).
    pub(super) fn of_stderr() -> Self {
        let stream = std::env::var("JOURNAL_STREAM").ok();
        let status = rustix::fs::fstat(rustix::stdio::stderr());
        match (stream, status) {
            (Some(stream), Ok(status))
                if stream == format!("{}:{}", status.st_dev, status.st_ino) =>
            {
                Reader::Journal
            }
            _ if io::stderr().is_terminal() => Reader::Person,
            _ => Reader::File,
        }
    }
}

/// Starts the log of this process. A filter that cannot be read was refused by the configuration;
/// should one come here all the same, `info` stands in for it.
pub(super) fn start(filter: &str, reader: Reader) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let stands = Arc::new(AtomicBool::new(false));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || Stderr { stands: Arc::clone(&stands) })
        .log_internal_errors(false);
    // Another log that was set before stays: only tests do that.
    let _ = match reader {
        Reader::Person => tracing::subscriber::set_global_default(log.compact().finish()),
        Reader::File => {
            tracing::subscriber::set_global_default(log.with_ansi(false).compact().finish())
        }
        Reader::Journal => {
            let format = Format::default().compact().without_time().with_level(false);
            let journal = Journal { format: format.with_ansi(false) };
            tracing::subscriber::set_global_default(
                log.with_ansi(false).event_format(journal).finish(),
            )
        }
    };
}

/// How long a line waits for its reader before it is dropped.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// No wait at all.
const NONE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Standard error, for a line at a time: a pipe that has room takes it whole.
struct Stderr {
    /// Whether the last line was dropped: then the next ones do not wait.
    stands: Arc<AtomicBool>,
}

impl io::Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let stderr = rustix::stdio::stderr();
        let mut ready = [PollFd::from_borrowed_fd(stderr, PollFlags::OUT)];
        let patience = if self.stands.load(Ordering::Relaxed) { NONE } else { PATIENCE };
        let polled = rustix::event::poll(&mut ready, Some(&patience));
        let stands = polled.is_err() || !ready[0].revents().contains(PollFlags::OUT);
        self.stands.store(stands, Ordering::Relaxed);
        if stands {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // Room for a page is what makes a pipe writable: more than that could block.
        let piece = &line[..line.len().min(PIPE_BUF)];
        Ok(rustix::io::write(stderr, piece)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One line of the log without its machinery, for who cannot trust it any more.
pub(super) fn bare_line(reader: Reader, text: &str) -> String {
    match reader {
        Reader::Journal => format!("<3>{text}\n"),
        Reader::Person | Reader::File => {
            let mut line = String::new();
            // Writing to a string does not fail.
            let _ = SystemTime.format_time(&mut Writer::new(&mut line));
            line + " ERROR evonic: " + text + "\n"
        }
    }
}

/// Lines with the severity that `sd-daemon(3)` defines in front.
struct Journal {
    format: Format<Compact, ()>,
}

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let severity = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        write!(writer, "<{severity}>")?;
        self.format.format_event(context, writer, event)
    }
}
