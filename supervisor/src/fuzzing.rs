//! Entry points of the fuzzer: decoders of outside bytes, each as a function of bytes. Only in tests
//! and with the feature `fuzzing`.
//!
//! A decoder may refuse any input. It must not panic and not hang.

use std::{io::Write, net::Shutdown, os::unix::net::UnixStream, time::Duration};

use evonic_shared::fuzzing::Decoder;

use crate::{clients::Client, poller::EventFlags, probe::parse};

/// This crate's decoders, by name.
pub const DECODERS: &[(&str, Decoder)] = &[("probe", probe), ("status", status)];

/// The response of a probe.
fn probe(bytes: &[u8]) {
    if let Ok(Some((status, length))) = parse(bytes) {
        assert!(status < 1000 && length <= bytes.len());
    }
}

/// Requests of a status client, over a real socket.
fn status(bytes: &[u8]) {
    let (ours, mut theirs) = UnixStream::pair().expect("two descriptors");
    let mut client = Client::new(ours.into(), 0, None, Duration::ZERO);
    let mut requests = 0;
    for piece in bytes.chunks(4096) {
        theirs.write_all(piece).expect("room in a socket");
        requests += take_requests(&mut client);
    }
    theirs.shutdown(Shutdown::Write).expect("a connected socket");
    requests += take_requests(&mut client);
    let lines = bytes.split(|&byte| byte == b'\n').count();
    assert!(requests <= lines, "{requests} requests in {lines} lines");
}

fn take_requests(client: &mut Client) -> usize {
    let mut requests = 0;
    // Each turn takes one line at the most, so a piece needs as many turns as it has bytes.
    for _ in 0..=4096 {
        client.ready(EventFlags::IN, Duration::ZERO);
        if !client.has_request() {
            break;
        }
        requests += usize::from(client.take_request().is_some());
    }
    requests
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn every_seed_is_decoded() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("tests/fuzz/seeds");
        for (name, decode) in DECODERS {
            let mut tried = 0;
            for seed in fs::read_dir(seeds.join(name)).unwrap() {
                let bytes = fs::read(seed.unwrap().path()).unwrap();
                (0..bytes.len().min(400)).for_each(|at| decode(&bytes[..at]));
                decode(&bytes);
                tried += 1;
            }
            assert!(tried > 0, "{name} has no seed");
        }
    }
}
