//! What the store does in a second, printed.

use super::*;

/// Reads by this many callers at once.
const READERS: usize = 8;

/// Writes by this many callers at once.
const WRITERS: usize = 64;

/// Runs `what` by so many callers, over and over, for this long; returns rounds a second.
fn rate<F>(harness: &Harness, callers: usize, what: impl Fn(Store) -> F) -> u64
where
    F: Future<Output = ()> + Send + 'static,
{
    let time = Duration::from_millis(500);
    let begun = Instant::now();
    let mut rounds = 0_u32;
    harness.wait(async {
        let mut busy = JoinSet::new();
        (0..callers).for_each(|_| drop(busy.spawn(what(harness.store.clone()))));
        while let Some(done) = busy.join_next().await {
            done.unwrap();
            rounds += 1;
            if begun.elapsed() < time {
                busy.spawn(what(harness.store.clone()));
            }
        }
    });
    (f64::from(rounds) / begun.elapsed().as_secs_f64()) as u64
}

async fn read(store: Store) {
    store.read(|reader| reader.agents(None, &WHOLE)).await.unwrap();
}

async fn post(store: Store, session: SessionId) {
    let post = move |writer: &mut AuditedWriter<'_, '_>| {
        writer.post_message(&session, "x", None, u32::MAX, None)
    };
    store.change(Origin::inside(), post).await.unwrap();
}

#[test]
fn reads_and_writes_in_a_second() {
    let harness = Harness::new();
    let sessions: Vec<_> = (0..WRITERS).map(|_| harness.session().id).collect();
    let any = || fastrand::choice(&sessions).unwrap().clone();
    let alone = rate(&harness, 1, |store| post(store, any()));
    let together = rate(&harness, WRITERS, |store| post(store, any()));
    let reads = rate(&harness, READERS, read);
    println!(
        "store: {reads} reads/s by {READERS}; writes/s: {alone} by one, {together} by {WRITERS}"
    );
    assert!(together > alone, "commits are not shared: {alone} alone, {together} together");
}
