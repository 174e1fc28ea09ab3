//! Sessions that are exported, imported, and exported again.

mod contents;

use super::*;
use evonic_domain::Role;

impl Harness {
    fn export(&self, of: ExportOf) -> String {
        let mut export = Export::new(of);
        let mut text = String::new();
        loop {
            let (back, piece) = self.read(move |reader| {
                let piece = export.next_piece(reader)?;
                Ok((export, piece))
            });
            export = back;
            match piece {
                Some(piece) => text.push_str(&piece),
                None => return text,
            }
        }
    }

    fn import(&self, text: &str, options: ImportOptions) -> Result<Imported, String> {
        let mut importer = Importer::new(self.store.clone(), Origin::inside(), options, 1);
        self.wait(async {
            for line in text.lines() {
                importer.take(line.as_bytes()).await.map_err(|error| error.to_string())?;
            }
            importer.end().await.map_err(|error| error.to_string())
        })
    }

    /// A session with a turn that used a tool, one that failed, and one that runs.
    fn talked(&self, title: &str) -> SessionId {
        let claimed = self.running(7);
        let session = claimed.lease.session_id.clone();
        contents::attach(self, &session);
        let (lease, title) = (claimed.lease, title.to_owned());
        let id = session.clone();
        self.write(move |writer| {
            writer.change_session(&id, SessionChange { title: Some(title) })?;
            writer.append(&lease, vec![delta("Let me "), delta("look \u{1f600}\u{2028}")])?;
            let text = "Let me look \u{1f600}\u{2028}".to_owned();
            writer.record_reply(
                &lease,
                NewReply { text, tool_calls: vec![call("c1")], ..NewReply::default() },
            )?;
            writer.start_call(&lease, &pending("c1", "cmd"))?;
            writer.show_output(&lease, "c1", "out\n".to_owned(), 4)?;
            writer.finish_call(&lease, &call("c1"), Outcome::Ok, "out\n[exit 0]".to_owned())?;
            writer.record_reply(
                &lease,
                NewReply {
                    text: "Done".to_owned(),
                    usage: usage::tokens(30, 4),
                    cost: 55,
                    model: "main".to_owned(),
                    ..NewReply::default()
                },
            )?;
            writer.end_turn(&lease, completed("Done"))
        });
        let lease = self.claim(8).unwrap().lease;
        contents::compact(self, &lease);
        let error = TurnError::new(TurnErrorCode::ModelRefused, "no");
        self.write(move |writer| writer.end_turn(&lease, TurnEnd::Failed(error)));
        session
    }
}

#[test]
fn what_was_imported_is_exported_with_the_same_bytes() {
    let (from, to) = (Harness::new(), Harness::new());
    for title in ["one", "two", "a \"quoted\" one\u{7f}"] {
        from.talked(title);
    }
    let text = from.export(ExportOf::Agents(None));
    assert!(text.lines().count() > 40 && text.ends_with("{\"kind\":\"end\",\"sessions\":3}\n"));
    let imported = to.import(&text, ImportOptions::default()).unwrap();
    assert_eq!((imported.sessions, imported.skipped), (3, 0));
    assert_eq!(to.export(ExportOf::Agents(None)), text);
    for kind in ["item", "call", "compaction", "blob", "piece", "message", "event"] {
        assert!(text.contains(&format!("{{\"kind\":\"{kind}\"")), "{kind}");
    }
    let last = to.read(|reader| reader.audit(&AuditQuery::default(), &WHOLE)).data.pop().unwrap();
    assert_eq!(last.action.name(), "session.import");
    // Once more: refused, passed over, or under other identifiers.
    let refused = to.import(&text, ImportOptions::default()).unwrap_err();
    assert!(
        refused.starts_with("line 2: session ses_") && refused.contains("there already"),
        "{refused}"
    );
    let skip = ImportOptions { existing: Existing::Skip, ..ImportOptions::default() };
    let skipped = to.import(&text, skip).unwrap();
    assert_eq!((skipped.sessions, skipped.skipped), (0, 3));
    let anew = ImportOptions { existing: Existing::NewIds, agent: Some("runbook".to_owned()) };
    assert_eq!(to.import(&text, anew).unwrap().sessions, 3);
    let sessions = to.read(|reader| reader.sessions(None, &WHOLE)).data;
    assert_eq!(sessions.len(), 6);
    let (id, copy) = (sessions[5].id.clone(), sessions[5].id.clone());
    let (messages, turns) =
        to.read(move |reader| Ok((reader.messages(&id, &WHOLE)?, reader.turns(&id, &WHOLE)?)));
    assert_eq!(messages.data.len(), 3);
    for event in to.events(&copy) {
        let data: serde_json::Value = serde_json::from_str(&event.data).unwrap();
        assert!(turns.data.iter().any(|turn| data["turn_id"] == turn.id.as_str()), "{data}");
        if let Some(message) = data.get("message_id") {
            assert!(messages.data.iter().any(|known| message == known.id.as_str()), "{data}");
        }
    }
}

#[test]
fn a_turn_that_ran_is_cancelled_where_it_is_imported() {
    let (from, to) = (Harness::new(), Harness::new());
    let claimed = from.running(3);
    let (session, lease) = (claimed.lease.session_id.clone(), claimed.lease);
    from.write(move |writer| {
        writer.record_reply(
            &lease,
            NewReply { text: String::new(), tool_calls: vec![call("c1")], ..NewReply::default() },
        )?;
        writer.start_call(&lease, &pending("c1", "cmd"))
    });
    from.post(&session, "next");
    to.import(&from.export(ExportOf::Session(session.clone())), ImportOptions::default()).unwrap();
    let id = session.clone();
    let turns = to.read(move |reader| reader.turns(&id, &WHOLE)).data;
    assert!(turns.iter().all(|turn| turn.state == TurnState::Cancelled), "{turns:?}");
    let names = to.names(&session);
    assert_eq!(&names[names.len() - 3..], ["tool.completed", "turn.cancelled", "turn.cancelled"]);
    to.post(&session, "go on");
    let turn = to.claim(9).unwrap().turn.id;
    let items = to.read(move |reader| reader.transcript(&turn));
    assert!(matches!(items[2], Item::ToolResult { outcome: Outcome::Cancelled, .. }), "{items:?}");
    let id = session;
    let messages = to.read(move |reader| reader.messages(&id, &WHOLE)).data;
    assert!(messages.iter().all(|message| message.role == Role::User));
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_leaves_no_half_session() {
    let (from, to) = (Harness::new(), Harness::new());
    from.talked("one");
    let text = from.export(ExportOf::Agents(None));
    let lines: Vec<&str> = text.lines().collect();
    let broken = |from: &str, into: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, into, 1)
    };
    let short = lines[..lines.len() - 5].join("\n");
    let lost = [&lines[..9], &lines[10..]].concat().join("\n");
    for (text, wanted) in [
        (broken("\"version\":1", "\"version\":2"), "line 1: it is of version 2"),
        (broken("\"schema\":", "\"schema\":9"), "line 1: it is of schema 9"),
        (lines[1..].join("\n"), "line 1: no export of evonic"),
        (
            broken("\"agent\":\"runbook\"", "\"agent\":\"nobody\""),
            "line 2: there is no agent nobody",
        ),
        (broken("\"kind\":\"call\"", "\"kind\":\"dream\""), "lines of kind 'dream' are not known"),
        (broken("\"steps\":", "\"stops\":"), "line 3: this turn is not stored"),
        (broken("\"state\":\"completed\"", "\"state\":\"odd\""), "line 3: this turn is not stored"),
        (
            broken("{\\\"type\\\":\\\"user\\\"", "{\\\"type\\\":\\\"ghost\\\""),
            "line 4: field 'data': ",
        ),
        (short, "the file ends too early"),
        (lost, "are missing"),
        (broken("{\"kind\":\"item\"", "{{"), "line 4: no JSON object"),
    ] {
        let refused = to.import(&text, ImportOptions::default()).unwrap_err();
        assert!(refused.contains(wanted), "{wanted}: {refused}");
        let left = to.read(|reader| {
            reader.one("count", "SELECT COUNT(*) AS count FROM sessions", [], |row| {
                row.get::<_, i64>("count")
            })
        });
        assert_eq!(left, 0, "{wanted}");
    }
    to.import(&text, ImportOptions::default()).unwrap();
}

#[test]
fn a_session_that_is_being_imported_is_not_there_for_anybody() {
    let (from, to) = (Harness::new(), Harness::new());
    let session = from.talked("one");
    let text = from.export(ExportOf::Agents(None));
    let mut importer =
        Importer::new(to.store.clone(), Origin::inside(), ImportOptions::default(), 4);
    let half: Vec<_> = text.lines().take(6).collect();
    to.wait(async {
        for line in half {
            importer.take(line.as_bytes()).await.unwrap();
        }
    });
    let id = session.clone();
    assert_missing(to.try_read(move |reader| reader.session(&id)), "session");
    assert!(to.store.is_making(&session));
    let id = session.clone();
    let posted = to.try_write(move |writer| writer.post_message(&id, "hi", None, 9, None));
    assert_missing(posted, "session");
    assert_eq!(to.read(|reader| reader.sessions(None, &WHOLE)).data, []);
    let keep = retention::keep(None);
    let page = to.read(move |reader| reader.upkeep("", &keep));
    assert_eq!(page.hidden, [(session.clone(), "import 4".to_owned())]);
    drop(importer);
    assert!(!to.store.is_making(&session));
}

/// What has no line in an export would be lost by it.
#[test]
fn every_table_that_hangs_on_a_session_is_exported() {
    let harness = Harness::new();
    let found = harness.read(|reader| {
        reader.all(
            "read schema",
            "SELECT DISTINCT tables.name FROM sqlite_schema AS tables
             JOIN pragma_foreign_key_list(tables.name) AS keys
             WHERE tables.type = 'table' AND keys.\"table\" IN ('sessions', 'turns', 'blobs')",
            [],
            |row| row.get::<_, String>("name"),
        )
    });
    let mut found = found;
    let mut known = crate::transfer::tables();
    found.sort();
    known.sort_unstable();
    assert_eq!(found, known);
}
