//! Agents, sessions and messages: made, read, listed, changed, deleted.

use super::*;

#[test]
fn an_agent_is_made_read_changed_and_deleted() {
    let harness = Harness::new();
    let tools = Some(vec!["bash".to_owned(), "read_file".to_owned()]);
    let new = NewAgent {
        instructions: "Be brief.".to_owned(),
        tools: tools.clone(),
        ..new_agent("clerk")
    };
    let agent = harness.write(|writer| writer.create_agent(new));
    assert_eq!((agent.name.as_str(), &agent.tools), ("clerk", &tools));
    let (id, name) = (agent.id.clone(), agent.name.clone());
    let read =
        harness.read(move |reader| Ok((reader.agent(id.as_str())?, reader.agent(name.as_str())?)));
    assert_eq!(read, (agent.clone(), agent.clone()));

    let change = |change: AgentChange| {
        let id = agent.id.clone();
        harness.try_write(move |writer| writer.change_agent(&id, change))
    };
    let changed =
        change(AgentChange { model: Some("big".to_owned()), ..AgentChange::default() }).unwrap();
    assert_eq!((changed.model.as_str(), &changed.tools), ("big", &tools), "the rest stays");
    let changed = change(AgentChange { tools: Some(None), ..AgentChange::default() }).unwrap();
    assert_eq!(changed.tools, None);
    let named = |name: &str| AgentChange { name: name.parse().ok(), ..AgentChange::default() };
    assert!(change(named("clerk")).is_ok(), "its own name is not taken");
    assert_conflict(change(named("runbook")), "name_taken");
    let changed = change(named("typist")).unwrap();
    let id = agent.id.clone();
    assert_eq!(harness.read(move |reader| reader.agent(id.as_str())), changed);

    let id = agent.id.clone();
    harness.write(move |writer| writer.delete_agent(&id));
    assert_missing(change(named("nobody")), "agent");
    let id = agent.id.clone();
    assert_missing(harness.try_write(move |writer| writer.delete_agent(&id)), "agent");
    assert_missing(harness.try_read(move |reader| reader.agent(agent.id.as_str())), "agent");
    assert_missing(harness.try_read(move |reader| reader.agent(agent.name.as_str())), "agent");
}

#[test]
fn a_name_belongs_to_one_agent() {
    let harness = Harness::new();
    let twice = harness.try_write(|writer| writer.create_agent(new_agent("runbook")));
    assert_conflict(twice, "name_taken");
}

#[test]
fn a_session_is_made_by_name_or_identifier_changed_and_deleted() {
    let harness = Harness::new();
    let session = harness.session();
    let agent = session.agent_id.to_string();
    let other = harness.write(move |writer| {
        writer.create_session(NewSession { agent, title: "by identifier".to_owned() })
    });
    assert_eq!(other.agent_id, session.agent_id);
    let nobody = harness.try_write(|writer| writer.create_session(new_session("nobody")));
    assert_missing(nobody, "agent");

    let id = other.id.clone();
    let change = SessionChange { title: Some("renamed".to_owned()) };
    let changed = harness.write(move |writer| writer.change_session(&id, change));
    assert_eq!(changed.title, "renamed");
    let id = other.id.clone();
    let same = harness.write(move |writer| writer.change_session(&id, SessionChange::default()));
    assert_eq!(same.title, "renamed");
    let id = other.id.clone();
    assert_eq!(harness.read(move |reader| reader.session(&id)), same);

    let id = other.id.clone();
    harness.write(move |writer| writer.delete_session(&id));
    let id = other.id.clone();
    assert_missing(harness.try_read(move |reader| reader.session(&id)), "session");
    let id = other.id.clone();
    assert_missing(harness.try_write(move |writer| writer.delete_session(&id)), "session");
    let change = SessionChange::default();
    assert_missing(
        harness.try_write(move |writer| writer.change_session(&other.id, change)),
        "session",
    );
}

/// Reads a list page by page; every page but the last is full.
fn pages<T>(limit: usize, mut page: impl FnMut(Paging) -> List<T>) -> Vec<T> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let paging = Paging { limit: u32::try_from(limit).unwrap(), after };
        let List { data, next } = page(paging);
        assert!(data.len() == limit || (next.is_none() && data.len() < limit));
        all.extend(data);
        match next {
            Some(cursor) => after = Some(cursor),
            None => return all,
        }
    }
}

#[test]
fn a_page_of_long_entries_ends_early_and_leads_on() {
    let harness = Harness::new();
    let session = harness.session();
    let long = "x".repeat(400 << 10);
    for _ in 0..5 {
        harness.post(&session.id, &long);
    }
    let mut sizes = Vec::new();
    let mut after = None;
    loop {
        let (id, paging) = (session.id.clone(), Paging { limit: 200, after });
        let List { data, next } = harness.read(move |reader| reader.messages(&id, &paging));
        assert!(data.iter().all(|message| message.content.len() == long.len()));
        sizes.push(data.len());
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [3, 2], "a page ends with the entry that fills a mebibyte");
}

#[test]
fn lists_are_whole_and_in_order_at_every_page_size() {
    let harness = Harness::new();
    let session = harness.session();
    for number in 0..6 {
        harness.post(&session.id, &number.to_string());
        harness.write(move |writer| writer.create_agent(new_agent(&format!("agent-{number}"))));
        harness.write(move |writer| writer.create_session(new_session(&format!("agent-{number}"))));
        harness.session();
    }
    let owner = session.agent_id.clone();
    for limit in 1..9 {
        let agents =
            pages(limit, |paging| harness.read(move |reader| reader.agents(None, &paging)));
        assert_eq!(agents.len(), 7);
        assert!(agents.is_sorted_by(|a, b| a.id < b.id && a.created_at <= b.created_at));
        let sessions =
            pages(limit, |paging| harness.read(move |reader| reader.sessions(None, &paging)));
        assert_eq!(sessions.len(), 13);
        assert!(sessions.is_sorted_by(|a, b| a.id < b.id));
        let own = pages(limit, |paging| {
            let owner = owner.clone();
            harness.read(move |reader| reader.sessions(Some(std::slice::from_ref(&owner)), &paging))
        });
        let expected: Vec<_> =
            sessions.into_iter().filter(|session| session.agent_id == owner).collect();
        assert_eq!((own.len(), &own), (7, &expected));
        let messages = pages(limit, |paging| {
            let id = session.id.clone();
            harness.read(move |reader| reader.messages(&id, &paging))
        });
        let contents: Vec<_> = messages.iter().map(|message| message.content.as_str()).collect();
        assert_eq!(contents, ["0", "1", "2", "3", "4", "5"]);
        let turns = pages(limit, |paging| {
            let id = session.id.clone();
            harness.read(move |reader| reader.turns(&id, &paging))
        });
        assert!(turns.iter().map(|turn| &turn.id).eq(messages.iter().map(|it| &it.turn_id)));
    }
}

#[test]
fn a_cursor_outlives_the_session_that_it_names() {
    let harness = Harness::new();
    let (first, second) = (harness.session().id, harness.session().id);
    let paging = Paging { limit: 10, after: Some(Cursor(first.to_string())) };
    harness.write(move |writer| writer.delete_session(&first));
    let left = harness.read(move |reader| reader.sessions(None, &paging)).data;
    assert!(left.iter().map(|session| &session.id).eq([&second]), "{left:?}");
}

#[test]
fn odd_cursors_and_limits_are_no_faults() {
    let harness = Harness::new();
    let (session, other) = (harness.session(), harness.session());
    harness.post(&session.id, "here");
    let foreign = harness.post(&other.id, "there");
    let at = |cursor: &str| Paging { limit: 10, after: Some(Cursor(cursor.to_owned())) };
    for cursor in ["", "nonsense", foreign.as_str(), "trn_00000000000000000000000000000000"] {
        let (id, paging) = (session.id.clone(), at(cursor));
        let (turns, messages) = harness
            .read(move |reader| Ok((reader.turns(&id, &paging)?, reader.messages(&id, &paging)?)));
        assert_eq!((turns.data.len(), messages.data.len()), (0, 0), "{cursor}");
    }
    let after_all = at("zzz");
    assert_eq!(harness.read(move |reader| reader.agents(None, &after_all)).data, []);
    for (limit, wanted) in [(0, 1), (u32::MAX, 2)] {
        let paging = Paging { limit, after: None };
        let page = harness.read(move |reader| reader.sessions(None, &paging));
        assert_eq!(page.data.len(), wanted);
        assert_eq!(page.next.is_some(), limit == 0);
    }
    let unknown = SessionId::new();
    let id = unknown.clone();
    assert_missing(harness.try_read(move |reader| reader.messages(&id, &WHOLE)), "session");
    assert_missing(harness.try_read(move |reader| reader.turns(&unknown, &WHOLE)), "session");
}

#[test]
fn a_key_makes_posting_again_harmless() {
    let harness = Harness::new();
    let (session, other) = (harness.session(), harness.session());
    let post = |session: &SessionId, content: &'static str, key: Option<&'static str>| {
        let session = session.clone();
        harness.try_write(move |writer| writer.post_message(&session, content, key, 3, None))
    };
    let first = post(&session.id, "hello", Some("k")).unwrap();
    assert_eq!(first.turn.state, TurnState::Queued);
    assert_eq!(harness.turn(&first.turn.id), first.turn);
    assert_eq!(post(&session.id, "hello", Some("k")).unwrap(), first);
    assert_conflict(post(&session.id, "bye", Some("k")), "key_reused");
    assert_ne!(post(&other.id, "hello", Some("k")).unwrap(), first, "a key is one session's");
    assert_ne!(post(&session.id, "hello", None).unwrap(), first);
    assert_ne!(post(&session.id, "hello", None).unwrap(), first);
    assert_conflict(post(&session.id, "hello", None), "queue_full");
    assert_eq!(post(&session.id, "hello", Some("k")).unwrap(), first, "also when it is full");
    assert_eq!(harness.names(&session.id), ["message.created"; 3]);
    assert_missing(post(&SessionId::new(), "hello", None), "session");

    // The answer stays what it was, whatever became of the turn.
    let claimed = harness.claim(1).unwrap();
    assert_eq!(claimed.turn.id, first.turn.id);
    harness.write(move |writer| writer.end_turn(&claimed.lease, completed("done")));
    assert_eq!(post(&session.id, "hello", Some("k")).unwrap(), first);
}

#[test]
fn what_has_work_is_not_deleted() {
    let harness = Harness::new();
    let session = harness.session();
    let (id, agent) = (session.id.clone(), session.agent_id.clone());
    let delete_session = || {
        let id = id.clone();
        harness.try_write(move |writer| writer.delete_session(&id))
    };
    let delete_agent = || {
        let agent = agent.clone();
        harness.try_write(move |writer| writer.delete_agent(&agent))
    };
    let turn = harness.post(&session.id, "work");
    assert_conflict(delete_session(), "session_busy");
    assert_conflict(delete_agent(), "agent_in_use");
    let lease = harness.claim(1).unwrap().lease;
    assert_conflict(delete_session(), "session_busy");
    assert_conflict(delete_agent(), "agent_in_use");
    harness.write(move |writer| {
        writer.record_reply(
            &lease,
            NewReply { text: String::new(), tool_calls: vec![call("c")], ..NewReply::default() },
        )?;
        writer.start_call(&lease, &pending("c", "command_id"))?;
        writer.end_turn(&lease, completed("done"))
    });

    delete_agent().unwrap();
    assert_missing(delete_session(), "session");
    assert_missing(harness.try_read(move |reader| reader.turn(&turn)), "turn");
    let left: i64 = harness.read(|reader| {
        let sql = "SELECT (SELECT COUNT(*) FROM sessions) + (SELECT COUNT(*) FROM turns)
                   + (SELECT COUNT(*) FROM messages) + (SELECT COUNT(*) FROM items)
                   + (SELECT COUNT(*) FROM calls) + (SELECT COUNT(*) FROM events)";
        reader.one("count", sql, [], |row| row.get(0))
    });
    assert_eq!(left, 0, "nothing of a deleted agent is left");
}
