//! Time limits reach into the container; the engine and the table of containers agree; other
//! instances' containers are left alone.

use std::{collections::BTreeSet, time::Duration};

use evonic_tests::{
    pair::{Options, Pair},
    poll, size,
    testbed::{Testbed, containers, docker_settings, read_database},
};
use serde_json::json;

/// Names of the containers that are there by the table of containers.
fn container_table(testbed: &Testbed) -> BTreeSet<String> {
    let database = read_database(&testbed.pair);
    let mut query =
        database.prepare("SELECT name FROM containers WHERE container <> ''").expect("a query");
    let rows = query.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("names")
}

#[test]
fn a_time_limit_leaves_no_process_in_the_container() {
    let testbed = Testbed::docker(&Options::default());
    let session = testbed.pair.session("docker");
    let ran = testbed.run_in(
        &session,
        "on failure continue\ntimeout 2s\n$ (setsid sleep 987 &) ; sleep 987 & sleep 987",
    );
    let (_, message) = ran.results().remove(0);
    assert!(message.contains("timed out"), "{message}");
    let names = testbed.containers();
    assert_eq!(names.len(), 1, "{names:?}");
    let container = names.first().expect("one");
    let engine = testbed.engine.as_ref().expect("an engine");
    let top = || engine.docker(&["top", container]);
    poll::until("nothing of it runs", Duration::from_secs(10), top, |top| {
        (!top.contains("987")).then_some(())
    });
}

#[test]
fn engine_and_container_table_agree_after_random_faults() {
    let rounds = size::of("container_chaos", 6, 60).max(6);
    let testbed = Testbed::docker(&Options::config(
        "[docker]\nreconcile_interval = \"2s\"\ncontainers = 4\n\
         [supervisor]\nbackoff_base = \"10ms\"\nbackoff_cap = \"50ms\"\n",
    ));
    let engine = testbed.engine.as_ref().expect("an engine");
    // A second instance on the same engine.
    let other = Pair::start(&Options::default());
    let settings = docker_settings(engine);
    let new = json!({"name": "theirs", "kind": "docker", "settings": settings});
    let _made = other.expect(201, "POST", "/api/v1/workplaces", Some(&new));
    let agent = json!({"name": "theirs", "model": "runbook", "workplace": "theirs"});
    let _made = other.expect(201, "POST", "/api/v1/agents", Some(&agent));
    let session = other.session("theirs");
    assert_eq!(other.wait_for_turn(&other.post(&session, "$ true"))["state"], "completed");
    let theirs = containers(engine, &other);
    assert_eq!(theirs.len(), 1);

    let sessions: Vec<String> = (0..6).map(|_| testbed.pair.session("docker")).collect();
    for round in 0..rounds {
        let session = &sessions[usize::try_from(round).expect("small") % sessions.len()];
        let turn = testbed.pair.post(session, "on failure continue\n$ echo hi; sleep 0.3");
        match round % 3 {
            0 => drop(testbed.pair.kill_worker()),
            1 => {
                if let Some(victim) = testbed.containers().first() {
                    let _removed = engine.docker(&["rm", "-f", victim]);
                }
            }
            _ => {}
        }
        let ended = testbed.pair.wait_for_turn(&turn);
        assert_eq!(ended["state"], "completed", "{ended}");
    }
    let path = format!("/api/v1/sessions/{}", sessions[0]);
    let _deleted = testbed.pair.expect(204, "DELETE", &path, None);

    let both = || (testbed.containers(), container_table(&testbed));
    poll::until("engine and table agree", Duration::from_secs(30), both, |(engine, table)| {
        (engine == table && !engine.is_empty()).then_some(())
    });
    assert_eq!(containers(engine, &other), theirs, "the other instance's container is untouched");
    assert_eq!(other.wait_for_turn(&other.post(&session, "$ true"))["state"], "completed");
}

#[test]
fn a_missing_image_or_engine_is_reported_and_serves_again_when_it_is_back() {
    let mut testbed = Testbed::docker_on_own_engine(&Options::default());
    let mut settings = docker_settings(testbed.engine.as_ref().expect("an engine"));
    settings["image"] = json!("there-is-no-such-image:1");
    testbed.workplace("imageless", "docker", &settings);
    let (_, message) = testbed.run("imageless", "$ true").results().remove(0);
    assert!(message.contains("there-is-no-such-image:1"), "{message}");

    let session = testbed.pair.session("docker");
    assert!(testbed.run_in(&session, "$ echo before > kept.txt").is_completed());
    testbed.own_engine().stop();
    let ran = testbed.run("docker", "on failure continue\ntimeout 3s\n$ true");
    let (outcome, message) = ran.results().remove(0);
    assert_eq!(outcome, "error", "{message}");
    assert!(message.contains("docker.sock"), "{message}");
    testbed.own_engine().restart();
    let ran = testbed.run_in(&session, "$ cat kept.txt");
    assert!(ran.is_completed() && ran.output() == "before\n", "{ran:#?}");
}
