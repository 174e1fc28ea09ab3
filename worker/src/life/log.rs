//! The log: lines on standard error, in the form that its reader wants.

use std::{
    fmt,
    io::{self, IsTerminal},
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
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
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
