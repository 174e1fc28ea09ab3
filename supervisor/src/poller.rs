//! The event loop's epoll.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, EventData},
    },
    io::Errno,
};

pub use rustix::event::epoll::EventFlags;

/// Events taken in one turn; the rest stays ready for the next.
const MAX_EVENTS: usize = 32;

/// The owner of a ready descriptor. Serial numbers are never reused, so that an event of a
/// descriptor that was closed within the same turn matches nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    Signals,
    /// A worker's pidfd.
    Exit(u64),
    /// A worker's control channel.
    Control(u64),
    /// The status listener.
    Listener,
    /// A client of the status socket.
    Client(u64),
}

impl Token {
    const KINDS: u64 = 5;

    fn encode(self) -> EventData {
        let (kind, serial) = match self {
            Self::Signals => (0, 0),
            Self::Exit(serial) => (1, serial),
            Self::Control(serial) => (2, serial),
            Self::Listener => (3, 0),
            Self::Client(serial) => (4, serial),
        };
        EventData::new_u64(serial * Self::KINDS + kind)
    }

    fn decode(data: EventData) -> Self {
        let (serial, kind) = (data.u64() / Self::KINDS, data.u64() % Self::KINDS);
        match kind {
            0 => Self::Signals,
            1 => Self::Exit(serial),
            2 => Self::Control(serial),
            3 => Self::Listener,
            _ => Self::Client(serial),
        }
    }
}

/// An epoll instance: one descriptor. A watched descriptor leaves it when it is closed.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
}

impl Poller {
    pub fn open() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// Watches a descriptor, level-triggered.
    pub fn watch(&self, source: impl AsFd, token: Token, events: EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, source, token.encode(), events)?)
    }

    /// Changes the watched events.
    pub fn change(&self, source: impl AsFd, token: Token, events: EventFlags) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, source, token.encode(), events)?)
    }

    pub fn forget(&self, source: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, source)?)
    }

    /// Waits until a descriptor is ready, or for the timeout; for ever when [`None`]. The timeout is
    /// rounded up to milliseconds, so that a deadline has passed when its wait ends.
    pub fn wait(
        &self,
        timeout: Option<Duration>,
        ready: &mut Vec<(Token, EventFlags)>,
    ) -> io::Result<()> {
        ready.clear();
        let timeout = timeout.map(|time| {
            // A day fits every kernel's argument.
            let time = time.min(Duration::from_secs(24 * 60 * 60));
            Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() }
        });
        let mut buffer = [std::mem::MaybeUninit::uninit(); MAX_EVENTS];
        match epoll::wait(&self.epoll, &mut buffer, timeout.as_ref()) {
            Ok((events, _)) => {
                ready.extend(events.iter().map(|event| (Token::decode(event.data), event.flags)));
                Ok(())
            }
            Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_kernel() {
        let tokens = [
            Token::Signals,
            Token::Exit(1),
            Token::Control(u64::MAX / 8),
            Token::Listener,
            Token::Client(0),
        ];
        for token in tokens {
            assert_eq!(Token::decode(token.encode()), token);
        }
    }
}
