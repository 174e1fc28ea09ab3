//! An engine that answers without end, at every place where an engine is asked.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    thread,
    time::Instant,
};

use bytes::Bytes;
use evonic_backend::{Backend, Class, Ended, Rewrite, WorkplaceError};
use evonic_parts::PeakMemory;
use evonic_shared::error_chain::ErrorChain;
use tokio::sync::mpsc;

use super::world::{World, run, spec};
use crate::reconcile;

/// The most memory of a worker, whatever engines answer.
const MEMORY_BYTES: u64 = 64 << 20;

/// How an answer has no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flood {
    /// A string in JSON.
    Text,
    /// A list of small things, which takes more memory than bytes.
    Things,
    /// A refusal.
    Refusal,
    /// A head.
    Head,
    /// Frames of standard output.
    Output,
    /// One frame of 4 GiB of standard error, then the next.
    Frame,
    /// An archive without a file.
    Zeros,
}

/// Where an engine floods: how a request begins, and how.
type Place = (&'static str, Flood);

/// The beginning of a question for one container, and of one for all.
const CONTAINER: &str = "GET /containers/";

const PLACES: [Place; 14] = [
    ("GET /version", Flood::Text),
    ("GET /version", Flood::Refusal),
    ("GET /version", Flood::Head),
    (CONTAINER, Flood::Text),
    (CONTAINER, Flood::Refusal),
    ("POST /containers/c/exec", Flood::Text),
    ("POST /exec/e/start", Flood::Refusal),
    ("POST /exec/e/start", Flood::Output),
    ("POST /exec/e/start", Flood::Frame),
    ("GET /exec/e/json", Flood::Text),
    ("HEAD /containers/c/archive", Flood::Head),
    ("GET /containers/c/archive", Flood::Refusal),
    ("GET /containers/c/archive", Flood::Zeros),
    ("PUT /containers/c/archive", Flood::Refusal),
];

fn serve(mut stream: UnixStream, (begins, flood): Place) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    reader.take(length).read_to_end(&mut Vec::new())?;
    // Without the version.
    let request = request.replace("/v1.41/", "/");
    if request.starts_with(begins) && (begins != CONTAINER || !request.contains("/containers/json"))
    {
        return pour(&mut stream, flood);
    }
    let body = match request.split(' ').nth(1).unwrap_or_default() {
        "/version" => r#"{"ApiVersion":"1.41","MinAPIVersion":"1.12"}"#,
        path if path.contains("/archive") && request.starts_with("HEAD") => {
            // {"name":"f","size":1,"mode":420,"mtime":"2026-01-01T00:00:00Z","linkTarget":""}
            let stat = "eyJuYW1lIjoiZiIsInNpemUiOjEsIm1vZGUiOjQyMCwibXRpbWUiOiIyMDI2LTAxLTAxVDAw\
                        OjAwOjAwWiIsImxpbmtUYXJnZXQiOiIifQ==";
            let head = format!(
                "HTTP/1.1 200 OK\r\nX-Docker-Container-Path-Stat: {stat}\r\nContent-Length: 0\r\n\r\n"
            );
            return stream.write_all(head.as_bytes());
        }
        path if path.starts_with("/exec/e/json") => r#"{"Running":false,"ExitCode":0}"#,
        path if path.ends_with("/exec") => r#"{"Id":"e"}"#,
        path if path.starts_with("/exec/e/start") => {
            let head = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
            stream.write_all(head.as_bytes())?;
            return stream.write_all(b"\x01\0\0\0\0\0\0\x05/home");
        }
        path if path.starts_with("/containers/json") => "[]",
        path if path.starts_with("/volumes") => "{}",
        _ => r#"{"Id":"c","State":{"Running":true},"Config":{}}"#,
    };
    let length = body.len();
    stream
        .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes())
}

/// Ends when the peer has had enough.
fn pour(stream: &mut UnixStream, flood: Flood) -> std::io::Result<()> {
    let upgrade = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    let (head, begin, again) = match flood {
        Flood::Text => ("HTTP/1.1 200 OK\r\n\r\n", &b"{\"Id\":\""[..], b"x".repeat(65_536)),
        Flood::Things => ("HTTP/1.1 200 OK\r\n\r\n", &b"[{}"[..], b",{}".repeat(20_000)),
        Flood::Refusal => ("HTTP/1.1 500 No\r\n\r\n", &b"{\"message\":\""[..], b"x".repeat(65_536)),
        Flood::Head => {
            ("HTTP/1.1 200 OK\r\nX-Docker-Container-Path-Stat: ", &[][..], b"A".repeat(65_536))
        }
        Flood::Output => {
            (upgrade, &[][..], [&[1, 0, 0, 0, 0, 0, 0x80, 0][..], &[b'x'; 0x8000]].concat())
        }
        Flood::Frame => (upgrade, &[2, 0, 0, 0, 255, 255, 255, 255][..], b"x".repeat(65_536)),
        Flood::Zeros => ("HTTP/1.1 200 OK\r\n\r\n", &[][..], vec![0; 65_536]),
    };
    stream.write_all(head.as_bytes())?;
    stream.write_all(begin)?;
    loop {
        stream.write_all(&again)?;
    }
}

/// An engine at a socket in this folder.
fn engine(folder: &std::path::Path, place: Place) -> String {
    let path = folder.join("docker.sock");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || serve(stream, place));
        }
    });
    format!("unix://{}", path.display())
}

async fn world(folder: &std::path::Path, place: Place) -> World {
    let address = engine(folder, place);
    World::at(address, |config| config.docker.timeout = std::time::Duration::from_secs(2)).await
}

/// Uses what asks the engine there; returns how it failed.
async fn ask(world: &World, (begins, _): Place) -> WorkplaceError {
    let place = world.place().await;
    if begins.starts_with("HEAD") || begins.starts_with("PUT") {
        return place.write("f", Bytes::from_static(b"x"), Rewrite::Whole).await.unwrap_err();
    }
    if begins.contains("archive") {
        return place.read_lines("f", 1, None, 100).await.map(drop).unwrap_err();
    }
    place.home().await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_answers_without_end_costs_little_and_is_refused() {
    for place in PLACES {
        let folder = tempfile::tempdir().unwrap();
        let world = world(folder.path(), place).await;
        let (memory, began) = (PeakMemory::begin(), Instant::now());
        let error = ask(&world, place).await;
        let said = ErrorChain(&error).to_string();
        let peak = memory.bytes();
        println!("{place:?}: {} MiB, {:?}: {said}", peak >> 20, began.elapsed());
        assert!(peak < MEMORY_BYTES, "{place:?}: {} MiB", peak >> 20);
        // Only what may be long is waited for.
        let expected = if place.1 == Flood::Zeros { Class::Transient } else { Class::Permanent };
        let is_head = place.1 == Flood::Head;
        assert!(is_head || error.class() == expected, "{place:?}: {said}");
        assert!(said.len() < 4000, "{place:?}: {} bytes", said.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_without_end_cost_little() {
    for flood in [Flood::Text, Flood::Things, Flood::Refusal] {
        let folder = tempfile::tempdir().unwrap();
        let world = world(folder.path(), ("GET /containers/json", flood)).await;
        let place = world.place().await;
        let memory = PeakMemory::begin();
        reconcile::reconcile(world.engines.manager()).await;
        let peak = memory.bytes();
        println!("{flood:?}: {} MiB", peak >> 20);
        assert!(peak < MEMORY_BYTES, "{flood:?}: {} MiB", peak >> 20);
        drop(place);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn output_of_a_command_without_end_costs_little() {
    let folder = tempfile::tempdir().unwrap();
    for place in [("POST /exec/e/start", Flood::Output), ("POST /exec/e/start", Flood::Frame)] {
        let folder = tempfile::tempdir_in(folder.path()).unwrap();
        let world = world(folder.path(), place).await;
        let memory = PeakMemory::begin();
        match run(&world.place().await, spec("true")).await {
            Ok((finished, _)) => {
                assert!(matches!(finished.ended, Ended::Unknown(_)), "{place:?} {finished:?}");
            }
            // Where its home is asked for, before it is started.
            Err(error) => {
                let error = ErrorChain(&error).to_string();
                assert!(error.contains("bytes that were not asked for"), "{place:?} {error}");
            }
        }
        assert!(memory.bytes() < MEMORY_BYTES, "{place:?}: {} MiB", memory.bytes() >> 20);
    }
}

/// Where the image is built, a line has an end too.
#[tokio::test(flavor = "multi_thread")]
async fn progress_without_a_line_end_costs_little() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), ("POST /build", Flood::Text)).await;
    let memory = PeakMemory::begin();
    let (sender, _receiver) = mpsc::channel(1);
    world.engines.build_sandbox(&world.settings, sender).await.unwrap_err();
    assert!(memory.bytes() < MEMORY_BYTES, "{} MiB", memory.bytes() >> 20);
}
