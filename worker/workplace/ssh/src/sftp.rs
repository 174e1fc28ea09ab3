//! Files of a host, by SFTP over a channel of a connection.
//!
//! Not by libssh2's own SFTP, which ssh2 offers without `posix-rename` and `statvfs`, and which
//! answers one request at a time. Here requests of many are under way at once, each answered by its
//! identifier. Dropping a request's future costs nothing but its answer.

mod behind;
mod fault;
mod file;
mod fuzzing;
mod replies;
mod wire;

use std::{sync::Arc, time::Duration};

use bytes::{Buf, Bytes};
use tokio::{sync::oneshot, time::timeout};

pub(crate) use self::fuzzing::decoded;
pub(super) use self::{
    fault::Fault,
    file::{File, Reader, Writer},
    wire::Attributes,
};
use self::{
    fault::status,
    replies::{Answer, NOBODY, Receiver, Replies},
    wire::{Kind, Packet, Reply},
};
use super::link::{ChannelError, ChannelSlot, Inlet, Link, Stream, unreachable};
use evonic_backend::{Home, RemotePath, Stage, WorkplaceError, error::Cause};

/// How long a host may take to answer one request. A dead link is noticed earlier.
const ANSWER: Duration = Duration::from_secs(60);

/// SFTP on a channel of its own. Dropping it closes the channel.
#[derive(Debug)]
pub(super) struct Sftp {
    host: String,
    stream: Stream,
    inlet: Inlet,
    replies: Arc<Replies>,
    home: Home,
    can: Can,
}

/// What the server can besides the protocol.
#[derive(Clone, Copy, Debug)]
struct Can {
    posix_rename: bool,
    fsync: bool,
    statvfs: bool,
    read_bytes: u32,
    write_bytes: u32,
}

/// Bytes of one read or write that every server takes.
const PIECE_BYTES: u32 = 32 * 1024;

/// Bytes of one read or write, where the server takes them.
const LARGE_PIECE_BYTES: u32 = 128 * 1024;

impl Sftp {
    /// Opens SFTP in a place of a connection, and asks for the home.
    ///
    /// # Errors
    /// [`WorkplaceError::Refused`] when the host has no SFTP, or no home for this user.
    pub(super) async fn open(place: ChannelSlot) -> Result<Self, WorkplaceError> {
        let host = place.link().host().to_owned();
        let inlet = Inlet::new(&place);
        let replies = Arc::new(Replies::default());
        let version = replies.expect_version();
        inlet.send(Packet::new(Kind::Init, 3).bytes());
        let receiver = Receiver::new(Arc::clone(&replies), inlet.clone());
        let mut stream = Stream::sftp(place, inlet.clone(), Box::new(receiver));
        let can = match answer(version).await {
            Ok(Reply::Version(extensions)) => Can::by(&extensions),
            Ok(_) => return Err(refused(&host, "the server's SFTP is not understood")),
            Err(fault) => return Err(no_sftp(&host, &mut stream, fault).await),
        };
        let asked = ask(&inlet, &replies, |id| Packet::new(Kind::Realpath, id).string(b"."));
        let home = match answered(asked).await {
            Ok(Reply::Names(names)) if names.len() == 1 => Home::reported(&names[0].0)?,
            Ok(_) => return Err(refused(&host, "it does not say where the home is")),
            Err(fault) => return Err(fault.on(&host, Stage::FindHome, ".")),
        };
        let mut sftp = Self { host, stream, inlet, replies, home, can };
        sftp.ask_limits().await;
        Ok(sftp)
    }

    /// What the server calls the home: where relative paths begin.
    pub(super) const fn home(&self) -> &Home {
        &self.home
    }

    /// `user@host:port`.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The connection that it is on.
    pub(super) fn link(&self) -> &Arc<Link> {
        self.inlet.link()
    }

    /// See [`ChannelSlot::rests`].
    pub(super) fn rests(&mut self) {
        self.stream.rests();
    }

    /// Whether it is over.
    pub(super) fn is_over(&self) -> bool {
        self.stream.is_over()
    }

    /// What is at a path; links are followed.
    pub(super) async fn stat(&self, path: &RemotePath) -> Result<Attributes, Fault> {
        self.attributes(Kind::Stat, path.as_bytes()).await
    }

    /// What is at a path; a link is told of as such.
    pub(super) async fn lstat(&self, path: &RemotePath) -> Result<Attributes, Fault> {
        self.attributes(Kind::Lstat, path.as_bytes()).await
    }

    /// The path without links. What is there may be missing.
    pub(super) async fn real_path(&self, path: &RemotePath) -> Result<RemotePath, Fault> {
        let asked = self.ask(|id| Packet::new(Kind::Realpath, id).string(path.as_bytes()));
        match answered(asked).await? {
            Reply::Names(names) if names.len() == 1 => Home::reported(&names[0].0)
                .map(|path| path.path().clone())
                .map_err(|error| Fault::Broken(error.to_string())),
            other => Err(other.unexpected()),
        }
    }

    /// Opens a file for reading.
    pub(super) async fn open_file(self: &Arc<Self>, path: &RemotePath) -> Result<File, Fault> {
        const READ: u32 = 1;
        self.open_with(path, READ, None).await
    }

    /// Opens a file for writing, made with this mode if it is missing; with `new` it must be.
    pub(super) async fn create(
        self: &Arc<Self>,
        path: &RemotePath,
        mode: Option<u32>,
        new: bool,
    ) -> Result<File, Fault> {
        const WRITE: u32 = 2;
        const CREATE: u32 = 8;
        const EXCLUSIVE: u32 = 32;
        let flags = WRITE | CREATE | if new { EXCLUSIVE } else { 0 };
        self.open_with(path, flags, mode).await
    }

    async fn open_with(
        self: &Arc<Self>,
        path: &RemotePath,
        flags: u32,
        mode: Option<u32>,
    ) -> Result<File, Fault> {
        let packet = |id| Packet::new(Kind::Open, id).string(path.as_bytes()).u32(flags).mode(mode);
        match answered(self.ask(packet)).await? {
            Reply::Handle(handle) => Ok(File::new(Arc::clone(self), handle)),
            other => Err(other.unexpected()),
        }
    }

    /// Entries of a folder, at most `limit`, without `.` and `..`; links are not followed.
    pub(super) async fn read_folder(
        self: &Arc<Self>,
        path: &RemotePath,
        limit: usize,
    ) -> Result<Vec<(Bytes, Attributes)>, Fault> {
        let asked = self.ask(|id| Packet::new(Kind::Opendir, id).string(path.as_bytes()));
        let folder = match answered(asked).await? {
            Reply::Handle(handle) => File::new(Arc::clone(self), handle),
            other => return Err(other.unexpected()),
        };
        let mut found = Vec::new();
        while found.len() < limit {
            let asked = self.ask(|id| Packet::new(Kind::Readdir, id).string(folder.handle()));
            match answered(asked).await {
                Ok(Reply::Names(names)) => {
                    let own = |name: &Bytes| name == "." || name == "..";
                    found.extend(names.into_iter().filter(|(name, _)| !own(name)));
                }
                Err(Fault::Status { code: status::EOF, .. }) => break,
                Ok(other) => return Err(other.unexpected()),
                Err(fault) => return Err(fault),
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Makes one folder.
    pub(super) async fn make_folder(&self, path: &RemotePath) -> Result<(), Fault> {
        let packet = |id| Packet::new(Kind::Mkdir, id).string(path.as_bytes()).mode(None);
        done(self.ask(packet)).await
    }

    /// Removes a file or link.
    pub(super) async fn remove(&self, path: &RemotePath) -> Result<(), Fault> {
        done(self.ask(|id| Packet::new(Kind::Remove, id).string(path.as_bytes()))).await
    }

    /// Removes an empty folder.
    pub(super) async fn remove_folder(&self, path: &RemotePath) -> Result<(), Fault> {
        done(self.ask(|id| Packet::new(Kind::Rmdir, id).string(path.as_bytes()))).await
    }

    /// Gives a file another path, in the place of what is there. Without the server's help that
    /// takes two steps, between which there is nothing.
    pub(super) async fn rename(&self, from: &RemotePath, to: &RemotePath) -> Result<(), Fault> {
        let (from, target) = (from.as_bytes(), to.as_bytes());
        if self.can.posix_rename {
            let packet = |id| {
                let packet = Packet::new(Kind::Extended, id).string(b"posix-rename@openssh.com");
                packet.string(from).string(target)
            };
            return done(self.ask(packet)).await;
        }
        let packet = |id| Packet::new(Kind::Rename, id).string(from).string(target);
        match done(self.ask(packet)).await {
            // "There is something" is FAILURE in version 3.
            Err(Fault::Status { code: status::FAILURE | status::EXISTS, .. })
                if self.lstat(to).await.is_ok() =>
            {
                self.remove(to).await?;
                done(self.ask(packet)).await
            }
            other => other,
        }
    }

    /// Whether the file system of a path has no room: no blocks, or no files.
    pub(super) async fn is_full(&self, path: &RemotePath) -> bool {
        if !self.can.statvfs {
            return false;
        }
        let packet = |id| {
            let packet = Packet::new(Kind::Extended, id).string(b"statvfs@openssh.com");
            packet.string(path.as_bytes())
        };
        // bsize, frsize, blocks, bfree, bavail, files, ffree, favail, ...
        let Ok(Reply::Extended(mut numbers)) = answered(self.ask(packet)).await else {
            return false;
        };
        let mut figures = [0_u64; 8];
        for figure in &mut figures {
            let Ok(number) = numbers.try_get_u64() else { return false };
            *figure = number;
        }
        figures[4] == 0 || (figures[5] > 0 && figures[7] == 0)
    }

    async fn attributes(&self, kind: Kind, path: &[u8]) -> Result<Attributes, Fault> {
        match answered(self.ask(|id| Packet::new(kind, id).string(path))).await? {
            Reply::Attributes(found) => Ok(found),
            other => Err(other.unexpected()),
        }
    }

    /// How long reads and writes may be (`limits@openssh.com`).
    async fn ask_limits(&mut self) {
        if self.can.read_bytes == 0 {
            (self.can.read_bytes, self.can.write_bytes) = (PIECE_BYTES, PIECE_BYTES);
            return;
        }
        let packet = |id| Packet::new(Kind::Extended, id).string(b"limits@openssh.com");
        let mut limits = match answered(self.ask(packet)).await {
            Ok(Reply::Extended(limits)) => limits,
            _ => Bytes::new(),
        };
        let mut next = || limits.try_get_u64().unwrap_or(0);
        let (_packet, read, write) = (next(), next(), next());
        let within = |limit: u64| match u32::try_from(limit) {
            Ok(0) => PIECE_BYTES,
            Ok(limit) => limit.min(LARGE_PIECE_BYTES),
            Err(_) => LARGE_PIECE_BYTES,
        };
        (self.can.read_bytes, self.can.write_bytes) = (within(read), within(write));
    }

    fn ask(&self, packet: impl FnOnce(u32) -> Packet) -> Asked {
        ask(&self.inlet, &self.replies, packet)
    }

    /// Closes a handle, without waiting.
    fn close(&self, handle: &[u8]) {
        self.inlet.send(Packet::new(Kind::Close, NOBODY).string(handle).bytes());
    }
}

impl Can {
    fn by(extensions: &[(Vec<u8>, Vec<u8>)]) -> Self {
        let has = |name: &[u8], version: &[u8]| {
            extensions.iter().any(|(has, is)| has == name && is == version)
        };
        Self {
            posix_rename: has(b"posix-rename@openssh.com", b"1"),
            fsync: has(b"fsync@openssh.com", b"1"),
            statvfs: has(b"statvfs@openssh.com", b"2"),
            // To be asked for.
            read_bytes: u32::from(has(b"limits@openssh.com", b"1")),
            write_bytes: 0,
        }
    }
}

/// A request that is under way.
type Asked = Result<oneshot::Receiver<Answer>, String>;

fn ask(inlet: &Inlet, replies: &Replies, packet: impl FnOnce(u32) -> Packet) -> Asked {
    let (id, answer) = replies.expect()?;
    inlet.send(packet(id).bytes());
    Ok(answer)
}

async fn answered(asked: Asked) -> Result<Reply, Fault> {
    answer(asked.map_err(Fault::Broken)?).await
}

async fn answer(
    asked: impl Future<Output = Result<Answer, oneshot::error::RecvError>>,
) -> Result<Reply, Fault> {
    match timeout(ANSWER, asked).await {
        Ok(Ok(Ok(Reply::Status { code, message }))) if code != status::OK => {
            Err(Fault::Status { code, message })
        }
        Ok(Ok(Ok(reply))) => Ok(reply),
        Ok(Ok(Err(reason))) => Err(Fault::Broken(reason)),
        Ok(Err(_)) => Err(Fault::Broken("the connection broke".to_owned())),
        Err(_) => Err(Fault::Broken(format!("no answer within {} s", ANSWER.as_secs()))),
    }
}

async fn done(asked: Asked) -> Result<(), Fault> {
    match answered(asked).await? {
        Reply::Status { .. } => Ok(()),
        other => Err(other.unexpected()),
    }
}

impl Reply {
    fn unexpected(self) -> Fault {
        Fault::Broken("the server answers something else than was asked".to_owned())
    }
}

fn refused(host: &str, said: &str) -> WorkplaceError {
    let source = Cause(said.to_owned());
    WorkplaceError::Refused { host: host.to_owned(), stage: Stage::Sftp, source }
}

/// Why SFTP did not begin: the server's word, if there is a server left.
async fn no_sftp(host: &str, stream: &mut Stream, fault: Fault) -> WorkplaceError {
    let advice = "is `Subsystem sftp` in its sshd_config, and does the login shell run commands?";
    match stream.end().await {
        Err(broke) => broke,
        Ok(Err(ChannelError::Full)) => unreachable(host, Stage::Sftp, "no channel is free"),
        Ok(Err(ChannelError::Refused(said) | ChannelError::Broken(said))) => {
            refused(host, &format!("{said}; {advice}"))
        }
        Ok(Ok(_)) => refused(host, &format!("{}; {advice}", fault.words())),
    }
}
