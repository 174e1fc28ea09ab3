//! The first key, and the command line.

use std::{os::unix::fs::PermissionsExt, process::Output, time::Duration};

use evonic_tests::{
    pair::{Options, Pair},
    poll,
};
use serde_json::Value;

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

fn worked(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(output));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

#[test]
fn the_first_key_and_the_command_line_work_from_the_start() {
    let options = Options {
        environment: vec![("EVONIC_LOG".to_owned(), "trace".to_owned())],
        ..Options::config("[limits]\nenabled = false\n")
    };
    let pair = Pair::start(&options);
    let file = pair.state_dir().join("admin.key");
    let mode = std::fs::metadata(&file).expect("a first key").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert!(pair.log().contains("made the first key") && pair.log().contains("admin.key"));
    let first = pair.admin_key();
    pair.kill_worker();
    assert_eq!(pair.admin_key(), first, "it is made once");

    // On the Unix socket no key is needed.
    let added = ["key", "add", "ci", "--scope", "run", "--expires", "90d", "--agent", "runbook"];
    let key = worked(&pair.evonic(&added));
    assert!(key.starts_with("evk_") && !key.contains(char::is_whitespace), "{key}");
    let list: Value =
        serde_json::from_str(&worked(&pair.evonic(&["key", "list", "--json"]))).expect("JSON");
    assert_eq!(list.as_array().map(Vec::len), Some(2), "{list}");
    assert!(list[1]["expires_at"].is_string() && list[1]["agents"].is_array(), "{list}");
    let shown = worked(&pair.evonic(&["key", "list"]));
    assert!(shown.contains("ci") && shown.contains("runbook") && !shown.contains(&key), "{shown}");

    // Over TCP it is shown: the service's own, or the one that is given.
    let server = format!("http://{}", pair.address());
    let ask = |words: &[&str], key: Option<&str>| {
        let mut command = pair.evonic_command(words);
        command.env("EVONIC_SERVER", &server);
        if let Some(key) = key {
            command.env("EVONIC_KEY", key);
        }
        command.output().expect("evonic starts")
    };
    assert!(worked(&ask(&["key", "list"], None)).contains("ci"));
    assert!(worked(&ask(&["agent", "list", "--json"], Some(&key))).contains("runbook"));
    let said = worked(&ask(&["chat", "runbook", "$ echo by-key"], Some(&key)));
    assert!(said.contains("by-key"), "{said}");
    let given = ["--server", &server, "--key", &key, "agent", "list", "--json"];
    assert!(worked(&pair.evonic(&given)).contains("runbook"));
    let refused = ask(&["key", "list"], Some(&key));
    assert_eq!(refused.status.code(), Some(77), "{}", text(&refused));
    assert!(text(&refused).contains("scope 'admin'"), "{}", text(&refused));

    assert_eq!(worked(&pair.evonic(&["key", "revoke", "ci"])), "Revoked ci.");
    let refused = ask(&["agent", "list"], Some(&key));
    assert_eq!(refused.status.code(), Some(77), "{}", text(&refused));
    assert!(text(&refused).contains("was revoked at"), "{}", text(&refused));

    let log = pair.log();
    for secret in [&first, &key] {
        assert!(!log.contains(&secret[36..]), "no key stands in the log");
    }
}

#[test]
fn what_others_could_read_is_closed_and_a_key_they_could_read_replaced() {
    let pair = Pair::start(&Options::default());
    let path = |name: &str| pair.state_dir().join(name);
    let mode = |name: &str| {
        std::fs::metadata(path(name)).expect("it is there").permissions().mode() & 0o7777
    };
    let written = || path("history.jsonl").exists();
    let is_there = |there: &bool| there.then_some(());
    poll::until("the history is written", Duration::from_secs(10), written, is_there);
    let files = ["evonic.db", "evonic.db-wal", "evonic.db-shm", "limits.db", "history.jsonl"];
    for file in files {
        assert_eq!(mode(file), 0o600, "{file}");
    }
    assert_eq!((mode(""), mode("generations")), (0o700, 0o700));
    let (server, old) = (format!("http://{}", pair.address()), pair.admin_key());
    for file in ["evonic.db", "evonic.db-wal", "limits.db", "admin.key"] {
        let loose = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(path(file), loose).expect("it is there");
    }
    // As earlier versions left the files, or a command of an agent the key.
    pair.kill_worker();
    for file in ["evonic.db", "evonic.db-wal", "limits.db", "admin.key"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
    let new = pair.admin_key();
    let list = |key: &str| pair.evonic(&["--server", &server, "--key", key, "key", "list"]);
    let refused = list(&old);
    assert_eq!(refused.status.code(), Some(77), "{}", text(&refused));
    assert!(text(&refused).contains("was revoked at"), "{}", text(&refused));
    assert!(worked(&list(&new)).contains("admin"));
    let log = pair.log();
    assert!(log.contains("others could read the admin key") && !log.contains(&new[36..]), "{log}");
}
