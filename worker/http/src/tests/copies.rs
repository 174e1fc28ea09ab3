//! `/api/v1/copies`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::worker::{Worker, whole};

const COPIES: &str = "/api/v1/copies";

/// The local workplace, and another one beside it.
fn worker() -> (Worker, PathBuf, tempfile::TempDir) {
    let mut root = PathBuf::new();
    let worker = Worker::new(|config| root = config.workplace.root.clone());
    let far = tempfile::tempdir().unwrap();
    let new = json!({ "name": "far", "kind": "local", "settings": { "root": far.path() } });
    worker.post("/api/v1/workplaces", &new).created();
    (worker, root, far)
}

fn new(from: &str, to: &str) -> Value {
    let end = |text: &str| {
        let (workplace, path) = text.split_once(':').unwrap();
        json!({ "workplace": workplace, "path": path })
    };
    json!({ "from": end(from), "to": end(to), "recursive": true })
}

fn copy(worker: &Worker, body: &Value) -> String {
    let mut client = worker.connect();
    client.send(worker.request("POST", COPIES, "", &body.to_string()));
    let reply = client.head().unwrap();
    assert_eq!(reply.status, 200, "{reply:?}");
    whole(&mut client)
}

fn unfinished(folder: &Path) -> Option<PathBuf> {
    let mut names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    names.find(|path| path.extension().is_some_and(|extension| extension == "part"))
}

#[test]
fn a_copy_tells_how_far_it_is() {
    let (worker, root, far) = worker();
    fs::create_dir_all(root.join("a")).unwrap();
    fs::write(root.join("a/b"), "content").unwrap();
    let text = copy(&worker, &new("local:a", "far:c"));
    assert!(
        text.starts_with("event: progress\ndata: {\"type\":\"planned\",\"files\":1,"),
        "{text}"
    );
    assert!(text.ends_with("event: done\ndata: {\"ok\":true}\n\n"), "{text}");
    assert_eq!(fs::read_to_string(far.path().join("c/b")).unwrap(), "content");

    let text = copy(&worker, &new("local:missing", "far:c"));
    assert!(text.contains("event: done\ndata: {\"ok\":false,\"error\":\"missing: "), "{text}");
    let text = copy(&worker, &new("far:c", "far:c/d/e"));
    assert!(text.contains("onto or below itself"), "{text}");
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let (worker, _root, _far) = worker();
    let problem = worker.post(COPIES, &new("nowhere:a", "far:b")).problem(422);
    assert_eq!(problem["field"], "from.workplace");
    let problem = worker.post(COPIES, &new("far:a", "nowhere:b")).problem(422);
    assert_eq!(problem["field"], "to.workplace");
    worker.post(COPIES, &json!({ "from": 1 })).problem(400);
    let mut unknown = new("far:a", "far:b");
    unknown["speed"] = json!("high");
    worker.post(COPIES, &unknown).problem(400);
    worker.fetch(COPIES).problem(405);
}

#[test]
fn a_client_that_leaves_ends_its_copy_and_goes_on_with_it_later() {
    let (worker, root, far) = worker();
    let big = fs::File::create(root.join("big")).unwrap();
    big.set_len(512 << 20).unwrap();
    let body = new("local:big", "far:big");
    let mut client = worker.connect();
    client.send(worker.request("POST", COPIES, "", &body.to_string()));
    assert_eq!(client.head().unwrap().status, 200);
    client.chunk().unwrap();
    drop(client);
    let deadline = Instant::now() + Duration::from_secs(60);
    // The same copy is refused until the first one is let go.
    loop {
        let mut client = worker.connect();
        client.send(worker.request("POST", COPIES, "", &body.to_string()));
        let reply = client.head().unwrap();
        if reply.status == 200 {
            let text = whole(&mut client);
            assert!(text.ends_with("event: done\ndata: {\"ok\":true}\n\n"), "{text}");
            break;
        }
        assert_eq!(reply.status, 503, "{reply:?}");
        assert_eq!(reply.header("retry-after"), Some("1"));
        assert!(Instant::now() < deadline, "it is never let go: {reply:?}");
    }
    assert_eq!(fs::metadata(far.path().join("big")).unwrap().len(), 512 << 20);
    assert_eq!(unfinished(far.path()), None);
}

#[test]
fn a_worker_that_drains_says_when_to_ask_again() {
    let (worker, root, _far) = worker();
    let big = fs::File::create(root.join("big")).unwrap();
    big.set_len(1 << 30).unwrap();
    let body = new("local:big", "far:big");
    let mut client = worker.connect();
    client.send(worker.request("POST", COPIES, "", &body.to_string()));
    assert_eq!(client.head().unwrap().status, 200);
    client.chunk().unwrap();
    std::thread::scope(|scope| {
        let drained = scope.spawn(|| worker.drain(Duration::from_secs(20)));
        let text = whole(&mut client);
        assert!(text.ends_with("retry: 100\n\n"), "{text}");
        assert_eq!(drained.join().unwrap(), 0);
    });
}
