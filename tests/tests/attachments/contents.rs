//! Contents: stored once, seen by their session alone, gone with the last one that refers to them.

use evonic_tests::troubleshooting::assert_documented;
use serde_json::json;

use crate::client::{count, png, post, refused, says, upload, with_model};

#[test]
fn a_content_is_stored_once_and_goes_with_its_last_session() {
    let (_server, pair) = with_model(vec![says("I see.")], "");
    let (first, second) = (pair.session("seer"), pair.session("seer"));
    let image = png(600_000);
    let mut hashes = Vec::new();
    for session in [&first, &first, &second] {
        let answer = upload(&pair, session, "image/png", &image);
        assert_eq!(answer.status, 201, "{}", answer.text());
        let blob = answer.json();
        assert_eq!((&blob["bytes"], &blob["media_type"]), (&json!(600_000), &json!("image/png")));
        hashes.push(blob["sha256"].as_str().expect("a hash").to_owned());
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]));
    assert_eq!(count(&pair, "SELECT COUNT(*) FROM blobs"), 1);
    assert_eq!(count(&pair, "SELECT COUNT(*) FROM blob_pieces"), 3);

    let message = json!({"content": [
        {"type": "text", "text": "what is this?"},
        {"type": "image", "sha256": hashes[0], "name": "screen.png"},
    ]});
    let posted = post(&pair, &first, &message);
    assert_eq!(posted.status, 202, "{}", posted.text());
    let stored = posted.json()["message"].clone();
    assert_eq!(stored["content"], "what is this?");
    assert_eq!(stored["attachments"][0]["name"], "screen.png");
    let _ended = pair.wait_for_turn(posted.json()["turn"]["id"].as_str().expect("an id"));
    let shown = pair.evonic(&["session", "show", &first]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("[screen.png: image/png, "), "{shown}");

    let path = format!("/api/v1/sessions/{first}/blobs/{}", hashes[0]);
    let read = pair.request("GET", &path, None).expect("an answer");
    assert_eq!((read.status, read.header("content-type")), (200, Some("image/png")));
    assert!(read.body == image, "it is the same");

    for (session, left) in [(&second, 1), (&first, 0)] {
        let path = format!("/api/v1/sessions/{session}");
        let _gone = pair.expect(204, "DELETE", &path, None);
        assert_eq!(count(&pair, "SELECT COUNT(*) FROM blobs"), left);
    }
    assert_eq!(count(&pair, "SELECT COUNT(*) FROM blob_pieces"), 0);
}

#[test]
fn a_hash_opens_no_session_but_those_that_have_the_content() {
    let (_server, pair) = with_model(vec![says("I see.")], "");
    let (ours, theirs) = (pair.session("seer"), pair.session("seer"));
    let hash = upload(&pair, &theirs, "", &png(100)).json()["sha256"].clone();
    let hash = hash.as_str().expect("a hash");
    for odd in [hash, "00", "..", "%2e%2e", &hash.to_uppercase()] {
        let path = format!("/api/v1/sessions/{ours}/blobs/{odd}");
        assert_eq!(pair.request("GET", &path, None).expect("an answer").status, 404, "{odd}");
    }
    let message = json!({"content": [{"type": "image", "sha256": hash}]});
    let (field, detail) = refused(&pair, &ours, &message, 422);
    assert_eq!(field, "content[0].sha256");
    assert_documented("this session has no such content; upload it first", &detail);
}

#[test]
fn what_is_not_what_it_is_said_to_be_or_too_much_is_refused() {
    let bounds =
        "[attachments]\nmax_bytes = 500000\nmax_session_bytes = 700000\nmax_per_message = 2\n";
    let (server, pair) = with_model(vec![says("I see.")], bounds);
    let session = pair.session("seer");
    let refusal = |media_type: &str, content: &[u8]| {
        let answer = upload(&pair, &session, media_type, content);
        (answer.status, answer.text())
    };
    let (status, text) = refusal("image/jpeg", &png(100));
    assert_eq!(status, 422, "{text}");
    assert_documented("it is said to be …, and is …", &text);
    assert_eq!(refusal("text/plain", b"\xff\xfe").0, 422);
    assert_eq!(refusal("no type", b"x").0, 400);
    assert_eq!(refusal("", b"").0, 422);
    let (status, text) = refusal("image/png", &png(500_001));
    assert_eq!(status, 413, "{text}");
    assert_documented("an attachment may have … bytes (attachments.max_bytes)", &text);
    assert_eq!(refusal("image/png", &png(400_000)).0, 201);
    let (status, text) = refusal("image/png", &png(400_001));
    assert_eq!(status, 422, "{text}");
    assert_documented("refers to … bytes of attachments, and may refer to …", &text);
    let left = "SELECT COUNT(*) FROM blobs WHERE sha256 IS NULL";
    assert_eq!(count(&pair, left), 0, "what was refused is gone");

    let data = |text: &str| json!({"type": "file", "data": text, "name": "notes.txt"});
    let many = json!({"content": [data("aGk="), data("aGk="), data("aGk=")]});
    assert_eq!(refused(&pair, &session, &many, 422).0, "content");
    let (field, _) = refused(&pair, &session, &json!({"content": [data("!!")]}), 422);
    assert_eq!(field, "content[0].data");
    let zip = json!({"content": [{"type": "file", "data": "UEsDBAA=", "name": "a.zip"}]});
    let (field, detail) = refused(&pair, &session, &zip, 422);
    assert_eq!(field, "content[0]");
    assert_documented("no model takes a file of type …, but text, JSON and PDF", &detail);
    let runbook = pair.session("runbook");
    let (_, detail) = refused(&pair, &runbook, &json!({"content": [data("aGk=")]}), 422);
    assert_documented("model runbook takes text alone", &detail);
    assert!(server.requests().is_empty());
    let posted = post(&pair, &session, &json!({"content": [data("aGk=")]}));
    assert_eq!(posted.status, 202, "{}", posted.text());
    assert_eq!(posted.json()["message"]["attachments"][0]["media_type"], "text/plain");
}

#[test]
fn a_text_that_no_request_can_hold_is_refused_before_a_turn() {
    let (server, pair) = with_model(vec![says("I see.")], "");
    let session = pair.session("seer");
    let blob = upload(&pair, &session, "text/plain", &vec![b'a'; (1 << 20) + 1]).json();
    let message = json!({"content": [{"type": "file", "sha256": blob["sha256"]}]});
    let (field, detail) = refused(&pair, &session, &message, 422);
    assert_eq!(field, "content[0]");
    assert_documented("a model is shown … bytes of a text, and it has …", &detail);
    assert!(server.requests().is_empty());
}

#[test]
fn the_console_attaches_files() {
    let (_server, pair) = with_model(vec![says("I see.")], "");
    let file = pair.folder().join("shot.png");
    std::fs::write(&file, png(300_000)).expect("a file");
    let path = file.to_str().expect("it is UTF-8");
    let said = pair.evonic(&["chat", "seer", "what is this?", "--attach", path]);
    assert!(said.status.success(), "{said:?}");
    assert_eq!(count(&pair, "SELECT bytes FROM blobs"), 300_000);
    let used = "SELECT COUNT(*) FROM session_blobs WHERE is_used = 1";
    assert_eq!(count(&pair, used), 1);
    let sessions = count(&pair, "SELECT COUNT(*) FROM sessions");
    let pipe = pair.folder().join("pipe");
    let made = rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR);
    made.expect("a pipe");
    let (pipe, folder) = (pipe.display().to_string(), pair.folder().display().to_string());
    for (file, why) in [
        ("/nowhere/x", "No such file"),
        ("/dev/zero", "it is a device or pipe, and no regular file"),
        (&pipe, "it is a device or pipe, and no regular file"),
        (&folder, "it is a folder, and no regular file"),
    ] {
        let refused = pair.evonic(&["chat", "seer", "and this?", "--attach", file]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains(&format!("{file} cannot be read: {why}")), "{said}");
    }
    // What the model is not shown is known only to the service.
    let archive = pair.folder().join("a.zip");
    std::fs::write(&archive, b"PK\x03\x04\xff\0").expect("a file");
    let refused =
        pair.evonic(&["chat", "seer", "and?", "--attach", &archive.display().to_string()]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("no model takes a file of type application/octet-stream"), "{said}");
    let left = count(&pair, "SELECT COUNT(*) FROM sessions WHERE hidden IS NULL");
    assert_eq!(left, sessions, "nothing is made for them");
}

/// Neither the console nor the service takes more of it than is allowed.
#[test]
fn a_file_that_is_too_large_is_refused_before_it_is_sent() {
    let (_server, pair) = with_model(vec![says("I see.")], "");
    let file = pair.folder().join("large");
    let sparse = std::fs::File::options().write(true).create_new(true).open(&file);
    sparse.and_then(|file| file.set_len(1 << 40)).expect("a file with a hole");
    let path = file.to_str().expect("it is UTF-8");
    let said = pair.evonic(&["chat", "seer", "what is this?", "--attach", path]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_documented("an attachment may have … bytes (attachments.max_bytes)", &said);
    assert_eq!(count(&pair, "SELECT COUNT(*) FROM blobs"), 0);
}
