//! The listening sockets: bound here, or inherited.

mod inherited;
mod orphans;

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::FileTypeExt, net::UnixListener},
    },
    path::{Path, PathBuf},
};

use evonic_process::occupant::Occupant;
use evonic_shared::{
    config::Config,
    hand_over::{API, HTTP},
    status::Listener,
};
use rustix::{
    fs::Mode,
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, ipproto, sockopt},
};

pub use self::inherited::Inherited;
use self::orphans::Orphans;
use crate::{disk::FileError, notify::Notify, sys};

/// Connections that may wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// The name by which systemd hands over the status socket.
const STATUS: &str = "status";

#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error(
        "{address} is in use: stop what listens there (`ss -ltnp` names it), or choose another \
         address with `listen` in the configuration or EVONIC_LISTEN"
    )]
    AddressInUse { address: SocketAddr },
    #[error("cannot listen on {address}")]
    Tcp {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error(
        "somebody listens on {} already: stop it, or choose another runtime_dir \
         (EVONIC_RUNTIME_DIR)",
        path.display()
    )]
    PathInUse { path: PathBuf },
    #[error(
        "{} is to be a socket, and is {occupant}: move it away, or choose another runtime_dir \
         (EVONIC_RUNTIME_DIR)",
        path.display()
    )]
    InTheWay { path: PathBuf, occupant: Occupant },
    #[error(transparent)]
    Unix(#[from] FileError),
    #[error("the inherited descriptor named {name} is not a listening {expected} socket")]
    Inherited { name: String, expected: &'static str },
    #[error("cannot take over the inherited descriptors")]
    TakeOver(#[source] io::Error),
}

/// The three listeners: three descriptors, non-blocking and close-on-exec.
///
/// Each one is, in this order: inherited under its own name (socket activation); handed back by
/// systemd's descriptor store, where a dead supervisor left it, if it still fits the configuration;
/// or bound.
#[derive(Debug)]
pub struct Sockets {
    pub http: TcpListener,
    pub api: UnixListener,
    pub status: UnixListener,
    /// Files of sockets that were bound here, removed at the end.
    own_files: Vec<PathBuf>,
    /// Names under which systemd stores a socket that does not fit any more.
    stale: Vec<&'static str>,
    /// Whether a socket unit holds each one anyway.
    activated: [bool; 3],
}

/// The names in systemd's descriptor store. Not those of socket activation: a stored socket must fit
/// the configuration, while the operator chose what a socket unit listens on.
const STORED: [&str; 3] = ["stored-http", "stored-api", "stored-status"];

impl Sockets {
    /// Takes the inherited sockets by name, and binds the rest.
    pub fn open(config: &Config, mut inherited: Inherited) -> Result<Self, SocketError> {
        let (mut own_files, mut stale) = (Vec::new(), Vec::new());
        let mut activated = [false; 3];
        let orphans = Orphans::of(&config.state_dir);
        let [stored_http, stored_api, stored_status] = STORED;
        let stored = inherited.take_stored(stored_http).map(TcpListener::from);
        let http = match inherited.take(HTTP, AddressFamily::INET)? {
            Some(socket) => {
                activated[0] = true;
                TcpListener::from(socket)
            }
            None => match stored {
                Some(listener) if listens_at(&listener, config.listen) => listener,
                other => {
                    stale.extend(other.map(|_unfit| stored_http));
                    orphans.outwait(|| bind_tcp(config.listen))?
                }
            },
        };
        let mut unix =
            |place: usize, name: &str, kept: &'static str, file: &str| -> Result<_, SocketError> {
                let stored = inherited.take_stored(kept).map(UnixListener::from);
                if let Some(socket) = inherited.take(name, AddressFamily::UNIX)? {
                    activated[place] = true;
                    return Ok(UnixListener::from(socket));
                }
                let path = config.runtime_dir.join(file);
                let listener = match stored {
                    Some(listener) if is_reached_by(&listener, &path) => listener,
                    other => {
                        // Closed before the path is bound: a listener answers there otherwise.
                        stale.extend(other.map(|_unfit| kept));
                        orphans.outwait(|| bind_unix(&path))?
                    }
                };
                own_files.push(path);
                Ok(listener)
            };
        let api = unix(1, API, stored_api, "api.sock")?;
        let status = unix(2, STATUS, stored_status, "supervisor.sock")?;
        inherited.close_rest();
        Ok(Self { http, api, status, own_files, stale, activated })
    }

    /// Stores the sockets of no socket unit at systemd, and has it close those that do not fit any
    /// more. From then on the files stay when this process ends: the next one gets the sockets back.
    /// systemd removes the folder with the service.
    pub fn keep(&mut self, notify: &Notify) {
        if !notify.is_connected() {
            return;
        }
        for name in self.stale.drain(..) {
            notify.forget(name);
        }
        let descriptors = [self.http.as_fd(), self.api.as_fd(), self.status.as_fd()];
        for ((name, descriptor), activated) in STORED.iter().zip(descriptors).zip(self.activated) {
            if !activated {
                notify.keep(name, descriptor);
            }
        }
        self.own_files.clear();
    }

    /// Connections that no worker has accepted yet; 0 where the kernel does not know.
    pub fn accept_queue(&self) -> u32 {
        sys::accept_queue(self.http.as_fd()).unwrap_or(0)
    }

    /// The workers' listeners, as the status shows them.
    pub fn describe(&self) -> Vec<Listener> {
        let http = self.http.local_addr().map_or_else(|_| String::new(), |addr| addr.to_string());
        let api = self.api.local_addr().ok();
        let api = api.as_ref().and_then(|addr| addr.as_pathname());
        vec![
            Listener {
                name: HTTP.into(),
                address: http,
                accept_queue: sys::accept_queue(self.http.as_fd()).ok(),
            },
            Listener {
                name: API.into(),
                address: api.map_or_else(String::new, |path| path.display().to_string()),
                accept_queue: None,
            },
        ]
    }

    /// Removes the socket files: later clients are refused.
    pub fn remove_files(&mut self) {
        for path in self.own_files.drain(..) {
            // It may be removed already.
            let _ = fs::remove_file(path);
        }
    }
}

/// Whether a listener fits the configured address; port 0 fits any.
fn listens_at(listener: &TcpListener, wanted: SocketAddr) -> bool {
    let port = |own: SocketAddr| wanted.port() == 0 || own.port() == wanted.port();
    listener.local_addr().is_ok_and(|own| own.ip() == wanted.ip() && port(own))
}

/// Whether a client of a path reaches this listener: it was bound there, and the file still exists.
/// Nobody else binds it: this supervisor holds the folder's lock.
fn is_reached_by(listener: &UnixListener, path: &Path) -> bool {
    listener.local_addr().is_ok_and(|own| own.as_pathname() == Some(path))
        && fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket())
}

fn bind_tcp(address: SocketAddr) -> Result<TcpListener, SocketError> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let bind = || -> Result<OwnedFd, Errno> {
        let socket =
            rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        // Connections of a predecessor that linger in TIME_WAIT are no reason to refuse.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        rustix::net::bind(&socket, &address)?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(socket)
    };
    match bind() {
        Ok(socket) => Ok(socket.into()),
        Err(Errno::ADDRINUSE) => Err(SocketError::AddressInUse { address }),
        Err(errno) => Err(SocketError::Tcp { address, source: errno.into() }),
    }
}

/// Whether somebody listens at a path; without waiting for a place in its queue.
fn probe(path: &Path) -> Result<(), Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)
}

/// Binds a path for the service's user and group. Replaces the file of a dead listener, and nothing
/// else.
fn bind_unix(path: &Path) -> Result<UnixListener, SocketError> {
    match Occupant::of(path).map_err(FileError::new("listen on", path))? {
        None => {}
        Some(Occupant::Socket) => match probe(path) {
            Ok(()) => return Err(SocketError::PathInUse { path: path.to_owned() }),
            Err(Errno::CONNREFUSED) => {
                fs::remove_file(path).map_err(FileError::new("listen on", path))?;
            }
            // Of another type, or its queue is full: somebody's.
            Err(_) => return Err(SocketError::PathInUse { path: path.to_owned() }),
        },
        Some(occupant) => return Err(SocketError::InTheWay { path: path.to_owned(), occupant }),
    }
    // `umask` is of the whole process, of which no other thread makes files yet.
    let before = rustix::process::umask(Mode::from_raw_mode(0o117));
    let listener = UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = listener.map_err(FileError::new("listen on", path))?;
    listener.set_nonblocking(true).map_err(FileError::new("listen on", path))?;
    rustix::net::listen(&listener, BACKLOG).map_err(FileError::new("listen on", path))?;
    Ok(listener)
}

#[cfg(test)]
mod tests;
