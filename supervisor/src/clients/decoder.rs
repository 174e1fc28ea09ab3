//! The decoder of requests, for the fuzzer: over a real socket.

use std::{io::Write, net::Shutdown, os::unix::net::UnixStream, time::Duration};

use super::client::{Client, Permission};
use crate::poller::EventFlags;

/// What a client says is answered line by line, and ends.
pub(crate) fn decoded(bytes: &[u8]) {
    let (ours, mut theirs) = UnixStream::pair().expect("two descriptors");
    let now = Duration::ZERO;
    let mut client = Client::new(ours.into(), 0, Permission::Read, now);
    let mut questions = 0;
    for piece in bytes.chunks(4096) {
        theirs.write_all(piece).expect("room in a socket");
        questions += listen(&mut client);
    }
    theirs.shutdown(Shutdown::Write).expect("a connected socket");
    questions += listen(&mut client);
    let lines = bytes.split(|&byte| byte == b'\n').count();
    assert!(questions <= lines, "{questions} questions in {lines} lines");
}

/// Takes every question that is there.
fn listen(client: &mut Client) -> usize {
    let mut questions = 0;
    // One look reads a line at the most, so a piece takes as many looks as it has bytes.
    for _ in 0..=4096 {
        client.ready(EventFlags::IN, Duration::ZERO);
        if !client.can_be_asked() {
            break;
        }
        questions += usize::from(client.take_request().is_some());
    }
    questions
}
