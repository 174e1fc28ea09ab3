//! 5. Time limits reach into the container; the engine and the ledger agree; other instances'
//!    containers are left alone.

use std::{collections::BTreeSet, time::Duration};

use evonic_tests::{
    pair::{Options, Pair},
    poll,
    site::{Site, docker_settings},
    size,
};
use serde_json::json;

/// Names of the running containers with a label of evonic.
fn labelled(site: &Site) -> BTreeSet<String> {
    let engine = site.engine.as_ref().expect("an engine");
    let listed = engine.docker(&["ps", "-a", "--format", "{{.Names}}"]);
    listed.lines().filter(|name| name.starts_with("evonic-")).map(str::to_owned).collect()
}

/// Names of the containers that are there by the ledger.
fn ledger(site: &Site) -> BTreeSet<String> {
    let database = rusqlite::Connection::open_with_flags(
        site.pair.state_dir().join("evonic.db"),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
    )
    .expect("the database");
    let mut query =
        database.prepare("SELECT name FROM containers WHERE container <> ''").expect("a query");
    let rows = query.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("names")
}

#[test]
fn workplace_5_a_time_limit_leaves_no_process_in_the_container() {
    let site = Site::docker(&Options::default());
    let session = site.pair.session("docker");
    let ran = site.run_in(
        &session,
        "on failure continue\ntimeout 2s\n$ (setsid sleep 987 &) ; sleep 987 & sleep 987",
    );
    let (_, told) = ran.results().remove(0);
    assert!(told.contains("timed out"), "{told}");
    let names = labelled(&site);
    assert_eq!(names.len(), 1, "{names:?}");
    let container = names.first().expect("one");
    let engine = site.engine.as_ref().expect("an engine");
    let top = || engine.docker(&["top", container]);
    poll::until("nothing of it runs", Duration::from_secs(10), top, |top| {
        (!top.contains("987")).then_some(())
    });
}

#[test]
fn workplace_5_engine_and_ledger_agree_after_chaos() {
    let rounds = size::of("container_chaos", 6, 60);
    let site = Site::docker(&Options::config(
        "[docker]\nreconcile_interval = \"2s\"\ncontainers = 4\n\
         [supervisor]\nbackoff_base = \"10ms\"\nbackoff_cap = \"50ms\"\n",
    ));
    let engine = site.engine.as_ref().expect("an engine");
    // A second instance on the same engine.
    let other = Pair::start(&Options::default());
    let settings = docker_settings(engine);
    let new = json!({"name": "theirs", "kind": "docker", "settings": settings});
    let _made = other.expect(201, "POST", "/api/v1/workplaces", Some(&new));
    let agent = json!({"name": "theirs", "model": "runbook", "workplace": "theirs"});
    let _made = other.expect(201, "POST", "/api/v1/agents", Some(&agent));
    let session = other.session("theirs");
    assert_eq!(other.wait_for_turn(&other.post(&session, "$ true"))["state"], "completed");
    let theirs: BTreeSet<String> = labelled(&site);
    assert_eq!(theirs.len(), 1);

    let sessions: Vec<String> = (0..6).map(|_| site.pair.session("docker")).collect();
    for round in 0..rounds {
        let session = &sessions[usize::try_from(round).expect("small") % sessions.len()];
        let turn = site.pair.post(session, "on failure continue\n$ echo hi; sleep 0.3");
        match round % 3 {
            0 => drop(site.pair.kill_worker()),
            1 => {
                let mine: Vec<String> = labelled(&site).difference(&theirs).cloned().collect();
                if let Some(victim) = mine.first() {
                    let _removed = engine.docker(&["rm", "-f", victim]);
                }
            }
            _ => {}
        }
        let ended = site.pair.wait_for_turn(&turn);
        assert_eq!(ended["state"], "completed", "{ended}");
    }
    let path = format!("/api/v1/sessions/{}", sessions[0]);
    let _deleted = site.pair.expect(204, "DELETE", &path, None);

    let both = || {
        let mine: BTreeSet<String> = labelled(&site).difference(&theirs).cloned().collect();
        (mine, ledger(&site))
    };
    poll::until("engine and ledger agree", Duration::from_secs(30), both, |(engine, ledger)| {
        (engine == ledger && !engine.is_empty()).then_some(())
    });
    assert!(labelled(&site).is_superset(&theirs), "the other instance's container is untouched");
    assert_eq!(other.wait_for_turn(&other.post(&session, "$ true"))["state"], "completed");
}

#[test]
fn workplace_5_what_is_missing_is_told_and_serves_again_when_it_is_back() {
    let mut site = Site::docker(&Options::default());
    let mut settings = docker_settings(site.engine.as_ref().expect("an engine"));
    settings["image"] = json!("there-is-no-such-image:1");
    site.workplace("imageless", "docker", &settings);
    let (_, told) = site.run("imageless", "$ true").results().remove(0);
    assert!(told.contains("there-is-no-such-image:1"), "{told}");

    let session = site.pair.session("docker");
    assert!(site.run_in(&session, "$ echo before > kept.txt").is_completed());
    site.engine.as_mut().expect("an engine").stop();
    let ran = site.run("docker", "on failure continue\ntimeout 3s\n$ true");
    let (outcome, told) = ran.results().remove(0);
    assert_eq!(outcome, "error", "{told}");
    assert!(told.contains("docker.sock"), "{told}");
    site.engine.as_mut().expect("an engine").restart();
    let ran = site.run_in(&session, "$ cat kept.txt");
    assert!(ran.is_completed() && ran.output() == "before\n", "{ran:#?}");
}
