//! Compactions and attachments that go along with their session, and what does not.

use sha2::{Digest, Sha256};

use super::*;
use crate::{NewPost, PIECE_BYTES, StoredBlob, tests::blobs};
use evonic_domain::{
    BudgetLimit, BudgetPeriod, BudgetSubject, CompactionKind, ContextView, ItemAddress, ItemRange,
    NewBudget, NewCompaction, Shortened, Summary, WaitReason, Waiting,
};

/// Two full pieces and some.
fn content() -> Vec<u8> {
    (0..PIECE_BYTES * 2 + 7).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

fn store(harness: &Harness, session: &SessionId, content: &[u8]) -> StoredBlob {
    let digest = Sha256::digest(content);
    let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    blobs::store(harness, session, &sha256, content)
}

/// Posts a message with an attachment; another one is stored that no message has.
pub(super) fn attach(harness: &Harness, session: &SessionId) {
    let blob = store(harness, session, &content());
    store(harness, session, format!("unused by {session}").as_bytes());
    let new = NewPost {
        content: "look".to_owned(),
        idempotency_key: Some("once".to_owned()),
        fingerprint: Some([7; 32]),
        response_format: Some(evonic_domain::ResponseFormat::JsonObject {}),
        ..blobs::with_attachment(&blob)
    };
    let session = session.clone();
    harness.write(move |writer| writer.post(&session, new));
}

/// Compacts a session in its second turn: its first turn is summarised, but for the last item.
pub(super) fn compact(harness: &Harness, lease: &Lease) {
    let (session, turn) = (lease.session_id.clone(), lease.turn_id.clone());
    let (first, here) = harness.read(move |reader| {
        let first = reader.item_after(&session, None)?.unwrap();
        Ok((first, reader.turn_place(&turn)?.position))
    });
    let last = ItemAddress { item: 2, ..first };
    let range = ItemRange { first, last };
    let new = NewCompaction {
        kind: CompactionKind::Summarised,
        range,
        tokens_before: 1000,
        tokens_after: 100,
        model: Some("small".to_owned()),
        view: ContextView {
            through: Some(last),
            summary: Some(Summary { text: "{\"turn\":1,\"item\":0}".to_owned(), range }),
            shortened: vec![Shortened { through: last, bytes: 80 }],
            at: ItemAddress { turn: here, item: 0 },
            ..ContextView::default()
        },
    };
    let lease = lease.clone();
    harness.write(move |writer| writer.compact(&lease, 1, &new, usage::tokens(7, 3), 5));
}

/// What stands where the session's last compaction points to, and what it says beside that.
fn pointed_to(harness: &Harness, session: &SessionId) -> (Vec<Option<Item>>, String) {
    let session = session.clone();
    harness.read(move |reader| {
        let view = reader.last_compaction(&session)?.unwrap().compaction.view;
        let summary = view.summary.unwrap();
        let addresses = [
            view.through.unwrap(),
            summary.range.first,
            summary.range.last,
            view.shortened[0].through,
            view.at,
        ];
        let told = reader.compactions(&session, &WHOLE)?.data.remove(0).range;
        assert_eq!(told, summary.range);
        let items: Result<_, _> =
            addresses.into_iter().map(|address| reader.item(&session, address)).collect();
        Ok((items?, summary.text))
    })
}

#[test]
fn a_view_points_to_the_same_items_wherever_turns_stand() {
    let (from, to) = (Harness::new(), Harness::new());
    let sessions = [from.talked("one"), from.talked("two")];
    // Every turn gets another position here.
    to.talked("before");
    to.talked("before, too");
    to.import(&from.export(ExportOf::Agents(None)), ImportOptions::default()).unwrap();
    for session in &sessions {
        let (items, summary) = pointed_to(&from, session);
        assert!(items.iter().all(Option::is_some), "{items:?}");
        assert_eq!(summary, "{\"turn\":1,\"item\":0}");
        assert_eq!(pointed_to(&to, session), (items, summary));
        let one = |harness: &Harness| harness.export(ExportOf::Session(session.clone()));
        assert_eq!(one(&to), one(&from));
        // Clients are told of the items that they find by these addresses.
        let id = session.clone();
        let range = to.read(move |reader| reader.compactions(&id, &WHOLE)).data.remove(0).range;
        let events = to.events(session);
        let told = events.iter().find(|event| event.name == "context.compacted").unwrap();
        let told: serde_json::Value = serde_json::from_str(&told.data).unwrap();
        assert_eq!(told["range"], serde_json::to_value(range).unwrap());
    }
}

#[test]
fn contents_are_shared_with_those_that_are_there_and_go_with_the_last() {
    let (from, to) = (Harness::new(), Harness::new());
    let sessions = [from.talked("one"), from.talked("two")];
    let ours = to.talked("ours");
    let text = from.export(ExportOf::Agents(None));
    to.import(&text, ImportOptions::default()).unwrap();
    // Its own unused one beside the one that all three have.
    assert_eq!((blobs::count(&to, "blobs"), blobs::count(&to, "session_blobs")), (2, 4));
    let (id, sha256) = (sessions[1].clone(), blob_of(&text));
    let mut read = Vec::new();
    loop {
        let (id, sha256, offset) = (id.clone(), sha256.clone(), read.len() as u64);
        let piece = to.read(move |reader| reader.blob_piece(&id, &sha256, offset));
        if piece.is_empty() {
            break;
        }
        read.extend_from_slice(&piece);
    }
    assert!(read == content());
    for session in [&ours, &sessions[0], &sessions[1]] {
        assert!(blobs::count(&to, "blobs") > 0);
        let session = session.clone();
        to.write(move |writer| writer.delete_session(&session));
    }
    assert_eq!((blobs::count(&to, "blobs"), blobs::count(&to, "blob_pieces")), (0, 0));
}

/// The hash of an export's first content.
fn blob_of(text: &str) -> String {
    let line = text.lines().find(|line| line.starts_with("{\"kind\":\"blob\"")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    line["sha256"].as_str().unwrap().to_owned()
}

#[test]
fn a_content_that_is_not_what_its_line_says_leaves_nothing() {
    let (from, to) = (Harness::new(), Harness::new());
    // What a hash names is there, and nobody gets it who does not bring it.
    let theirs = to.session().id;
    store(&to, &theirs, &content());
    let before = (blobs::count(&to, "blobs"), blobs::count(&to, "blob_pieces"));
    let session = from.talked("one");
    let text = from.export(ExportOf::Agents(None));
    let sha256 = blob_of(&text);
    let kinds = |kind: &str| format!("{{\"kind\":\"{kind}\"");
    let at = |kind: &str| text.lines().position(|line| line.starts_with(&kinds(kind))).unwrap() + 1;
    let (blob, message) = (at("blob"), at("message"));
    let without = |kinds: &[String]| {
        let kept = text.lines().filter(|line| !kinds.iter().any(|kind| line.starts_with(kind)));
        kept.collect::<Vec<_>>().join("\n")
    };
    let broken = |from: &str, into: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, into, 1)
    };
    let piece = "\"data\":{\"base64\":\"";
    for (text, wanted) in [
        (
            broken("\"data\":{\"base64\":\"AAEC", "\"data\":{\"base64\":\"AAED"),
            format!("line {}: attachment {sha256} is another one: ", blob + 3),
        ),
        (
            broken(piece, "\"data\":{\"base64\":\"!"),
            format!("line {}: field 'data' is no", blob + 1),
        ),
        (broken(piece, "\"data\":{\"base64\":\"AAAA"), format!("line {}: a piece has ", blob + 1)),
        (
            broken("{\"kind\":\"piece\",\"position\":1", "{\"kind\":\"piece\",\"position\":2"),
            format!(
                "line {}: attachment {sha256} has 524295 bytes, of which 262144 came",
                blob + 2
            ),
        ),
        (without(&[kinds("piece")]), format!("line {}: attachment {sha256} has", blob + 1)),
        (without(&[kinds("blob")]), format!("line {blob}: a piece that is of no attachment")),
        (
            broken(&kinds("blob"), "{\"kind\":\"blob\",\"is_used\":0"),
            "field 'is_used' is".to_owned(),
        ),
    ] {
        let refused = to.import(&text, ImportOptions::default()).unwrap_err();
        assert!(refused.contains(&wanted), "{wanted}: {refused}");
        assert_eq!((blobs::count(&to, "blobs"), blobs::count(&to, "blob_pieces")), before);
    }
    let lost = without(&[kinds("blob"), kinds("piece")]);
    let lines = lost.lines().find(|line| line.starts_with(&kinds("session_end"))).unwrap();
    let mut end: serde_json::Value = serde_json::from_str(lines).unwrap();
    end["lines"] = (end["lines"].as_u64().unwrap() - 4).into();
    let lost = lost.replace(lines, &end.to_string());
    let refused = to.import(&lost, ImportOptions::default()).unwrap_err();
    let wanted = format!("its attachment {sha256} is missing");
    assert!(refused.contains(&wanted) && message > blob, "{refused}");
    let sessions = to.read(|reader| reader.sessions(None, &WHOLE)).data;
    assert_eq!(sessions.iter().map(|session| &session.id).collect::<Vec<_>>(), [&theirs]);
    to.import(&text, ImportOptions::default()).unwrap();
    let id = session;
    assert_eq!(to.read(move |reader| reader.session_blobs(&id)).len(), 1);
}

#[test]
fn a_view_of_what_is_not_there_is_refused() {
    let (from, to) = (Harness::new(), Harness::new());
    from.talked("one");
    let text = from.export(ExportOf::Agents(None));
    let line = text.lines().position(|line| line.starts_with("{\"kind\":\"compaction\"")).unwrap();
    let line = line + 1;
    for (from, into, wanted) in [
        ("{\\\"turn\\\":1,", "{\\\"turn\\\":3,", "turn number 3 is not in this session"),
        (
            "{\"kind\":\"compaction\",\"number\":1",
            "{\"kind\":\"compaction\",\"number\":2",
            "'number'",
        ),
        ("\\\"tokens_before\\\":", "\\\"tokens_ago\\\":", "field 'data': missing field"),
    ] {
        // The line of a compaction is the first that has these.
        assert!(text.contains(from), "{from}");
        let refused = to.import(&text.replacen(from, into, 1), ImportOptions::default());
        let refused = refused.unwrap_err();
        assert!(
            refused.starts_with(&format!("line {line}: ")) && refused.contains(wanted),
            "{refused}"
        );
    }
}

#[test]
fn an_import_adds_nothing_to_a_bill_and_gives_nobody_work() {
    let (from, to) = (Harness::new(), Harness::new());
    let session = from.talked("one");
    // One that waits, with one behind it; one that runs.
    let waiting = from.running(3).lease;
    let behind = from.post(&waiting.session_id, "next");
    let (own, until) = (waiting.clone(), column::after(Duration::from_secs(3600)));
    let why = Waiting { reason: WaitReason::RateLimit, until, message: "later".to_owned() };
    from.write(move |writer| writer.wait_turn(&own, &why));
    let running = from.running(4).lease;
    let text = from.export(ExportOf::Agents(None));
    assert!(blobs::count(&from, "usage") > 0);
    let budget = NewBudget {
        name: "all".parse().unwrap(),
        subject: BudgetSubject::All,
        of: None,
        period: BudgetPeriod::Month,
        limit: BudgetLimit::Tokens(10),
        on_reached: None,
    };
    let budget = to.write(move |writer| writer.create_budget(budget));
    // A line that says of itself what only a worker of this database can.
    let forged = |from: &str, into: &str| {
        assert!(text.contains(from), "{from}");
        to.import(&text.replacen(from, into, 1), ImportOptions::default()).unwrap_err()
    };
    for field in
        ["\"Owner\":1", "\"owner\":1", "\"rowid\":9223372036854775807", "\"STATE\":\"queued\""]
    {
        let refused = forged("{\"kind\":\"turn\",", &format!("{{\"kind\":\"turn\",{field},"));
        assert!(refused.contains("is not known here"), "{field}: {refused}");
    }
    // A file of before has what its worker noted; nothing comes of it.
    let old = "{\"kind\":\"turn\",\"claimed_at\":\"2026-01-01T00:00:00.000Z\",\"claimed_uptime\":5,\
               \"last_owner\":9,\"wait_ends\":1,\"wait_until\":\"2999-01-01T00:00:00.000Z\",\
               \"wait_reason\":\"rate_limit\",\"wait_message\":\"later\",\"takeovers\":2,";
    let text = text.replace("{\"kind\":\"turn\",", old);
    assert_eq!(to.import(&text, ImportOptions::default()).unwrap().sessions, 3);
    assert_eq!(blobs::count(&to, "usage"), 0);
    let view = to.read(move |reader| reader.budget_view(reader.budget(budget.id.as_str())?));
    assert!(view.state.spent.iter().all(|spent| spent.spent == 0), "{view:?}");
    assert_eq!(to.read(|reader| reader.next_wait()), None);
    to.write(|writer| writer.resume_waits());
    assert!(to.claim(9).is_none());
    assert_eq!(to.read(|reader| reader.backlog()), (0, 0));
    assert_eq!(to.read(|reader| reader.fatal_turns(10)), []);
    for id in [waiting.turn_id, behind, running.turn_id] {
        let turn = to.turn(&id);
        assert_eq!((turn.state, turn.waiting, turn.owner), (TurnState::Cancelled, None, None));
    }
    // What it took stands with it, as that of where it ran.
    let read = |harness: &Harness, session: &SessionId| {
        let id = session.clone();
        harness.read(move |reader| {
            let (session, turns) = (reader.session(&id)?, reader.turns(&id, &WHOLE)?.data);
            Ok((session.usage, session.cost, turns.into_iter().map(|turn| turn.cost).sum::<u64>()))
        })
    };
    assert_eq!(read(&to, &session), read(&from, &session));
    assert_eq!(read(&to, &session).1, 60);
    // A file of before says it of the turns only.
    let line = text.lines().find(|line| line.contains(session.as_str())).unwrap();
    let mut fields: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(line).unwrap();
    fields.remove("usage").unwrap();
    fields.remove("cost").unwrap();
    let text = text.replace(line, &serde_json::Value::Object(fields).to_string());
    let elsewhere = Harness::new();
    elsewhere.import(&text, ImportOptions::default()).unwrap();
    assert_eq!(read(&elsewhere, &session), read(&from, &session));
}
