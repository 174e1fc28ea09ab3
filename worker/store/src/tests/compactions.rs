//! What is kept of what a session is sent, and the items that it stands for.

use std::ops::ControlFlow;

use super::*;
use evonic_domain::{
    CompactionKind, ContextView, ItemAddress, ItemRange, ModelFacts, NewCompaction, SessionId,
    Summary,
};

fn compaction(last: ItemAddress, text: &str) -> NewCompaction {
    let range = ItemRange { first: ItemAddress { turn: 1, item: 0 }, last };
    NewCompaction {
        kind: CompactionKind::Summarised,
        range,
        tokens_before: 1000,
        tokens_after: 100,
        model: Some("small".to_owned()),
        view: ContextView {
            through: Some(last),
            summary: Some(Summary { text: text.to_owned(), range }),
            ..ContextView::default()
        },
    }
}

/// The addresses of a session's items, from the last one backwards.
fn backwards(harness: &Harness, session: &SessionId, after: Option<ItemAddress>) -> Vec<String> {
    let session = session.clone();
    harness.read(move |reader| {
        let mut seen = Vec::new();
        reader.items_backwards(&session, u64::MAX >> 1, after, |item| {
            seen.push(item.address.to_string());
            if seen.len() < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(seen)
    })
}

#[test]
fn a_compaction_is_stored_and_told_once() {
    let harness = Harness::new();
    let lease = harness.running(1).lease;
    let (own, session) = (lease.clone(), lease.session_id.clone());
    let usage = Usage { input_tokens: 7, output_tokens: 3, ..Usage::default() };
    let new = compaction(ItemAddress { turn: 1, item: 0 }, "it was said");
    // A write whose answer is lost is tried again.
    for _ in 0..2 {
        let (own, new) = (own.clone(), new.clone());
        harness.write(move |writer| writer.compact(&own, 1, &new, usage, 5));
    }
    let listed = {
        let session = session.clone();
        harness.read(move |reader| reader.compactions(&session, &WHOLE)).data
    };
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].summary.as_deref(), Some("it was said"));
    let turn = harness.read(move |reader| reader.turn(&own.turn_id));
    assert_eq!((turn.usage, turn.cost), (usage, 5), "what it took is counted once");
    let last = {
        let session = session.clone();
        harness.read(move |reader| reader.last_compaction(&session))
    };
    assert_eq!(last.map(|last| (last.number, last.compaction)), Some((1, new.clone())));
    let told = harness.read(move |reader| reader.event_page(&session, 0, 100, 1 << 20));
    let told = told.events.iter().filter(|event| event.name == "context.compacted");
    assert_eq!(told.count(), 1);
    let stranger = Lease { generation: 2, ..lease };
    match harness.try_write(move |writer| writer.compact(&stranger, 2, &new, usage, 5)) {
        Err(StoreError::Fenced) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn items_are_read_by_address_and_by_page() {
    let harness = Harness::new();
    let lease = harness.running(1).lease;
    let (own, session) = (lease.clone(), lease.session_id);
    harness.write(move |writer| {
        let reply = NewReply { tool_calls: vec![call("c")], ..NewReply::default() };
        writer.record_reply(&own, reply)?;
        writer.finish_call(&own, &call("c"), Outcome::Ok, "it is there".to_owned())?;
        writer.record_reply(&own, NewReply { text: "done".to_owned(), ..NewReply::default() })
    });
    assert_eq!(backwards(&harness, &session, None), ["1.3", "1.2", "1.1"]);
    let after = Some(ItemAddress { turn: 1, item: 1 });
    assert_eq!(backwards(&harness, &session, after), ["1.3", "1.2"]);
    let page = |after: Option<&str>| {
        let after = after.map(|after| Cursor(after.to_owned()));
        let (session, paging) = (session.clone(), Paging { limit: 3, after });
        let page = harness.read(move |reader| reader.items(&session, &paging));
        let ids: Vec<_> = page.data.into_iter().map(|item| item.id).collect();
        (ids, page.next.map(|next| next.0))
    };
    assert_eq!(page(None), (vec!["1.0".into(), "1.1".into(), "1.2".into()], Some("1.2".into())));
    assert_eq!(page(Some("1.2")), (vec!["1.3".into()], None));
    assert_eq!(page(Some("nothing")), (Vec::new(), None));
    let address = ItemAddress { turn: 1, item: 2 };
    let of = |session: SessionId| harness.read(move |reader| reader.item(&session, address));
    assert!(
        matches!(of(session), Some(Item::ToolResult { content, .. }) if content == "it is there")
    );
    assert_eq!(of(SessionId::new()), None, "of this session only");
}

#[test]
fn what_is_learnt_of_an_endpoint_is_replaced() {
    let harness = Harness::new();
    for window in [2048, 4096] {
        let facts = ModelFacts { window: Some(window), ..ModelFacts::default() };
        harness.write(move |writer| writer.keep_model_facts("an endpoint", &facts));
    }
    let kept = harness.read(|reader| reader.model_facts());
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].0.as_str(), kept[0].1.window), ("an endpoint", Some(4096)));
}
