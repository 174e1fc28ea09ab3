//! `/api/v1/workplaces`, and agents that name them.

use evonic_shared::kind::Kind;
use serde_json::{Value, json};

use super::{
    test_server::until,
    worker::{Worker, whole},
};

const WORKPLACES: &str = "/api/v1/workplaces";

fn ssh(name: &str) -> Value {
    json!({ "name": name, "kind": "ssh", "settings": { "host": "there", "port": 2222 } })
}

#[test]
fn a_workplace_is_made_read_changed_and_deleted() {
    let worker = Worker::plain();
    let workplace = worker.post(WORKPLACES, &ssh("box")).created();
    assert_eq!(workplace["kind"], "ssh");
    assert_eq!(workplace["settings"]["port"], 2222);
    assert_eq!(workplace["settings"]["host_keys"], "strict");
    let path = format!("{WORKPLACES}/{}", workplace["id"].as_str().unwrap());
    assert_eq!(worker.fetch(&path).json(), workplace);
    assert_eq!(worker.fetch("/api/v1/workplaces/box").json(), workplace);

    let change = json!({ "name": "far", "settings": { "port": null, "user": "ops" } });
    let changed = worker.send("PATCH", "/api/v1/workplaces/box", &change);
    assert_eq!(changed.status, 200, "{changed:?}");
    let changed = changed.json();
    assert_eq!((&changed["name"], &changed["kind"]), (&json!("far"), &json!("ssh")));
    let wanted = json!({
        "host": "there", "user": "ops", "host_keys": "strict", "session_folders": false
    });
    assert_eq!(changed["settings"], wanted);
    worker.fetch("/api/v1/workplaces/box").problem(404);

    let names: Vec<_> = worker.fetch(WORKPLACES).json()["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|workplace| workplace["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["local", "far"]);
    let page = worker.fetch("/api/v1/workplaces?limit=1").json();
    let next = page["next"].as_str().unwrap();
    let page = worker.fetch(&format!("/api/v1/workplaces?limit=1&after={next}")).json();
    assert_eq!((&page["data"][0]["name"], &page["next"]), (&json!("far"), &Value::Null));

    assert_eq!(worker.delete("/api/v1/workplaces/far").status, 204);
    worker.fetch(&path).problem(404);
    worker.delete(&path).problem(404);
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let worker = Worker::plain();
    worker.post(WORKPLACES, &ssh("taken")).created();
    let with = |settings: Value| json!({ "name": "a", "kind": "ssh", "settings": settings });
    for (body, status, field) in [
        (json!({ "name": "Not A Name", "kind": "local" }), 400, Some("name")),
        (json!({ "name": "a" }), 400, None),
        (json!({ "name": "a", "kind": "tent" }), 400, Some("kind")),
        (json!({ "name": "a", "kind": "local", "colour": 1 }), 400, Some("colour")),
        (json!({ "name": "a", "kind": "local", "settings": [] }), 400, Some("settings")),
        (with(json!({ "host": "h", "image": "x" })), 400, Some("settings.image")),
        (with(json!({ "host": "h", "port": -1 })), 400, Some("settings.port")),
        (with(json!({ "host": "h", "port": 0 })), 422, Some("settings.port")),
        (json!({ "name": "a", "kind": "ssh" }), 422, Some("settings.host")),
        (ssh("taken"), 409, None),
        (json!({ "name": "local", "kind": "local" }), 409, None),
    ] {
        let problem = worker.post(WORKPLACES, &body).problem(status);
        assert_eq!(problem["field"].as_str(), field, "{body}: {problem}");
    }
    for (which, body, status, field) in [
        ("taken", json!({ "colour": 1 }), 400, Some("colour")),
        ("taken", json!({ "kind": "docker" }), 400, Some("kind")),
        ("taken", json!({ "settings": { "port": 0 } }), 422, Some("settings.port")),
        ("taken", json!({ "settings": { "host": null } }), 422, Some("settings.host")),
        ("taken", json!({ "name": "local" }), 409, None),
        ("local", json!({ "name": "here" }), 409, None),
        ("nobody", json!({}), 404, None),
    ] {
        let path = format!("{WORKPLACES}/{which}");
        let problem = worker.send("PATCH", &path, &body).problem(status);
        assert_eq!(problem["field"].as_str(), field, "{body}: {problem}");
    }
    let problem = worker.delete("/api/v1/workplaces/local").problem(409);
    assert_eq!(problem["type"], "urn:evonic:problem:built_in");
    worker.post("/api/v1/workplaces/nobody/check", &json!({})).problem(404);
    let path = "/api/v1/sandbox/build?workplace=local";
    assert_eq!(worker.post(path, &json!({})).problem(422)["field"], "workplace");
}

#[test]
fn an_agent_works_where_there_is_a_workplace() {
    let worker = Worker::plain();
    let workplace = worker.post(WORKPLACES, &ssh("box")).created();
    let id = workplace["id"].as_str().unwrap();
    let local = worker.fetch("/api/v1/workplaces/local").json()["id"].clone();
    let new = json!({
        "name": "ops", "model": "runbook", "workplace": "box", "other_workplaces": [local, id]
    });
    let agent = worker.post("/api/v1/agents", &new).created();
    assert_eq!(agent["workplace"], id);
    assert_eq!(agent["other_workplaces"], json!(["local", id]));

    for (body, field) in [
        (json!({ "workplace": "tent" }), "workplace"),
        (json!({ "other_workplaces": ["box", "tent"] }), "other_workplaces[1]"),
    ] {
        let problem = worker.send("PATCH", "/api/v1/agents/ops", &body).problem(422);
        assert_eq!(problem["field"], field);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.ends_with("no workplace 'tent'; there are: local, box"), "{detail}");
    }
    let new = json!({ "name": "b", "model": "runbook", "workplace": "tent" });
    assert_eq!(worker.post("/api/v1/agents", &new).problem(422)["field"], "workplace");

    let problem = worker.delete("/api/v1/workplaces/box").problem(409);
    assert_eq!(problem["type"], "urn:evonic:problem:workplace_in_use");
    let change = json!({ "workplace": "local", "other_workplaces": ["box"] });
    let changed = worker.send("PATCH", "/api/v1/agents/ops", &change).json();
    assert_eq!(
        (&changed["workplace"], &changed["other_workplaces"][0]),
        (&json!("local"), &json!(id))
    );
    worker.delete("/api/v1/workplaces/box").problem(409);
    assert_eq!(worker.delete("/api/v1/agents/ops").status, 204);
    assert_eq!(worker.delete("/api/v1/workplaces/box").status, 204);
}

#[test]
fn a_secret_is_nowhere_but_in_its_place() {
    const SECRET: &str = "correct-horse-battery-staple";
    let mut folder = None;
    let worker = Worker::new(|config| folder = Some(config.state_dir.clone()));
    let folder = folder.unwrap();
    let file = folder.join("password");
    std::fs::write(&file, SECRET).unwrap();
    let settings = json!({ "host": "h", "password": { "file": file } });
    let new = json!({ "name": "box", "kind": "ssh", "settings": settings });
    let mut seen = worker.post(WORKPLACES, &new).body;
    seen.extend(worker.fetch("/api/v1/workplaces/box").body);
    // Where only its place belongs, it is refused and not repeated.
    for secret in [json!(SECRET), json!({ SECRET: "" }), json!({ "env": { SECRET: 1 } })] {
        let change = json!({ "settings": { "password": secret } });
        let refused = worker.send("PATCH", "/api/v1/workplaces/box", &change);
        assert_eq!(refused.problem(400)["field"], "settings.password");
        seen.extend(refused.body);
    }
    seen.extend(worker.fetch("/metrics").body);
    assert!(!String::from_utf8_lossy(&seen).contains(SECRET));
    let path = file.to_str().unwrap().as_bytes();
    let mut referred = false;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap().path();
        if entry.is_file() && entry != file {
            let bytes = std::fs::read(&entry).unwrap();
            let holds = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
            assert!(!holds(SECRET.as_bytes()), "{}", entry.display());
            referred |= holds(path);
        }
    }
    assert!(referred, "the database was looked at");
}

/// The events of a stream, by name.
fn progress_events(worker: &Worker, path: &str) -> Vec<(String, Value)> {
    let mut client = worker.connect();
    client.send(worker.request("POST", path, "", ""));
    let head = client.head().unwrap();
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    whole(&mut client)
        .split("\n\n")
        .filter_map(|event| {
            let (name, data) = event.strip_prefix("event: ")?.split_once("\ndata: ")?;
            Some((name.to_owned(), serde_json::from_str(data).unwrap()))
        })
        .collect()
}

#[test]
fn a_check_tells_each_step_and_how_it_ended() {
    let worker = Worker::plain();
    let events = progress_events(&worker, "/api/v1/workplaces/local/check");
    let steps: Vec<_> = events
        .iter()
        .filter(|(name, _)| name == "step")
        .map(|(_, step)| (step["step"].as_str().unwrap(), step["verdict"].as_str().unwrap()))
        .collect();
    let names: Vec<_> = steps.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["folder", "proc", "sandbox", "home", "write", "run", "space"], "{events:?}");
    assert!(steps.iter().all(|(_, verdict)| *verdict != "failed"), "{events:?}");
    assert_eq!(events.last().unwrap(), &("done".to_owned(), json!({ "ok": true })));

    let root = json!({ "root": "/dev/null/nowhere" });
    let new = json!({ "name": "broken", "kind": "local", "settings": root });
    worker.post(WORKPLACES, &new).created();
    let events = progress_events(&worker, "/api/v1/workplaces/broken/check");
    let [(_, step), (_, done)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((&step["step"], &step["verdict"]), (&json!("folder"), &json!("failed")));
    assert!(step["advice"].as_str().unwrap().contains("settings.root"), "{step}");
    assert_eq!(done, &json!({ "ok": false }));
}

fn names_in(folder: &std::path::Path) -> Vec<std::ffi::OsString> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

#[test]
fn a_check_holds_nothing_when_it_is_over_or_left() {
    let worker = Worker::plain();
    let path = "/api/v1/workplaces/local/check";
    progress_events(&worker, path);
    // But for the store's, which come and go by themselves.
    let usage = || -> Vec<_> {
        let used =
            |usage: &evonic_handles::Usage| usage.kind != Kind::Sqlite && usage.descriptors > 0;
        worker.budget.usage().into_iter().filter(used).collect()
    };
    for round in 0..20 {
        if round % 2 == 0 {
            progress_events(&worker, path);
            continue;
        }
        let mut client = worker.connect();
        client.send(worker.request("POST", path, "", ""));
        assert_eq!(client.head().unwrap().status, 200);
        client.stream().shutdown(std::net::Shutdown::Both).unwrap();
    }
    until(usage, Vec::is_empty);
    let left = || names_in(&worker.root());
    until(left, Vec::is_empty);
}

#[test]
fn a_deleted_session_leaves_no_folder() {
    let worker = Worker::plain();
    let root = worker.root().with_file_name("apart");
    let settings = json!({ "root": root, "session_folders": true });
    let new = json!({ "name": "apart", "kind": "local", "settings": settings });
    worker.post(WORKPLACES, &new).created();
    let new = json!({ "name": "ops", "model": "runbook", "workplace": "apart" });
    worker.post("/api/v1/agents", &new).created();
    let folders = root.join("sessions");
    let session = || {
        let session = worker.post("/api/v1/sessions", &json!({ "agent": "ops" })).created();
        let id = session["id"].as_str().unwrap().to_owned();
        std::fs::create_dir_all(folders.join(&id).join("deep")).unwrap();
        id
    };
    let (first, _second, _third) = (session(), session(), session());
    assert_eq!(worker.delete(&format!("/api/v1/sessions/{first}")).status, 204);
    until(|| names_in(&folders), |names| names.len() == 2);
    // With their agent go the others.
    assert_eq!(worker.delete("/api/v1/agents/ops").status, 204);
    until(|| names_in(&folders), Vec::is_empty);
}
