//! The served API is the documented one, whatever it is asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{Duration, Instant},
};

use evonic_tests::{
    openapi::{Document, Expected, Found, Generator, Pool, Request, Sender},
    pair::{Options, Pair},
    poll, process, size,
};
use serde_json::{Value, json};

/// No engine of this machine is touched, and keys that are made up are no reason to turn away.
fn start() -> Pair {
    Pair::start(&Options::config(
        "[docker]\nengine = \"unix:///nowhere/docker.sock\"\n[http]\nidle_timeout = \"10m\"\n\
         [limits]\nkey = []\naddress = []\nfailed = []\n",
    ))
}

fn sender(pair: &Pair) -> Sender {
    let key = fs::read_to_string(pair.state_dir().join("admin.key")).ok();
    Sender::new(pair.address(), key.map(|key| key.trim().to_owned()))
}

fn document(sender: &mut Sender) -> Document {
    let found = sender.send(&Request::plain("GET", "/api/openapi.json", None)).unwrap();
    assert_eq!(found.status, 200, "{found:?}");
    Document::new(found.json())
}

/// Asks, checks every answer against the document, and remembers what was done.
struct Visitor {
    document: Document,
    sender: Sender,
    done: BTreeSet<String>,
}

impl Visitor {
    fn ask(&mut self, status: u16, method: &str, path: &str, body: Option<Value>) -> Found {
        let mut request = Request::plain(method, path, body);
        if status == 400 {
            request.expected = Expected::Refused;
        }
        self.send(status, &request)
    }

    fn send(&mut self, status: u16, request: &Request) -> Found {
        let found = self.sender.send(request).unwrap();
        assert_eq!(found.status, status, "{request:?}: {found:?}");
        let judged = self.document.judge(request, &found);
        judged.unwrap_or_else(|fault| panic!("{request:?}: {fault}\n{found:?}"));
        if let Some(operation) = self.document.operation_of(&request.method, &request.path)
            && status < 300
        {
            self.done.insert(operation.id.clone());
        }
        found
    }

    fn id(&mut self, path: &str, body: Value) -> String {
        let made = self.ask(201, "POST", path, Some(body)).json();
        made["id"].as_str().unwrap().to_owned()
    }

    fn get(&mut self, path: &str) -> Found {
        self.ask(200, "GET", path, None)
    }
}

#[test]
fn every_answer_is_as_documented() {
    let pair = start();
    let mut sender = sender(&pair);
    let document = document(&mut sender);
    let mut visitor = Visitor { document, sender, done: BTreeSet::new() };
    for path in ["/livez", "/readyz", "/healthz", "/metrics", "/api/openapi.json"] {
        visitor.get(path);
    }
    talk(&mut visitor);
    budgets(&mut visitor);
    workplaces(&mut visitor);
    keys(&mut visitor);
    for path in ["/api/v1/handles", "/api/v1/hosts", "/api/v1/models", "/api/v1/audit"] {
        visitor.get(path);
    }
    visitor.ask(200, "POST", "/api/v1/models/runbook/check", None);
    let missing: Vec<_> = visitor
        .document
        .operations
        .iter()
        .filter(|operation| !visitor.done.contains(&operation.id))
        .map(|operation| &operation.id)
        .collect();
    assert!(missing.is_empty(), "no answer was seen of: {missing:?}");
}

fn talk(visitor: &mut Visitor) {
    let agent =
        json!({"name": "ops", "model": "runbook", "tools": ["bash", "write_file", "read_file"]});
    let agent = visitor.id("/api/v1/agents", agent);
    let agent = format!("/api/v1/agents/{agent}");
    visitor.get(&agent);
    visitor.ask(200, "PATCH", &agent, Some(json!({"instructions": "be brief", "tools": null})));
    let session = visitor.id("/api/v1/sessions", json!({"agent": "ops", "title": "a"}));
    let session = format!("/api/v1/sessions/{session}");
    visitor.get(&session);
    visitor.ask(200, "PATCH", &session, Some(json!({"title": "b"})));
    let messages = format!("{session}/messages");
    for content in ["$ echo one; echo two", "write a.txt \"x\"\nread a.txt", "this is no runbook"] {
        let posted = visitor.ask(202, "POST", &messages, Some(json!({"content": content}))).json();
        let turn = posted["turn"]["id"].as_str().unwrap();
        let turn = format!("/api/v1/turns/{turn}");
        poll::until(
            "the turn ends",
            Duration::from_secs(60),
            || visitor.get(&format!("{turn}?wait=1")).json(),
            |turn| turn["ended_at"].is_string().then_some(()),
        );
        visitor.ask(202, "POST", &format!("{turn}/cancel"), None);
    }
    visitor.ask(202, "POST", &format!("{session}/compact"), None);
    let lists = ["messages?limit=2", "turns", "items", "compactions", "events", "events?after=3"];
    for list in lists.into_iter().chain(["events?after=999999"]) {
        visitor.get(&format!("{session}/{list}"));
    }
    attached_and_moved(visitor, &session);
    for list in ["agents", "sessions", "sessions?agent=ops"] {
        visitor.get(&format!("/api/v1/{list}"));
    }
    visitor.ask(204, "DELETE", &session, None);
    visitor.ask(204, "DELETE", &agent, None);
    visitor.ask(404, "GET", &agent, None);
}

/// A content of a session; a session as lines, and what is made of them.
fn attached_and_moved(visitor: &mut Visitor, session: &str) {
    let path = format!("{session}/blobs");
    let upload = Request::with_body("POST", &path, "text/plain", b"notes".to_vec());
    let blob = visitor.send(201, &upload).json();
    let hash = blob["sha256"].as_str().unwrap();
    visitor.get(&format!("{path}/{hash}"));
    visitor.get("/api/v1/export?agent=ops");
    let lines = visitor.get(&format!("{session}/export")).body;
    let import = |existing| {
        let path = format!("/api/v1/import?existing={existing}");
        Request::with_body("POST", &path, "application/x-ndjson", lines.clone())
    };
    visitor.send(422, &import("refuse"));
    visitor.send(200, &import("new_ids"));
}

fn budgets(visitor: &mut Visitor) {
    let all = "/api/v1/budgets";
    let limit = json!({"cost": 5_000_000});
    let month = json!({"name": "b", "subject": "all", "period": "month", "limit": limit});
    let budget = visitor.id(all, month.clone());
    visitor.ask(409, "POST", all, Some(month));
    visitor.id(all, json!({"name": "each", "subject": "key", "period": "day", "limit": limit}));
    let end = json!({"name": "turn", "subject": "session", "period": "turn", "limit": limit,
        "on_reached": "wait"});
    visitor.ask(422, "POST", all, Some(end));
    visitor.get(all);
    let budget = format!("{all}/{budget}");
    visitor.get(&budget);
    let change = json!({"limit": {"tokens": 100}, "on_reached": "end"});
    visitor.ask(200, "PATCH", &budget, Some(change));
    visitor.ask(204, "DELETE", &budget, None);
    visitor.ask(404, "GET", &budget, None);
    for by in ["day", "agent", "key", "session", "model"] {
        visitor.get(&format!("/api/v1/usage?by={by}&from=2026-01-01&limit=2"));
    }
    visitor.ask(400, "GET", "/api/v1/usage?from=yesterday", None);
    visitor.ask(404, "GET", "/api/v1/usage?agent=nobody", None);
}

fn workplaces(visitor: &mut Visitor) {
    let all = "/api/v1/workplaces";
    let ssh = json!({"host": "127.0.0.1", "port": 1, "password": {"env": "NOWHERE"}});
    let far = visitor.id(all, json!({"name": "far", "kind": "ssh", "settings": ssh}));
    visitor.id(all, json!({"name": "pen", "kind": "docker"}));
    visitor.id(all, json!({"name": "near", "kind": "local", "settings": {}}));
    visitor.get(all);
    let far = format!("{all}/{far}");
    visitor.get(&far);
    visitor.ask(200, "PATCH", &far, Some(json!({"settings": {"user": "ops"}})));
    for name in ["far", "pen", "local"] {
        visitor.ask(200, "POST", &format!("{all}/{name}/check"), None);
    }
    visitor.ask(200, "POST", "/api/v1/sandbox/build?workplace=pen", None);
    let end = |path| json!({"workplace": "local", "path": path});
    visitor.ask(200, "POST", "/api/v1/copies", Some(json!({"from": end("a.txt"), "to": end("b")})));
    visitor.ask(204, "DELETE", &far, None);
}

fn keys(visitor: &mut Visitor) {
    let all = "/api/v1/keys";
    let agents = json!(["runbook"]);
    let some = json!({"name": "ci", "scope": "run", "expires_in_seconds": 60, "agents": agents});
    let key = visitor.id(all, some);
    visitor.ask(409, "POST", all, Some(json!({"name": "ci", "scope": "read"})));
    visitor.ask(422, "POST", all, Some(json!({"name": "no", "scope": "admin", "agents": agents})));
    visitor.ask(409, "DELETE", &format!("{all}/admin"), None);
    visitor.get(all);
    let key = format!("{all}/{key}");
    visitor.get(&key);
    visitor.ask(204, "DELETE", &key, None);
    visitor.get(&key);
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    descriptors: usize,
    kib: u64,
}

fn held(pid: u32) -> Held {
    let descriptors = process::descriptors(pid).expect("a worker");
    let (_, kib) = process::memory_kib(pid).expect("a worker");
    Held { descriptors, kib }
}

/// Growth that has other reasons than a leak: threads and buffers that come with the load, and
/// what the database keeps of a page.
const GROWTH_KIB: u64 = 96 << 10;

#[test]
fn generated_requests_are_answered_as_documented() {
    let pair = start();
    let (worker, generation) = pair.worker();
    let mut sender = sender(&pair);
    let document = document(&mut sender);
    let random = if size::is_full() { fastrand::u64(..1 << 32) } else { 1 };
    let seed = size::of("fuzz_seed", random, random);
    let requests = size::of("fuzz_requests", 2500, u64::MAX);
    let seconds = size::of("fuzz_seconds", 120, 600);
    println!("  seed {seed}: EVONIC_SIZE_FUZZ_SEED={seed} makes the same requests again");
    let keys = sender.send(&Request::plain("GET", "/api/v1/keys", None)).unwrap().json();
    let keys = keys["data"].as_array().into_iter().flatten();
    let spared = keys.map(|key| key["id"].as_str().unwrap().to_owned()).collect();
    let mut generator = Generator {
        document: &document,
        rng: fastrand::Rng::with_seed(seed),
        pool: Pool::sparing(spared),
        folder: pair.state_dir().join("made-up"),
    };
    for _ in 0..5 {
        let new = Some(json!({"agent": "runbook"}));
        let made = sender.send(&Request::plain("POST", "/api/v1/sessions", new)).unwrap();
        generator.pool.learn(&made.json());
    }
    let began = Instant::now();
    let mut warm = held(worker);
    let (mut statuses, mut faults) = (BTreeMap::<u16, u64>::new(), BTreeMap::new());
    let mut slowest = Duration::ZERO;
    let mut sent = 0;
    while sent < requests && began.elapsed() < Duration::from_secs(seconds) {
        let operation = generator.operation();
        let request = generator.request(operation);
        let asked = Instant::now();
        let found = match sender.send(&request) {
            Ok(found) => found,
            Err(fault) => panic!("request {sent}: {request:?}: {fault}"),
        };
        slowest = slowest.max(asked.elapsed());
        sent += 1;
        *statuses.entry(found.status).or_default() += 1;
        if let Err(fault) = document.judge(&request, &found) {
            let about = format!("{} {}: {fault}", operation.id, found.status);
            let message = format!("request {sent}: {request:?}\n    {}", shown(&found));
            faults.entry(about).or_insert(message);
        }
        if found.status == 404 || request.method == "DELETE" {
            generator.pool.forget(&request.path);
        }
        if let Ok(value) = serde_json::from_slice(&found.body) {
            generator.pool.learn(&value);
        }
        if sent == requests.min(20_000) / 4 {
            warm = held(worker);
        }
    }
    size::report("requests made from the document", sent, "");
    size::report("slowest", size::ms(slowest), "ms");
    println!("  statuses: {statuses:?}");
    let faults: Vec<_> =
        faults.iter().map(|(about, message)| format!("{about}\n  {message}")).collect();
    assert!(faults.is_empty(), "seed {seed}:\n{}", faults.join("\n"));
    assert_eq!(pair.worker(), (worker, generation), "the worker is still the same");
    let log = pair.log();
    assert!(!log.contains("panicked"), "{log}");
    drop(sender);
    poll::until(
        "the worker's descriptors are few",
        Duration::from_secs(60),
        || (held(worker), warm, process::links(worker)),
        |(now, warm, _)| (now.descriptors <= warm.descriptors).then_some(()),
    );
    let now = held(worker);
    size::report(
        "memory after a quarter, and at the end",
        format!("{} {}", warm.kib, now.kib),
        "KiB",
    );
    assert!(now.kib < warm.kib + GROWTH_KIB, "{warm:?}, then {now:?}");
}

fn shown(found: &Found) -> String {
    let body: String = String::from_utf8_lossy(&found.body).chars().take(600).collect();
    format!("{} {:?} {body}", found.status, found.headers)
}
