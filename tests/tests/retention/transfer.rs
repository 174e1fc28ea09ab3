//! Sessions that are brought from one service to another.

use std::{fs, os::unix::fs::PermissionsExt};

use evonic_tests::{
    pair::{Options, Pair},
    troubleshooting::assert_documented,
};

use crate::{CONFIG, evonic, text};

#[test]
fn sessions_are_exported_imported_and_exported_again_with_the_same_bytes() {
    let (from, to) = (Pair::start(&Options::config(CONFIG)), Pair::start(&Options::config(CONFIG)));
    for message in ["$ echo one", "$ printf 'a\\tb\\033[1m'", "```bash\nexit 3\n```"] {
        let session = from.session("runbook");
        let turn = from.post(&session, message);
        let _ = from.wait_for_turn(&turn);
    }
    evonic(&from, &["agent", "add", "other"]);
    let other = from.session("other");
    let file = |name: &str| from.folder().join(name).display().to_string();
    let (all, again, one, some) = (file("all"), file("again"), file("one"), file("some"));
    let said = evonic(&from, &["session", "export", "--all", &all]);
    assert!(said.contains(&all), "{said}");
    assert_eq!(fs::metadata(&all).unwrap().permissions().mode() & 0o777, 0o600);
    // Never over another file.
    let refused = pair_fails(&from, &["session", "export", "--all", &all]);
    assert!(refused.contains("File exists"), "{refused}");
    evonic(&from, &["session", "export", &other, &one]);
    assert_eq!(fs::read_to_string(&one).unwrap().lines().count(), 4);
    evonic(&from, &["session", "export", "--agent", "runbook", &some]);
    let printed = from.evonic(&["session", "export", "--all"]).stdout;
    assert_eq!(printed, fs::read(&all).unwrap());

    let refused = pair_fails(&to, &["session", "import", &all]);
    assert_documented("there is no agent …: make it, or say which one gets the sessions", &refused);
    let done = evonic(&to, &["session", "import", &all, "--agent", "runbook", "--skip"]);
    assert!(done.contains("Imported 1 session, passed over 3"), "{done}");
    let _ = to.expect(204, "DELETE", &format!("/api/v1/sessions/{other}"), None);
    evonic(&to, &["agent", "add", "other"]);
    evonic(&to, &["session", "import", &one]);
    evonic(&to, &["session", "export", "--all", &again]);
    assert_eq!(fs::read(&all).unwrap(), fs::read(&again).unwrap());
    let refused = pair_fails(&to, &["session", "import", &one]);
    assert_documented("session … is there already: pass over those that are", &refused);
    let done = evonic(&to, &["session", "import", &some, "--new-ids"]);
    assert!(done.contains("Imported 3 sessions."), "{done}");
    // They are sessions like any other.
    let list = to.expect(200, "GET", "/api/v1/sessions?agent=runbook", None);
    let session = list["data"][0]["id"].as_str().unwrap().to_owned();
    let turn = to.post(&session, "$ echo goes on");
    assert_eq!(to.wait_for_turn(&turn)["state"], "completed");
    let audit = to.expect(200, "GET", "/api/v1/audit?action=session.import", None);
    assert_eq!(audit["data"].as_array().unwrap().len(), 8, "{audit}");

    let later = fs::read_to_string(&one).unwrap().replacen("\"version\":1", "\"version\":9", 1);
    fs::write(file("later"), later).unwrap();
    let refused = pair_fails(&to, &["session", "import", &file("later")]);
    assert_documented("line …: it is of version …, and this program knows …", &refused);
    let cut = fs::read_to_string(&some).unwrap();
    fs::write(file("cut"), &cut[..cut.len() - 200]).unwrap();
    let refused = pair_fails(&to, &["session", "import", &file("cut"), "--new-ids"]);
    assert!(refused.contains("2 sessions were imported before it"), "{refused}");
}

/// Runs `evonic`, which must fail; what it said.
fn pair_fails(pair: &Pair, arguments: &[&str]) -> String {
    let output = pair.evonic(arguments);
    assert!(!output.status.success(), "{arguments:?}: {}", text(&output));
    text(&output)
}
