//! A transport over a jump host: a channel of its session to the next host (`direct-tcpip`), and a
//! thread that copies bytes between that channel and a socket pair.
//!
//! ```text
//! next session -- pair -- thread "evonic-jump" -- channel -- this session -- TCP -- jump host
//! ```
//! The thread owns this session. It ends when either side does, or when [`Jump`] is dropped.

use std::{
    io::{self, Read, Write},
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
    thread,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    net::{AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType},
};
use ssh2::{BlockDirections, Channel};

use super::{
    session::{AuthenticatedSession, Jump, Transport},
    target::Target,
};
use evonic_backend::{Result, Stage, WorkplaceError};
use evonic_handles::Permit;

/// Opens a transport to `next` over `before`. The thread's end of the socket pair is the second
/// descriptor of the permit of `before`.
///
/// # Errors
/// [`WorkplaceError::Refused`] when the jump host forbids it, else [`WorkplaceError::Unreachable`].
pub(super) fn open(
    mut before: AuthenticatedSession,
    next: &Target,
    mut permit: Permit,
) -> Result<Transport> {
    let channel = before
        .session
        .channel_direct_tcpip(&next.host, next.port, None)
        .map_err(|error| refused(next, &error))?;
    let broken =
        |errno: Errno| WorkplaceError::unreachable(next, Stage::Connect, errno.to_string());
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .map_err(broken)?;
    before.permit.owns(2, u32::try_from(theirs.as_raw_fd()).ok());
    permit.owns(1, u32::try_from(ours.as_raw_fd()).ok());
    let theirs = Arc::new(theirs);
    let sockets = [Arc::clone(&theirs), Arc::clone(&before.socket)];
    before.session.set_blocking(false);
    let thread = thread::Builder::new()
        .name("evonic-jump".to_owned())
        .spawn(move || copy(before, channel, &theirs))
        .map_err(WorkplaceError::Threads)?;
    Ok(Transport { socket: ours, jump: Some(Jump::new(sockets, thread)), permit })
}

/// What a channel that was not opened means. libssh2 has one code for every reason, and the reason
/// (RFC 4254, 5.1) only in its text.
fn refused(next: &Target, error: &ssh2::Error) -> WorkplaceError {
    let said = error.message();
    if said.contains("administratively prohibited") {
        let reason =
            "the jump host forbids it: AllowTcpForwarding and PermitOpen in its sshd_config";
        return WorkplaceError::refused(next, Stage::Jump, reason);
    }
    let reason = format!("the jump host cannot connect to it: {said}");
    WorkplaceError::unreachable(next, Stage::Connect, reason)
}

/// Bytes in one direction.
struct Buffer {
    bytes: Box<[u8]>,
    from: usize,
    to: usize,
    ended: bool,
}

impl Buffer {
    fn new() -> Self {
        Self { bytes: vec![0; 64 << 10].into_boxed_slice(), from: 0, to: 0, ended: false }
    }

    fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// Is filled when it is empty. False when the source broke.
    fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> bool {
        if !self.is_empty() || self.ended {
            return true;
        }
        let read = read(&mut self.bytes);
        if let Ok(read) = read {
            (self.from, self.to, self.ended) = (0, read, read == 0);
        }
        is_open(&read)
    }

    /// Is emptied as far as that goes. False when the sink broke.
    fn drain(&mut self, write: impl FnOnce(&[u8]) -> io::Result<usize>) -> bool {
        if self.is_empty() {
            return true;
        }
        let written = write(&self.bytes[self.from..self.to]);
        self.from += written.as_ref().copied().unwrap_or(0);
        is_open(&written)
    }
}

/// Whether an end that was read or written may be tried again.
fn is_open(done: &io::Result<usize>) -> bool {
    let again = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
    };
    done.as_ref().err().is_none_or(again)
}

/// What libssh2 began and could not finish: the same call has to be the next one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    Nothing,
    Read,
    Write,
}

fn copy(before: AuthenticatedSession, mut channel: Channel, pair: &OwnedFd) {
    let (mut there, mut back) = (Buffer::new(), Buffer::new());
    let mut begun = Begun::Nothing;
    loop {
        let before_turn = (there.from, there.to, back.from, back.to);
        let went = take(pair, &mut there)
            && give(pair, &mut back)
            && (begun == Begun::Read || write(&before, &mut channel, &mut there, &mut begun))
            && (begun == Begun::Write || read(&before, &mut channel, &mut back, &mut begun));
        let all_sent = back.ended && back.is_empty() || there.ended && there.is_empty();
        if !went || all_sent {
            break;
        }
        let moved = before_turn != (there.from, there.to, back.from, back.to);
        if !moved && !wait(&before, pair, &there, &back) {
            break;
        }
    }
    // Both sides learn of the end, and nothing below waits for the peer.
    let _shut = rustix::net::shutdown(pair, Shutdown::Both);
    let _shut = rustix::net::shutdown(&before.socket, Shutdown::Both);
}

/// From the pair. False when it broke.
fn take(pair: &OwnedFd, buffer: &mut Buffer) -> bool {
    buffer.fill(|bytes| Ok(rustix::net::recv(pair, bytes, RecvFlags::DONTWAIT)?.1))
}

/// To the pair. False when it broke.
fn give(pair: &OwnedFd, buffer: &mut Buffer) -> bool {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    buffer.drain(|bytes| Ok(rustix::net::send(pair, bytes, flags)?))
}

/// To the channel. False when it broke.
fn write(
    before: &AuthenticatedSession,
    channel: &mut Channel,
    buffer: &mut Buffer,
    begun: &mut Begun,
) -> bool {
    buffer.drain(|bytes| {
        let written = channel.write(bytes);
        *begun = if written.is_err() && is_sending(before) { Begun::Write } else { Begun::Nothing };
        written
    })
}

/// From the channel. False when it broke.
fn read(
    before: &AuthenticatedSession,
    channel: &mut Channel,
    buffer: &mut Buffer,
    begun: &mut Begun,
) -> bool {
    let is_open = buffer.fill(|bytes| {
        let read = channel.read(bytes);
        *begun = if read.is_err() && is_sending(before) { Begun::Read } else { Begun::Nothing };
        read
    });
    buffer.ended &= channel.eof();
    is_open
}

/// Whether libssh2 has the rest of a packet to send.
fn is_sending(before: &AuthenticatedSession) -> bool {
    matches!(before.session.block_directions(), BlockDirections::Outbound | BlockDirections::Both)
}

/// Waits until one side has something, or takes something. False when that cannot be waited for.
/// Without a limit: the end of a side, and the drop of the [`Jump`], shut a socket.
fn wait(before: &AuthenticatedSession, pair: &OwnedFd, there: &Buffer, back: &Buffer) -> bool {
    let mut of_pair = PollFlags::empty();
    if there.is_empty() {
        of_pair |= PollFlags::IN;
    }
    if !back.is_empty() {
        of_pair |= PollFlags::OUT;
    }
    let mut of_socket = PollFlags::empty();
    // While the pair is full nothing is read, and polling for what the socket has would return at once.
    if back.is_empty() || !there.is_empty() {
        of_socket |= PollFlags::IN;
    }
    if is_sending(before) {
        of_socket |= PollFlags::OUT;
    }
    let mut polled = [PollFd::new(pair, of_pair), PollFd::new(&*before.socket, of_socket)];
    // A socket of which nothing is wanted would still report its end, again and again.
    let wanted = if of_socket.is_empty() { 1 } else { 2 };
    match poll(&mut polled[..wanted], None) {
        // The other end of the pair is closed: it has no reader and no writer.
        Ok(_) => !polled[0].revents().intersects(PollFlags::HUP | PollFlags::ERR),
        Err(errno) => errno == Errno::INTR,
    }
}
