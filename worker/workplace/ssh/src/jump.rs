//! The way over another host: a channel of its session to the next one (`direct-tcpip`), and a
//! thread that carries bytes between that channel and a pair of sockets.
//!
//! ```text
//! next session -- pair -- thread "evonic-jump" -- channel -- this session -- TCP -- jump host
//! ```
//! The thread owns this session. It ends when either side does, or when [`Jump`] is dropped.

use std::{
    io::{ErrorKind, Read, Write},
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
    thread::{self, JoinHandle},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    net::{AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType},
};
use ssh2::{BlockDirections, Channel};

use super::{connect::Connection, target::Target};
use evonic_backend::{Stage, WorkplaceError, error::Cause};
use evonic_handles::Permit;

/// The thread of a jump host's session. Dropping it ends the thread and waits for that, so that its
/// descriptors and permit are back when the connection that went over it is gone.
pub(super) struct Jump {
    /// The thread's end of the pair, and its session's socket.
    sockets: [Arc<OwnedFd>; 2],
    thread: Option<JoinHandle<()>>,
}

impl Drop for Jump {
    fn drop(&mut self) {
        for socket in &self.sockets {
            // It may be shut already, by the other side.
            let _shut = rustix::net::shutdown(socket, Shutdown::Both);
        }
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has closed all that it owned.
            let _ended = thread.join();
        }
    }
}

/// Opens a way to `next` over `before`. Returns its end; `permit` owns that. The other end is the
/// second descriptor of the permit of `before`.
///
/// # Errors
/// [`WorkplaceError::Refused`] when the jump host forbids it, else [`WorkplaceError::Unreachable`].
pub(super) fn open(
    mut before: Connection,
    next: &Target,
    permit: &mut Permit,
) -> Result<(OwnedFd, Jump), WorkplaceError> {
    let channel = before
        .session
        .channel_direct_tcpip(&next.host, next.port, None)
        .map_err(|error| refused(next, &error))?;
    let broken = |errno: Errno| WorkplaceError::Unreachable {
        host: next.to_string(),
        stage: Stage::Connect,
        source: Cause(errno.to_string()),
    };
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
        .spawn(move || carry(before, channel, &theirs))
        .map_err(WorkplaceError::Threads)?;
    Ok((ours, Jump { sockets, thread: Some(thread) }))
}

/// What a channel that was not opened means. libssh2 has one code for every reason, and the reason
/// (RFC 4254, 5.1) only in its text.
fn refused(next: &Target, error: &ssh2::Error) -> WorkplaceError {
    let host = next.to_string();
    let said = error.message();
    if said.contains("administratively prohibited") {
        let source = Cause(
            "the jump host forbids it: AllowTcpForwarding and PermitOpen in its sshd_config"
                .to_owned(),
        );
        return WorkplaceError::Refused { host, stage: Stage::Jump, source };
    }
    let source = Cause(format!("the jump host cannot connect to it: {said}"));
    WorkplaceError::Unreachable { host, stage: Stage::Connect, source }
}

/// Bytes on their way in one direction.
struct Load {
    bytes: Box<[u8]>,
    from: usize,
    to: usize,
    ended: bool,
}

impl Load {
    fn new() -> Self {
        Self { bytes: vec![0; 64 << 10].into_boxed_slice(), from: 0, to: 0, ended: false }
    }

    fn is_empty(&self) -> bool {
        self.from == self.to
    }
}

/// What libssh2 began and could not finish: the same call has to be the next one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    Nothing,
    Read,
    Write,
}

fn carry(before: Connection, mut channel: Channel, pair: &OwnedFd) {
    let (mut there, mut back) = (Load::new(), Load::new());
    let mut begun = Begun::Nothing;
    loop {
        let before_turn = (there.from, there.to, back.from, back.to);
        let went = take(pair, &mut there)
            && give(pair, &mut back)
            && (begun == Begun::Read || write(&before, &mut channel, &mut there, &mut begun))
            && (begun == Begun::Write || read(&before, &mut channel, &mut back, &mut begun));
        let all_told = back.ended && back.is_empty() || there.ended && there.is_empty();
        if !went || all_told {
            break;
        }
        let moved = before_turn != (there.from, there.to, back.from, back.to);
        if !moved && !wait(&before, pair, &there, &back) {
            break;
        }
    }
    // The other side hears of the end, and nothing below waits for this one's.
    let _shut = rustix::net::shutdown(pair, Shutdown::Both);
    let _shut = rustix::net::shutdown(&before.socket, Shutdown::Both);
}

/// From the pair. False when it broke.
fn take(pair: &OwnedFd, load: &mut Load) -> bool {
    if !load.is_empty() || load.ended {
        return true;
    }
    match rustix::net::recv(pair, &mut *load.bytes, RecvFlags::DONTWAIT) {
        Ok((_, read)) => {
            (load.from, load.to, load.ended) = (0, read, read == 0);
            true
        }
        Err(errno) => errno == Errno::AGAIN || errno == Errno::INTR,
    }
}

/// To the pair. False when it broke.
fn give(pair: &OwnedFd, load: &mut Load) -> bool {
    if load.is_empty() {
        return true;
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    match rustix::net::send(pair, &load.bytes[load.from..load.to], flags) {
        Ok(sent) => {
            load.from += sent;
            true
        }
        Err(errno) => errno == Errno::AGAIN || errno == Errno::INTR,
    }
}

/// To the channel. False when it broke.
fn write(before: &Connection, channel: &mut Channel, load: &mut Load, begun: &mut Begun) -> bool {
    if load.is_empty() {
        return true;
    }
    let written = channel.write(&load.bytes[load.from..load.to]);
    *begun = if written.is_err() && is_sending(before) { Begun::Write } else { Begun::Nothing };
    match written {
        Ok(written) => {
            load.from += written;
            true
        }
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// From the channel. False when it broke.
fn read(before: &Connection, channel: &mut Channel, load: &mut Load, begun: &mut Begun) -> bool {
    if !load.is_empty() || load.ended {
        return true;
    }
    let read = channel.read(&mut load.bytes);
    *begun = if read.is_err() && is_sending(before) { Begun::Read } else { Begun::Nothing };
    match read {
        Ok(read) => {
            (load.from, load.to, load.ended) = (0, read, read == 0 && channel.eof());
            true
        }
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// Whether libssh2 waits to send the rest of a packet.
fn is_sending(before: &Connection) -> bool {
    matches!(before.session.block_directions(), BlockDirections::Outbound | BlockDirections::Both)
}

/// Waits until one side has something, or takes something. False when that cannot be waited for.
/// Without a limit: whoever ends a side, or drops the [`Jump`], shuts a socket.
fn wait(before: &Connection, pair: &OwnedFd, there: &Load, back: &Load) -> bool {
    let mut of_pair = PollFlags::empty();
    if there.is_empty() {
        of_pair |= PollFlags::IN;
    }
    if !back.is_empty() {
        of_pair |= PollFlags::OUT;
    }
    let mut of_socket = PollFlags::empty();
    // While the pair is full nothing is read, and what the socket has would be told for ever.
    if back.is_empty() || !there.is_empty() {
        of_socket |= PollFlags::IN;
    }
    if is_sending(before) {
        of_socket |= PollFlags::OUT;
    }
    let mut polled = [PollFd::new(pair, of_pair), PollFd::new(&*before.socket, of_socket)];
    // A socket of which nothing is wanted would still tell of its end, again and again.
    let wanted = if of_socket.is_empty() { 1 } else { 2 };
    match poll(&mut polled[..wanted], None) {
        // Whoever is on the pair is gone: nobody reads, and nobody writes.
        Ok(_) => !polled[0].revents().intersects(PollFlags::HUP | PollFlags::ERR),
        Err(errno) => errno == Errno::INTR,
    }
}
