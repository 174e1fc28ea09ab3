//! Who watches the command: each has its own place in the output, and slows nothing but itself.

use std::{io, os::fd::OwnedFd};

use rustix::{
    event::{PollFd, PollFlags},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with,
        bind, listen, recv, send, socket_with,
    },
    rand::{GetRandomFlags, getrandom},
};

use crate::{
    protocol::{Event, KILL, PIECE_BYTES, Request},
    record::{Record, Status},
};

/// The most followers at once; more wait to be accepted.
const MOST: usize = 16;

/// The most connections that have not shown the token. The oldest gives way: whoever has the token
/// sends it at once.
const STRANGERS: usize = 4;

/// The most bytes of a follower's packet.
const REQUEST_BYTES: usize = 4096;

/// What the followers want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Nothing,
    Kill,
}

/// The followers and the socket where more come.
pub(super) struct Followers {
    listener: Option<OwnedFd>,
    token: String,
    followers: Vec<Follower>,
}

struct Follower {
    connection: OwnedFd,
    /// Whether it showed the token.
    known: bool,
    /// Where it is in the output; [`None`] when it wants none.
    at: Option<u64>,
    /// Whether it takes no more just now.
    full: bool,
}

impl Followers {
    /// With the one that started the runner.
    pub(super) fn new(first: OwnedFd) -> io::Result<Self> {
        fcntl_setfl(&first, fcntl_getfl(&first)? | OFlags::NONBLOCK)?;
        let first = Follower { connection: first, known: true, at: Some(0), full: false };
        Ok(Self { listener: None, token: String::new(), followers: vec![first] })
    }

    /// Lets others connect, who show the token that this returns.
    pub(super) fn listen(&mut self, record: &Record) -> io::Result<String> {
        let token = secret()?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        bind(&listener, &SocketAddrUnix::new(record.short_path("socket"))?)?;
        listen(&listener, 16)?;
        (self.listener, self.token) = (Some(listener), token.clone());
        Ok(token)
    }

    /// Tells the one that started the runner.
    pub(super) fn tell_first(&self, event: &Event) {
        let _gone = self.followers.first().map(|first| first.send(&event.encode()));
    }

    pub(super) fn tell_all(&self, event: &Event) {
        for follower in self.followers.iter().filter(|follower| follower.known) {
            let _gone = follower.send(&event.encode());
        }
    }

    /// What is waited for: requests, room for output that a follower has not got, and others.
    pub(super) fn poll<'f>(&'f self, fds: &mut Vec<PollFd<'f>>, out_bytes: u64) {
        for follower in &self.followers {
            let behind = follower.full && follower.at.is_some_and(|at| at < out_bytes);
            let room = if behind { PollFlags::OUT } else { PollFlags::empty() };
            fds.push(PollFd::new(&follower.connection, PollFlags::IN | room));
        }
        if self.known() < MOST {
            fds.extend(self.listener.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
        }
    }

    /// Does what was waited for: `ready` is of [`Followers::poll`].
    pub(super) fn serve(
        &mut self,
        ready: &[bool],
        record: &Record,
        out_bytes: u64,
        started: bool,
    ) -> Wish {
        let mut wish = Wish::Nothing;
        let mut ready = ready.iter().copied();
        let (token, mut kept) = (self.token.as_str(), Vec::with_capacity(self.followers.len() + 1));
        for mut follower in std::mem::take(&mut self.followers) {
            follower.full = false;
            let keeps =
                !ready.next().unwrap_or(false) || follower.listen(token, started, &mut wish);
            if keeps {
                kept.push(follower);
            }
        }
        if ready.next() == Some(true)
            && let Some(listener) = &self.listener
            && let Ok(connection) =
                accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
        {
            let mut newcomer = Follower { connection, known: false, at: None, full: false };
            if newcomer.listen(token, started, &mut wish) {
                kept.push(newcomer);
            }
        }
        self.followers = kept;
        if self.followers.len() - self.known() > STRANGERS
            && let Some(oldest) = self.followers.iter().position(|follower| !follower.known)
        {
            self.followers.remove(oldest);
        }
        self.send_output(record, out_bytes);
        wish
    }

    fn known(&self) -> usize {
        self.followers.iter().filter(|follower| follower.known).count()
    }

    /// Sends each what it has not got, as far as it has room.
    pub(super) fn send_output(&mut self, record: &Record, out_bytes: u64) {
        self.followers.retain_mut(|follower| {
            while let Some(at) = follower.at.filter(|at| *at < out_bytes && !follower.full) {
                let Ok(Some(piece)) = record.output(at, PIECE_BYTES) else { return false };
                if piece.is_empty() {
                    return true;
                }
                let length = piece.len() as u64;
                match follower.send(&Event::Output(piece).encode()) {
                    Ok(()) => follower.at = Some(at + length),
                    Err(rustix::io::Errno::AGAIN) => follower.full = true,
                    Err(_) => return false,
                }
            }
            true
        });
    }

    /// Tells everybody who has all of the output how it ended. Others read the record.
    pub(super) fn end(self, record: &Record, status: &Status) {
        let event = Event::Ended(status.clone()).encode();
        // Before the last word: whoever has heard it may remove the record.
        let _gone = rustix::fs::unlink(record.short_path("socket"));
        for follower in self.followers.iter().filter(|follower| follower.known && !follower.full) {
            let _gone = follower.send(&event);
        }
    }
}

impl Follower {
    /// Takes a packet; false when it is gone, or is nobody.
    fn listen(&mut self, token: &str, started: bool, wish: &mut Wish) -> bool {
        let mut packet = [0; REQUEST_BYTES];
        let length = match recv(&self.connection, &mut packet, RecvFlags::DONTWAIT) {
            Ok((0, _)) => return false,
            Ok((length, _)) => length,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return true,
            Err(_) => return false,
        };
        let packet = &packet[..length.min(REQUEST_BYTES)];
        if self.known {
            if packet == KILL {
                *wish = Wish::Kill;
            }
            return true;
        }
        let Ok(request) = serde_json::from_slice::<Request>(packet) else { return false };
        // 128 random bits, compared by a process that answers nothing else: no time tells them.
        if request.token != token {
            return false;
        }
        self.known = true;
        self.at = request.follow;
        if request.kill {
            *wish = Wish::Kill;
        }
        !started || self.send(&Event::Started.encode()).is_ok()
    }

    fn send(&self, packet: &[u8]) -> rustix::io::Result<()> {
        send(&self.connection, packet, SendFlags::NOSIGNAL | SendFlags::DONTWAIT).map(|_| ())
    }
}

/// 128 bits of the kernel's, in hexadecimal digits.
fn secret() -> io::Result<String> {
    let mut bytes = [0; 16];
    let filled = getrandom(&mut bytes, GetRandomFlags::empty())?;
    if filled < bytes.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
