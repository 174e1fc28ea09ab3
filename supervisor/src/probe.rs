//! A liveness probe through the worker's real router, without a wake-up of its own.
//!
//! The supervisor holds one end of a connection that the worker serves like an accepted one. At
//! each heartbeat it reads, without waiting, the response to the request of an earlier heartbeat,
//! and sends `GET /livez` again. `/livez` and not `/readyz`: a worker whose budget is full answers
//! 503 there, which is no reason to replace it.

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::policy::Instant;

const REQUEST: &[u8] = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The longest response that is accepted, head and body.
const MAX_RESPONSE_BYTES: usize = 8 * 1024;

/// The supervisor's end of the probe connection: one descriptor, never registered anywhere.
#[derive(Debug)]
pub struct Probe {
    connection: OwnedFd,
    response: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// A request was sent then and is not answered.
    Pending(Instant),
    /// The connection is closed or does not speak HTTP: no response will ever come.
    Broken,
}

impl Probe {
    /// Returns the supervisor's end and the worker's.
    pub fn open() -> io::Result<(Self, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        Ok((Self { connection: ours, response: Vec::new(), state: State::Idle }, theirs))
    }

    /// Called at each heartbeat: whether the last request was answered with 200, after which the next
    /// is sent. [`None`] while that is unknown: nothing was sent, or less than `timeout` ago. An
    /// unanswered request stays pending and fails again next time.
    pub fn turn(&mut self, now: Instant, timeout: Duration) -> Option<bool> {
        let answered = match self.state {
            State::Idle => None,
            State::Broken => Some(false),
            State::Pending(at) => match self.read_response() {
                Ok(Some(status)) => {
                    self.state = State::Idle;
                    Some(status == 200)
                }
                Ok(None) if now.saturating_sub(at) < timeout => None,
                Ok(None) => Some(false),
                Err(_closed) => {
                    self.state = State::Broken;
                    Some(false)
                }
            },
        };
        if self.state == State::Idle {
            let sent = rustix::net::send(&self.connection, REQUEST, SendFlags::NOSIGNAL);
            // A connection that takes only part of so short a request is full of unread ones.
            let whole = sent.is_ok_and(|length| length == REQUEST.len());
            self.state = if whole { State::Pending(now) } else { State::Broken };
        }
        answered
    }

    /// The supervisor did not run: an answer is awaited from now on.
    pub fn restart(&mut self, now: Instant) {
        if let State::Pending(at) = &mut self.state {
            *at = now;
        }
    }

    /// The status of a complete response, if one is there.
    fn read_response(&mut self) -> Result<Option<u16>, Unusable> {
        let mut chunk = [0; 1024];
        loop {
            match rustix::net::recv(&self.connection, &mut chunk, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(Unusable),
                Ok((length, _)) => self.response.extend_from_slice(&chunk[..length]),
                Err(rustix::io::Errno::AGAIN) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return Err(Unusable),
            }
            if self.response.len() > MAX_RESPONSE_BYTES {
                return Err(Unusable);
            }
        }
        let Some((status, length)) = parse(&self.response)? else { return Ok(None) };
        self.response.drain(..length);
        Ok(Some(status))
    }
}

/// The bytes are no HTTP response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unusable;

/// Status and length of the first response in the bytes; [`None`] while it is incomplete.
///
/// Only what the worker's server sends is parsed: HTTP/1.1 with a `content-length`. Anything else
/// would leave the connection in an unknown state, so it is refused.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(u16, usize)>, Unusable> {
    let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes[..head]).map_err(|_| Unusable)?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|rest| rest.get(..3))
        .filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|code| code.parse().ok())
        .ok_or(Unusable)?;
    let body: usize = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .filter(|&length| length <= MAX_RESPONSE_BYTES)
        .ok_or(Unusable)?;
    let length = head + 4 + body;
    Ok((bytes.len() >= length).then_some((status, length)))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::unix::net::UnixStream,
    };

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(1);

    fn seconds(count: u64) -> Instant {
        Duration::from_secs(count)
    }

    fn pair() -> (Probe, UnixStream) {
        let (probe, theirs) = Probe::open().unwrap();
        (probe, UnixStream::from(theirs))
    }

    fn request(worker: &mut UnixStream) -> String {
        let mut bytes = [0; 256];
        let length = worker.read(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn responses_are_read_at_the_next_turn() {
        let (mut probe, mut worker) = pair();
        assert_eq!(probe.turn(seconds(0), TIMEOUT), None);
        assert!(request(&mut worker).starts_with("GET /livez HTTP/1.1\r\n"));
        worker.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        assert_eq!(probe.turn(seconds(2), TIMEOUT), Some(true));
        request(&mut worker);
        worker.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length:0\r\n\r\n").unwrap();
        assert_eq!(probe.turn(seconds(4), TIMEOUT), Some(false));
        request(&mut worker);
        worker.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nok").unwrap();
        assert_eq!(probe.turn(seconds(6), TIMEOUT), Some(false), "half a response is none");
        worker.write_all(b"ay").unwrap();
        assert_eq!(probe.turn(seconds(8), TIMEOUT), Some(true), "a late one counts");
    }

    #[test]
    fn silence_fails_only_after_the_timeout_and_asks_once() {
        let (mut probe, mut worker) = pair();
        assert_eq!(probe.turn(seconds(0), TIMEOUT), None);
        assert_eq!(probe.turn(Duration::from_millis(300), TIMEOUT), None);
        assert_eq!(probe.turn(seconds(2), TIMEOUT), Some(false));
        assert_eq!(probe.turn(seconds(4), TIMEOUT), Some(false));
        assert_eq!(request(&mut worker).matches("GET").count(), 1);
    }

    #[test]
    fn a_closed_or_senseless_connection_never_answers_again() {
        for nonsense in [&b"HTTP/1.1 2x0 OK\r\n\r\n"[..], b"SSH-2.0-x\r\n\r\n", &[0; 9000]] {
            let (mut probe, mut worker) = pair();
            assert_eq!(probe.turn(seconds(0), TIMEOUT), None);
            worker.write_all(nonsense).unwrap();
            assert_eq!(probe.turn(seconds(2), TIMEOUT), Some(false));
            assert_eq!(probe.turn(seconds(4), TIMEOUT), Some(false));
        }
        let (mut probe, worker) = pair();
        drop(worker);
        assert_eq!(probe.turn(seconds(0), TIMEOUT), None);
        assert_eq!(probe.turn(seconds(2), TIMEOUT), Some(false));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_bounded(bytes: Vec<u8>) {
            if let Ok(Some((status, length))) = parse(&bytes) {
                assert!(status <= 999 && length <= bytes.len());
            }
        }
    }
}
