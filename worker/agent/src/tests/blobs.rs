//! Contents of attachments, read for a model.

use std::{sync::mpsc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::harness::Harness;
use crate::{blobs::SessionBlobs, turn_writer::TurnWriter};
use evonic_domain::Lease;
use evonic_model::Blobs;

/// Others have every handle of the database for longer than a read waits for one.
#[test]
fn a_content_is_read_although_no_handle_is_free_for_a_while() {
    let harness = Harness::with(|config| {
        config.budget.sqlite = 4;
        config.store.acquire_timeout = Duration::from_millis(100);
    });
    let session = harness.session("runbook", None);
    let turn = harness.post(&session, "look");
    let stored = session.clone();
    harness.write(move |writer| {
        let upload = writer.store_piece(&stored, None, b"content", 1000)?;
        writer.finish_upload(&upload, "aa", "text/plain")
    });
    let mut holds = Vec::new();
    for _ in 0..3 {
        let (release, released) = mpsc::channel::<()>();
        let (here, arrived) = mpsc::channel();
        let store = harness.store.clone();
        let held = harness.runtime.spawn(async move {
            let hold = store.read(move |_| {
                here.send(()).expect("the test waits for it");
                // Ends when the sender is dropped.
                let _ = released.recv();
                Ok(())
            });
            hold.await
        });
        arrived.recv().expect("a handle");
        holds.push((release, held));
    }
    let lease = Lease { turn_id: turn, session_id: session, generation: 1 };
    let turn_writer = TurnWriter::new(harness.store.clone(), lease, CancellationToken::new());
    let blobs = SessionBlobs::new(turn_writer);
    let read = harness.runtime.spawn(async move { blobs.read("aa", 3).await });
    harness.pause(Duration::from_millis(500));
    assert!(!read.is_finished(), "it waits");
    for (release, held) in holds {
        drop(release);
        harness.runtime.block_on(held).expect("it ends").expect("it reads");
    }
    let piece = harness.runtime.block_on(read).expect("it ends");
    assert_eq!(piece.expect("it is read"), b"tent"[..]);
}
