//! The client: from the first packet to operations on files and folders.

use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::{
    error::{Error, status},
    file::File,
    home::RemoteHome,
    packet::{Attributes, Packet, Reply, RequestType},
    requests::{Extensions, Incoming, Limits, PacketSink, Pending, ReplySlot, Requests},
};

/// The protocol's version.
const VERSION: u32 = 3;

/// The longest data of a read or write, where the server takes it; and the longest of a server that
/// takes little: the less it takes, the more requests are under way.
const MAX_DATA_BYTES: u32 = 128 * 1024;
const MIN_DATA_BYTES: u32 = 4 * 1024;

/// Bytes of a folder's names that are taken, and replies in a row without a name.
const FOLDER_BYTES: usize = 8 << 20;
const EMPTY_REPLIES: u32 = 100;

/// Bytes that a name counts for beside its own.
const ENTRY_BYTES: usize = 64;

/// `SSH_FXP_INIT` is sent, its reply not here yet.
#[derive(Debug)]
pub struct Handshake {
    pending: Arc<Pending>,
    version: ReplySlot,
}

impl Handshake {
    /// Sends the first packet. The transport hands the server's bytes to [`Incoming`].
    pub fn start<S: PacketSink>(sink: S) -> (Self, Incoming<S>) {
        let pending = Arc::new(Pending::default());
        let version = pending.expect_version();
        sink.send(Packet::new(RequestType::Init, VERSION).bytes());
        (Self { pending: Arc::clone(&pending), version }, Incoming::new(pending, sink))
    }

    /// What is printed on the server's side in the place of SFTP, or before it.
    #[must_use]
    pub fn printed(&self) -> Printed {
        Printed(Arc::clone(&self.pending))
    }

    /// Waits for the server's version.
    ///
    /// # Errors
    /// [`Error::NoVersion`] for another packet, or why there is none.
    pub async fn server(mut self) -> Result<Server, Error> {
        match self.version.reply().await? {
            Reply::Version(extensions) => {
                Ok(Server { pending: self.pending, extensions: Extensions::offered(&extensions) })
            }
            _ => Err(Error::NoVersion),
        }
    }
}

/// What a login shell prints before the first packet. At most some hundred bytes are kept.
#[derive(Clone, Debug)]
pub struct Printed(Arc<Pending>);

impl Printed {
    /// As one line without control characters; empty for nothing.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.printed()
    }
}

impl Extensions {
    fn offered(by_server: &[(Vec<u8>, Vec<u8>)]) -> Self {
        let has = |name: &[u8], version: &[u8]| {
            by_server.iter().any(|(has, is)| has == name && is == version)
        };
        Self {
            posix_rename: has(b"posix-rename@openssh.com", b"1"),
            fsync: has(b"fsync@openssh.com", b"1"),
            statvfs: has(b"statvfs@openssh.com", b"2"),
            limits: has(b"limits@openssh.com", b"1"),
        }
    }
}

/// A server that speaks SFTP.
#[derive(Debug)]
pub struct Server {
    pending: Arc<Pending>,
    extensions: Extensions,
}

impl Server {
    /// Asks for the home, and for the limits where the server has them. `sink` must lead to the
    /// same channel as the one of [`Handshake::start`].
    ///
    /// # Errors
    /// [`Error`]; [`Error::NoHome`] when the home is not told.
    pub async fn client<S: PacketSink>(self, sink: S) -> Result<Client<S>, Error> {
        let Self { pending, extensions } = self;
        let mut requests = Requests { sink, pending, extensions, limits: Limits::DEFAULT };
        let home = RemoteHome::realpath(&requests).await?;
        if extensions.limits {
            requests.limits = limits(&requests).await;
        }
        Ok(Client { requests: Arc::new(requests), home })
    }
}

/// `limits@openssh.com`. What the server does not limit is 0.
async fn limits(requests: &Requests<impl PacketSink>) -> Limits {
    let mut limits = match requests.ask(|id| Packet::extended(id, b"limits@openssh.com")).await {
        Ok(Reply::Extended(limits)) => limits,
        _ => return Limits::DEFAULT,
    };
    let mut next = || limits.try_get_u64().unwrap_or(0);
    let (_packet, read, write) = (next(), next(), next());
    let within = |limit: u64, default| match u32::try_from(limit) {
        Ok(0) => default,
        Ok(limit) => limit.clamp(MIN_DATA_BYTES, MAX_DATA_BYTES),
        Err(_) => MAX_DATA_BYTES,
    };
    Limits {
        read_bytes: within(read, Limits::DEFAULT.read_bytes),
        write_bytes: within(write, Limits::DEFAULT.write_bytes),
    }
}

/// SFTP on a channel. Cheap to clone; the channel's sink is dropped with the last clone and file.
#[derive(Debug)]
pub struct Client<S: PacketSink> {
    requests: Arc<Requests<S>>,
    home: RemoteHome,
}

impl<S: PacketSink> Clone for Client<S> {
    fn clone(&self) -> Self {
        Self { requests: Arc::clone(&self.requests), home: self.home.clone() }
    }
}

impl<S: PacketSink> Client<S> {
    /// Where relative paths begin.
    #[must_use]
    pub const fn home(&self) -> &RemoteHome {
        &self.home
    }

    /// Whether the channel is over: it ended, or the server did not answer in time.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.requests.pending.is_closed()
    }

    /// Where packets go.
    #[must_use]
    pub fn sink(&self) -> &S {
        &self.requests.sink
    }

    /// What is at a path; symbolic links are followed.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn stat(&self, path: &[u8]) -> Result<Attributes, Error> {
        self.requests.attributes(RequestType::Stat, path).await
    }

    /// What is at a path; symbolic links are not followed.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn lstat(&self, path: &[u8]) -> Result<Attributes, Error> {
        self.requests.attributes(RequestType::Lstat, path).await
    }

    /// The path without symbolic links. What is there may be missing.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn realpath(&self, path: &[u8]) -> Result<Bytes, Error> {
        self.requests.realpath(path).await
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn open_file(&self, path: &[u8]) -> Result<File<S>, Error> {
        const READ: u32 = 0x1;
        self.open(path, READ, None).await
    }

    /// Opens a file that is there for writing, and leaves its content.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn open_to_write(&self, path: &[u8]) -> Result<File<S>, Error> {
        self.open(path, WRITE, None).await
    }

    /// Opens a file for writing. A missing one is made with this mode.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn create(&self, path: &[u8], mode: Option<u32>) -> Result<File<S>, Error> {
        self.open(path, WRITE | CREAT, mode).await
    }

    /// Makes a file with this mode; it must be missing.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn create_new(&self, path: &[u8], mode: Option<u32>) -> Result<File<S>, Error> {
        const EXCL: u32 = 0x20;
        self.open(path, WRITE | CREAT | EXCL, mode).await
    }

    async fn open(&self, path: &[u8], flags: u32, mode: Option<u32>) -> Result<File<S>, Error> {
        let packet = |id| Packet::new(RequestType::Open, id).string(path).u32(flags).mode(mode);
        let handle = self.requests.handle(packet).await?;
        Ok(File::new(Arc::clone(&self.requests), handle))
    }

    /// Entries of a folder, at most `limit`, without `.` and `..`; symbolic links are not followed.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn read_folder(
        &self,
        path: &[u8],
        limit: usize,
    ) -> Result<Vec<(Bytes, Attributes)>, Error> {
        let packet = |id| Packet::new(RequestType::Opendir, id).string(path);
        let handle = self.requests.handle(packet).await?;
        let folder = File::new(Arc::clone(&self.requests), handle);
        let mut found = Vec::new();
        let (mut bytes, mut empty) = (0, 0);
        while found.len() < limit {
            let packet = |id| Packet::new(RequestType::Readdir, id).string(folder.handle());
            match self.requests.ask(packet).await {
                Ok(Reply::Names(names)) => {
                    let before = found.len();
                    let listed = |name: &Bytes| name != "." && name != "..";
                    found.extend(names.into_iter().filter(|(name, _)| listed(name)));
                    let of = |(name, _): &(Bytes, _)| ENTRY_BYTES + name.len();
                    bytes += found[before..].iter().map(of).sum::<usize>();
                    empty = if found.len() > before { 0 } else { empty + 1 };
                    if bytes > FOLDER_BYTES || empty > EMPTY_REPLIES {
                        return Err(Error::Endless);
                    }
                }
                Err(Error::Status { code: status::EOF, .. }) => break,
                Ok(_) => return Err(Error::UnexpectedReply),
                Err(error) => return Err(error),
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Makes one folder.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn make_folder(&self, path: &[u8]) -> Result<(), Error> {
        let packet = |id| Packet::new(RequestType::Mkdir, id).string(path).mode(None);
        self.requests.perform(packet).await
    }

    /// Removes a file or symbolic link.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn remove(&self, path: &[u8]) -> Result<(), Error> {
        self.requests.perform(|id| Packet::new(RequestType::Remove, id).string(path)).await
    }

    /// Removes an empty folder.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn remove_folder(&self, path: &[u8]) -> Result<(), Error> {
        self.requests.perform(|id| Packet::new(RequestType::Rmdir, id).string(path)).await
    }

    /// Renames a file and replaces what is at `to`. Without `posix-rename@openssh.com` that takes
    /// two requests, between which nothing is there.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn rename(&self, from: &[u8], to: &[u8]) -> Result<(), Error> {
        if self.requests.extensions.posix_rename {
            let packet =
                |id| Packet::extended(id, b"posix-rename@openssh.com").string(from).string(to);
            return self.requests.perform(packet).await;
        }
        let packet = |id| Packet::new(RequestType::Rename, id).string(from).string(to);
        match self.requests.perform(packet).await {
            // Version 3 has no code for a target that exists but FAILURE.
            Err(Error::Status { code: status::FAILURE | status::FILE_ALREADY_EXISTS, .. })
                if self.lstat(to).await.is_ok() =>
            {
                self.remove(to).await?;
                self.requests.perform(packet).await
            }
            other => other,
        }
    }

    /// What the file system of a path says of itself; [`None`] where the server cannot say
    /// (`statvfs@openssh.com`).
    pub async fn file_system(&self, path: &[u8]) -> Option<FileSystem> {
        const READ_ONLY: u64 = 1;
        if !self.requests.extensions.statvfs {
            return None;
        }
        let packet = |id| Packet::extended(id, b"statvfs@openssh.com").string(path);
        let Ok(Reply::Extended(mut fields)) = self.requests.ask(packet).await else {
            return None;
        };
        // f_bsize, f_frsize, f_blocks, f_bfree, f_bavail, f_files, f_ffree, f_favail, f_fsid, f_flag
        let mut values = [0_u64; 10];
        for value in &mut values {
            *value = fields.try_get_u64().ok()?;
        }
        let [_, _, _, _, blocks_available, files, _, files_available, _, flags] = values;
        Some(FileSystem {
            is_full: blocks_available == 0 || (files > 0 && files_available == 0),
            is_read_only: flags & READ_ONLY != 0,
        })
    }
}

/// A file system of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// No free blocks, or no free inodes.
    pub is_full: bool,
    /// Nothing can be written to it.
    pub is_read_only: bool,
}

/// `SSH_FXF_*`.
const WRITE: u32 = 0x2;
const CREAT: u32 = 0x8;

#[cfg(test)]
mod tests;
