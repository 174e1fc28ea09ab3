//! SFTP on a channel of a connection, and what its replies mean for a workplace.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use evonic_sftp::{Attributes, Client, Error, Handshake, Incoming, PacketSink, Printed};
use rustix::io::Errno;
use tokio::time::{Instant, timeout_at};

use super::{
    channel::{ChannelError, DataSink},
    connection::ChannelSlot,
    stream::{ChannelWriter, Stream},
};
use evonic_backend::{Class, FileType, Home, RemotePath, Result, Stage, Stat, WorkplaceError};

/// A client on a channel of its own. The channel is closed with the last clone and file.
pub(super) type Sftp = Client<Stream>;
pub(super) type File = evonic_sftp::File<Stream>;
pub(super) type Writer = evonic_sftp::Writer<Stream>;

impl PacketSink for Stream {
    fn send(&self, packet: Bytes) {
        self.writer().send(packet);
    }
}

impl PacketSink for ChannelWriter {
    fn send(&self, packet: Bytes) {
        ChannelWriter::send(self, packet);
    }
}

impl DataSink for Incoming<ChannelWriter> {
    fn data(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.push(bytes).map_err(|error| error.to_string())
    }

    fn complaint(&mut self, bytes: &[u8]) {
        self.complain(bytes);
    }

    fn closed(&mut self, reason: &str) {
        self.close(reason);
    }
}

/// Opens SFTP in a slot of a connection; [`None`] when the server lets that have no more channels.
/// The server may take `limit` to start it, to say its version and the home.
///
/// # Errors
/// [`WorkplaceError::Refused`] when the host has no SFTP, or no home for this user.
pub(super) async fn open(slot: ChannelSlot, limit: Duration) -> Result<Option<Sftp>> {
    let deadline = Instant::now() + limit;
    let connection = Arc::clone(slot.connection());
    let writer = ChannelWriter::new(&slot);
    let (handshake, incoming) = Handshake::start(writer.clone());
    let printed = handshake.printed();
    let mut stream = Stream::sftp(slot, writer, Box::new(incoming));
    let version = timeout_at(deadline, handshake.server()).await;
    let late = Error::Timeout(limit);
    let server = match version.unwrap_or(Err(late.clone())) {
        Ok(server) => server,
        Err(error) => {
            let why = no_sftp(connection.host(), &mut stream, &error, &printed, deadline).await;
            if let Err(WorkplaceError::Refused { .. }) = &why {
                connection.refused(Duration::ZERO);
            }
            return why.map(|()| None);
        }
    };
    let client = timeout_at(deadline, server.client(stream)).await.unwrap_or(Err(late));
    let opened = match client {
        Ok(sftp) => home(&sftp).map(|_| sftp),
        Err(Error::NoHome) => Err(refused(connection.host(), &Error::NoHome.to_string())),
        Err(error) => Err(error_of(connection.host(), Stage::FindHome, ".", error)),
    };
    if let Err(error) = &opened
        && error.class() == Class::Permanent
    {
        connection.refused(Duration::ZERO);
    }
    opened.map(Some)
}

/// Whether requests may still be sent on its channel.
pub(super) fn is_open(sftp: &Sftp) -> bool {
    !sftp.is_closed() && !sftp.sink().is_over()
}

/// What the server calls the home: where relative paths begin.
///
/// # Errors
/// [`WorkplaceError`] when it is no absolute path.
pub(super) fn home(sftp: &Sftp) -> Result<Home> {
    Home::from_sftp_realpath(sftp.home().as_bytes())
}

fn refused(host: &str, said: &str) -> WorkplaceError {
    WorkplaceError::refused(host, Stage::Sftp, said)
}

/// Why SFTP did not begin: the server's reason and words, if the connection still works. Nothing
/// when no channel was free.
async fn no_sftp(
    host: &str,
    stream: &mut Stream,
    error: &Error,
    printed: &Printed,
    deadline: Instant,
) -> Result<()> {
    let prints = || match printed.text() {
        words if words.is_empty() => String::new(),
        words => format!("; it prints: {words}"),
    };
    let Ok(end) = timeout_at(deadline, stream.end()).await else {
        // It took the subsystem, and says nothing.
        let advice = "sftp does not begin: see ForceCommand and Subsystem in its sshd_config, and \
                      what the login shell's .bashrc prints or waits for";
        let said = format!("{error}{}; {advice}", prints());
        return Err(WorkplaceError::unreachable(host, Stage::Sftp, said));
    };
    let advice = "is `Subsystem sftp` in its sshd_config, does ForceCommand allow it, and does the \
                  login shell run commands?";
    let said = match end? {
        Err(ChannelError::Full) => return Ok(()),
        Err(ChannelError::Refused(said) | ChannelError::Broken(said)) => said,
        Ok(_) => error.to_string(),
    };
    Err(refused(host, &format!("{said}{}; {advice}", prints())))
}

/// The error of an operation on a path.
pub(super) fn failed<'a>(
    sftp: &'a Sftp,
    stage: Stage,
    path: &'a str,
) -> impl Fn(Error) -> WorkplaceError + Copy + 'a {
    move |error| {
        let connection = sftp.sink().connection();
        if error.is_permission() {
            connection.refused(GROUPS_AGE);
        }
        error_of(connection.host(), stage, path, error)
    }
}

/// Groups of an account are those of its login: after a refusal a connection of this age is not
/// used again.
const GROUPS_AGE: Duration = Duration::from_secs(10);

fn error_of(host: &str, stage: Stage, path: &str, error: Error) -> WorkplaceError {
    // A server that plays false would do so again.
    if error.is_status() || error == Error::Endless {
        return WorkplaceError::path(stage.label(), path, error);
    }
    WorkplaceError::unreachable(host, stage, error.to_string())
}

/// The error of an operation that writes to `path`; where the server does not say what is wrong,
/// what its file system says: it is full, or read-only.
pub(super) async fn failed_to_write(
    sftp: &Sftp,
    stage: Stage,
    path: &RemotePath,
    shown: &str,
    error: Error,
) -> WorkplaceError {
    if !error.is_unspecific() {
        return failed(sftp, stage, shown)(error);
    }
    let folder = path.parent().unwrap_or_else(|| path.clone());
    let errno = match sftp.file_system(folder.as_bytes()).await {
        Some(found) if found.is_read_only => Errno::ROFS,
        Some(found) if found.is_full => Errno::NOSPC,
        _ => return failed(sftp, stage, shown)(error),
    };
    WorkplaceError::path(stage.label(), shown, errno)
}

/// What attributes say.
pub(super) fn stat_of(found: &Attributes) -> Stat {
    let file_type = type_of(found);
    let size_bytes = if file_type == FileType::File { found.size } else { 0 };
    Stat { file_type, size_bytes, mode: found.mode & 0o7777, modified: found.modified.into() }
}

/// What kind of file it is.
pub(super) const fn type_of(found: &Attributes) -> FileType {
    FileType::from_mode(found.mode)
}
