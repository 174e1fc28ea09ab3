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

/// SHA-256 of `hi`.
const HI: &str = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4";

#[test]
fn a_content_is_believed_once_it_is_what_its_hash_says() {
    let pair = Pair::start(&Options::config(CONFIG));
    let session = pair.session("runbook");
    let turn = pair.post(&session, "$ echo one");
    let _ = pair.wait_for_turn(&turn);
    let plain = evonic_lines(&pair, &session);
    let blob = format!(
        "{{\"kind\":\"blob\",\"media_type\":\"text/plain\",\
         \"created_at\":\"2026-01-01T00:00:00.000Z\",\"sha256\":\"{HI}\",\"bytes\":2}}"
    );
    let import = |name: &str, lines: &str| {
        let file = pair.folder().join(name).display().to_string();
        fs::write(&file, lines).unwrap();
        let output = pair.evonic(&["session", "import", &file, "--new-ids"]);
        (output.status.success(), text(&output))
    };
    // A content of these bytes, which a message has.
    let with = |hex: &str| {
        let piece = format!("{{\"kind\":\"piece\",\"position\":0,\"data\":{{\"hex\":\"{hex}\"}}}}");
        attached(&plain, &[&blob, &piece])
    };
    let (done, said) = import("other", &with("6869ff"));
    assert!(
        !done && said.contains("a piece has 262144 bytes, and the last one what is left"),
        "{said}"
    );
    let (done, said) = import("changed", &with("6868"));
    assert!(!done, "{said}");
    assert_documented("attachment … is another one: what came has the hash …", &said);
    let (done, said) = import("lost", &attached(&plain, &[]));
    assert!(!done, "{said}");
    assert_documented("its attachment … is missing: no line of kind 'blob' has it", &said);
    let sessions = |pair: &Pair| pair.expect(200, "GET", "/api/v1/sessions", None)["data"].clone();
    assert_eq!(sessions(&pair).as_array().unwrap().len(), 1, "none is half there");
    let (done, said) = import("whole", &with("6869"));
    assert!(done, "{said}");
    let sessions = sessions(&pair);
    let made = sessions[1]["id"].as_str().unwrap();
    let again = evonic_lines(&pair, made);
    assert!(again.contains(&blob) && again.contains("{\"hex\":\"6869\"}"), "{again}");
    // What it took elsewhere is nothing here.
    let usage = pair.expect(200, "GET", &format!("/api/v1/usage?by=session&session={made}"), None);
    assert_eq!(usage["data"], serde_json::json!([]), "{usage}");
}

/// A session's export.
fn evonic_lines(pair: &Pair, session: &str) -> String {
    let output = pair.evonic(&["session", "export", session]);
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// An export of one session whose first message has an attachment, and these lines beside.
fn attached(export: &str, lines: &[&str]) -> String {
    let attachment = format!(
        "[{{\\\"kind\\\":\\\"file\\\",\\\"sha256\\\":\\\"{HI}\\\",\\\"media_type\\\":\\\"text/plain\\\",\\\"bytes\\\":2}}]"
    );
    assert!(export.contains("\"attachments\":\"[]\""), "{export}");
    let export =
        export.replacen("\"attachments\":\"[]\"", &format!("\"attachments\":\"{attachment}\""), 1);
    let mut all: Vec<String> = export.lines().map(str::to_owned).collect();
    let end = all.len() - 2;
    let mut last: serde_json::Value = serde_json::from_str(&all[end]).unwrap();
    last["lines"] = (last["lines"].as_u64().unwrap() + lines.len() as u64).into();
    all[end] = last.to_string();
    all.splice(end..end, lines.iter().map(|line| (*line).to_owned()));
    all.join("\n")
}

/// Runs `evonic`, which must fail; what it said.
fn pair_fails(pair: &Pair, arguments: &[&str]) -> String {
    let output = pair.evonic(arguments);
    assert!(!output.status.success(), "{arguments:?}: {}", text(&output));
    text(&output)
}
