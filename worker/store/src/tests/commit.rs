//! Group commit: one transaction, many closures, each for itself.

use super::*;

fn name(writer: &mut AuditedWriter<'_, '_>, number: usize) -> Result<Agent, StoreError> {
    writer.create_agent(new_agent(&format!("agent-{number}")))
}

fn names(harness: &Harness) -> Vec<String> {
    let agents = harness.read(|reader| reader.agents(None, &WHOLE)).data;
    agents.iter().map(|agent| agent.name.to_string()).filter(|name| name != "runbook").collect()
}

/// Queues these while the writer is busy: they meet in one transaction.
fn together<T: Send + 'static>(
    harness: &Harness,
    closures: impl IntoIterator<
        Item = impl FnOnce(&mut AuditedWriter<'_, '_>) -> Result<T, StoreError> + Send + 'static,
    >,
) -> Vec<Result<T, StoreError>> {
    let hold = harness.hold_the_writer();
    let mut calls: Vec<_> = closures
        .into_iter()
        .map(|closure| {
            let store = harness.store.clone();
            Box::pin(async move { store.change(Origin::inside(), closure).await })
        })
        .collect();
    harness.wait(async {
        for call in &mut calls {
            assert!(futures_util::poll!(call).is_pending());
        }
    });
    // It is in the same transaction, and shares its fate.
    let _shared = harness.ends(hold);
    harness.wait(futures_util::future::join_all(calls))
}

#[test]
fn an_error_undoes_its_closure_and_nothing_else() {
    let harness = Harness::new();
    let results = together(
        &harness,
        (0..9).map(|number| {
            move |writer: &mut AuditedWriter<'_, '_>| {
                let agent = name(writer, number)?;
                if number % 3 == 1 { Err(StoreError::Fenced) } else { Ok(agent) }
            }
        }),
    );
    for (number, result) in results.iter().enumerate() {
        assert_eq!(matches!(result, Err(StoreError::Fenced)), number % 3 == 1, "{result:?}");
        assert_eq!(result.is_ok(), number % 3 != 1, "{result:?}");
    }
    let stand = [0, 2, 3, 5, 6, 8].map(|number| format!("agent-{number}"));
    assert_eq!(names(&harness), stand);
}

#[test]
fn a_panic_undoes_its_closure_and_nothing_else() {
    let harness = Harness::new();
    let results = together(
        &harness,
        (0..4).map(|number| {
            move |writer: &mut AuditedWriter<'_, '_>| {
                let agent = name(writer, number)?;
                assert_ne!(number, 2, "on purpose");
                Ok(agent)
            }
        }),
    );
    assert!(matches!(results[2], Err(StoreError::Panicked)), "{results:?}");
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3);
    assert_eq!(names(&harness), ["agent-0", "agent-1", "agent-3"]);
    harness.wait(harness.store.ping()).unwrap();
}

#[test]
fn a_transaction_is_bounded_and_keeps_the_order() {
    let harness = Harness::with(&config::Store { batch: 4, ..SETTINGS }, HANDLES);
    let session = harness.session().id;
    let mut follower = harness.store.subscribe(&session);
    let results = together(
        &harness,
        (0..11).map(|number| {
            let id = session.clone();
            move |writer: &mut AuditedWriter<'_, '_>| {
                writer.post_message(&id, &number.to_string(), None, 100, None)
            }
        }),
    );
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let (mut sizes, mut told) = (Vec::new(), Vec::new());
    while told.len() < results.len() {
        match harness.wait(follower.next()) {
            Some(Notice::Events(events)) => {
                sizes.push(events.len());
                told.extend_from_slice(&events);
            }
            other => panic!("{other:?}"),
        }
    }
    // What held the writer is the first of its transaction.
    assert_eq!(sizes, [3, 4, 4]);
    for (event, posted) in told.iter().zip(results) {
        assert!(event.data.contains(posted.unwrap().message.id.as_str()), "{event:?}");
    }
}

/// A constraint that fails ends one statement; the closure may go on, and decides.
#[test]
fn a_closure_that_swallows_an_error_keeps_the_rest() {
    let harness = Harness::new();
    harness.write(|writer| {
        name(writer, 1)?;
        assert_conflict(name(writer, 1), "name_taken");
        name(writer, 2)
    });
    assert_eq!(names(&harness), ["agent-1", "agent-2"]);
}

/// What one transaction writes is answered for only when every reader sees it.
#[test]
fn an_answer_comes_after_the_commit() {
    let harness = Harness::new();
    let (store, path) = (harness.store.clone(), harness.path.clone());
    for number in 0..20 {
        let agent = harness.write(move |writer| name(writer, number));
        harness.wait(store.read(move |reader| reader.agent(agent.id.as_str()))).unwrap();
    }
    let log = std::fs::metadata(path.with_file_name("evonic.db-wal")).unwrap();
    assert!(log.len() > 0, "commits are in the log, not in a cache");
}

#[test]
fn a_full_queue_refuses_in_time() {
    let acquire_timeout = Duration::from_millis(50);
    let settings = config::Store { acquire_timeout, batch: 1, ..SETTINGS };
    let harness = Harness::with(&settings, HANDLES);
    let hold = harness.hold_the_writer();
    // Four batches of one; the one that is running has a place too.
    let mut waiting: Vec<_> = (0..3)
        .map(|number| {
            Box::pin(harness.store.change(Origin::inside(), move |writer| name(writer, number)))
        })
        .collect();
    harness.wait(async {
        for call in &mut waiting {
            assert!(futures_util::poll!(call).is_pending());
        }
    });
    match harness.try_write(|writer| name(writer, 9)).err() {
        Some(StoreError::Overloaded { waiting: 4, retry_after }) => {
            assert!(!retry_after.is_zero());
        }
        other => panic!("{other:?}"),
    }
    harness.ends(hold).unwrap();
    for call in waiting {
        harness.wait(call).unwrap();
    }
    assert_eq!(names(&harness), ["agent-0", "agent-1", "agent-2"]);
}

/// As when SQLite gives a transaction up: who was in it is told, who waited is not concerned.
#[test]
fn a_lost_transaction_is_told_to_everyone_in_it() {
    let harness = Harness::new();
    let session = harness.session();
    let mut follower = harness.store.subscribe(&session.id);
    let results = together(
        &harness,
        (0..4).map(|number| {
            let id = session.id.clone();
            move |writer: &mut AuditedWriter<'_, '_>| {
                writer.post_message(&id, &number.to_string(), None, 10, None)?;
                if number == 2 {
                    writer.connection().execute_batch("ROLLBACK").unwrap();
                }
                Ok(())
            }
        }),
    );
    for lost in &results[..3] {
        assert!(matches!(lost, Err(StoreError::Sql { .. })), "{results:?}");
    }
    assert!(results[3].is_ok(), "{results:?}");
    match harness.wait(follower.next()) {
        Some(Notice::Events(events)) => {
            assert_eq!((events.len(), events[0].sequence), (1, 1), "{events:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(harness.names(&session.id), ["message.created"]);
}

/// What a worker does when its disk is full: nothing is half written, and when there is room
/// again all goes on.
#[test]
fn a_full_disk_undoes_its_write_and_passes() {
    let harness = Harness::new();
    let session = harness.session();
    let limit = |pages: u32| {
        harness.write(move |writer| {
            let sql = format!("PRAGMA max_page_count = {pages}");
            writer.one("limit pages", &sql, [], |row| row.get::<_, u32>(0))
        })
    };
    limit(1); // No lower than what there is.
    let big = "x".repeat(1 << 20);
    let content = big.clone();
    let id = session.id.clone();
    let refused =
        harness.try_write(move |writer| writer.post_message(&id, &content, None, 10, None));
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    assert_eq!(harness.names(&session.id), [""; 0]);
    assert_eq!(harness.claim(1), None);

    // SQLite undoes the statement or gives the whole transaction up, as it can.
    let results = together(
        &harness,
        (0..4).map(|number| {
            let (id, content) = (session.id.clone(), big.clone());
            move |writer: &mut AuditedWriter<'_, '_>| {
                if number == 2 {
                    writer.post_message(&id, &content, None, 10, None)?;
                }
                writer.session(&id)
            }
        }),
    );
    assert!(matches!(results[2], Err(StoreError::Full)), "{results:?}");
    for company in &results[..2] {
        assert!(matches!(company, Ok(_) | Err(StoreError::Full)), "{results:?}");
    }
    assert!(results[3].is_ok(), "{results:?}");
    assert_eq!(harness.names(&session.id), [""; 0]);

    limit(1 << 20);
    harness.post(&session.id, &big);
    assert!(harness.claim(1).is_some());
}
