//! SFTP on a channel of a connection, and what its replies mean for a workplace.

use std::{io, time::Duration};

use bytes::Bytes;
use evonic_sftp::{Attributes, Client, Error, Handshake, Incoming, PacketSink};
use tokio::time::timeout;

use super::{
    channel::{ChannelError, DataSink},
    connection::ChannelSlot,
    stream::{ChannelWriter, Stream},
};
use evonic_backend::{FileType, Home, RemotePath, Result, Stage, Stat, WorkplaceError};

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

    fn closed(&mut self, reason: &str) {
        self.close(reason);
    }
}

/// Opens SFTP in a slot of a connection. The server may take `limit` to start it and to say its
/// version.
///
/// # Errors
/// [`WorkplaceError::Refused`] when the host has no SFTP, or no home for this user.
pub(super) async fn open(slot: ChannelSlot, limit: Duration) -> Result<Sftp> {
    let host = slot.connection().host().to_owned();
    let writer = ChannelWriter::new(&slot);
    let (handshake, incoming) = Handshake::start(writer.clone());
    let mut stream = Stream::sftp(slot, writer, Box::new(incoming));
    let version = timeout(limit, handshake.server()).await;
    let server = match version.unwrap_or(Err(Error::Timeout(limit))) {
        Ok(server) => server,
        Err(Error::NoVersion) => return Err(refused(&host, &Error::NoVersion.to_string())),
        Err(error) => return Err(no_sftp(&host, &mut stream, &error).await),
    };
    match server.client(stream).await {
        Ok(sftp) => home(&sftp).map(|_| sftp),
        Err(Error::NoHome) => Err(refused(&host, &Error::NoHome.to_string())),
        Err(error) => Err(error_of(&host, Stage::FindHome, ".", error)),
    }
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

/// How long the channel of a server that speaks no SFTP may take to end.
const ENDING: Duration = Duration::from_secs(5);

/// Why SFTP did not begin: the server's reason, if the connection still works.
async fn no_sftp(host: &str, stream: &mut Stream, error: &Error) -> WorkplaceError {
    let advice = "is `Subsystem sftp` in its sshd_config, and does the login shell run commands?";
    let Ok(end) = timeout(ENDING, stream.end()).await else {
        // It took the subsystem, and says nothing.
        return WorkplaceError::unreachable(host, Stage::Sftp, error.to_string());
    };
    match end {
        Err(broke) => broke,
        Ok(Err(ChannelError::Full)) => {
            WorkplaceError::unreachable(host, Stage::Sftp, "no channel is free")
        }
        Ok(Err(ChannelError::Refused(said) | ChannelError::Broken(said))) => {
            refused(host, &format!("{said}; {advice}"))
        }
        Ok(Ok(_)) => refused(host, &format!("{error}; {advice}")),
    }
}

/// The error of an operation on a path.
pub(super) fn failed<'a>(
    sftp: &'a Sftp,
    stage: Stage,
    path: &'a str,
) -> impl Fn(Error) -> WorkplaceError + Copy + 'a {
    move |error| error_of(sftp.sink().connection().host(), stage, path, error)
}

fn error_of(host: &str, stage: Stage, path: &str, error: Error) -> WorkplaceError {
    // A server that plays false would do so again.
    if error.is_status() || error == Error::Endless {
        return WorkplaceError::path(stage.label(), path, error);
    }
    WorkplaceError::unreachable(host, stage, error.to_string())
}

/// The error of an operation that needs room for `path`; where the server does not say what is
/// wrong, whether the file system is full.
pub(super) async fn failed_or_full(
    sftp: &Sftp,
    stage: Stage,
    path: &RemotePath,
    shown: &str,
    error: Error,
) -> WorkplaceError {
    let folder = path.parent().unwrap_or_else(|| path.clone());
    if error.is_unspecific() && sftp.is_full(folder.as_bytes()).await {
        return WorkplaceError::path(stage.label(), shown, io::ErrorKind::StorageFull);
    }
    failed(sftp, stage, shown)(error)
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
