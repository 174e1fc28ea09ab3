//! The ledger against the kernel.

use std::time::Duration;

use super::*;

/// Writer's database, log and shared memory, and the one that stays parked.
const BASELINE: u32 = 4;

/// A read that keeps its handle until it is told to leave.
struct Holder {
    read: tokio::task::JoinSet<Result<(u64, u64), StoreError>>,
    leave: std::sync::mpsc::Sender<()>,
}

impl Holder {
    async fn enter(rig: &Rig) -> Self {
        let (entered, inside) = tokio::sync::oneshot::channel();
        let (leave, left) = std::sync::mpsc::channel();
        let store = rig.store.clone();
        let mut read = tokio::task::JoinSet::new();
        read.spawn(async move {
            let read = store.read(move |reader| {
                entered.send(()).unwrap();
                let _: Result<(), _> = left.recv();
                reader.backlog()
            });
            read.await
        });
        inside.await.unwrap();
        Self { read, leave }
    }

    async fn leave(mut self) {
        drop(self.leave);
        self.read.join_next().await.unwrap().unwrap().unwrap();
    }

    /// Drops the call first, and only then lets the closure return.
    async fn abandon(mut self) {
        self.read.shutdown().await;
        drop(self.leave);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ledger_equals_the_kernel_after_any_opens_and_closes() {
    let rig = Rig::new();
    assert_eq!((rig.owned(), rig.open()), (BASELINE, BASELINE), "when opened");
    for round in 0..20 {
        let mut reads = tokio::task::JoinSet::new();
        let width = fastrand::usize(1..64);
        for _ in 0..width {
            let store = rig.store.clone();
            reads.spawn(async move {
                for _ in 0..fastrand::usize(1..20) {
                    let pause = Duration::from_micros(fastrand::u64(0..300));
                    let read = store.read(move |reader| {
                        let backlog = reader.backlog();
                        let (_never, ended) = std::sync::mpsc::channel::<()>();
                        let _ = ended.recv_timeout(pause);
                        backlog
                    });
                    read.await.unwrap();
                }
            });
        }
        while let Some(read) = reads.join_next().await {
            read.unwrap();
        }
        let (owned, open) = (rig.owned(), rig.open());
        assert_eq!(owned, open, "round {round}, {width} readers at once");
        assert!(owned <= 2 * 9 + 1, "{owned} within budget");
    }
    until(|| rig.open() == BASELINE, || format!("{} open", rig.open())).await;
    assert_eq!(rig.owned(), BASELINE, "after a quiet second");
    rig.store.clone().close();
    assert_eq!((rig.owned(), rig.open()), (0, 0), "when closed");
}

#[tokio::test]
async fn ledger_equals_the_kernel_while_handles_are_open() {
    let rig = Rig::new();
    let mut held = Vec::new();
    for count in 1..=8_u32 {
        held.push(Holder::enter(&rig).await);
        // The first one takes the parked descriptor over.
        let expected = 3 + 2 * count;
        assert_eq!((rig.owned(), rig.open()), (expected, expected), "{count} readers");
    }
    for holder in held {
        holder.leave().await;
    }
    assert_eq!((rig.owned(), rig.open()), (11, 11), "eight parked");
    until(|| rig.open() == BASELINE, || format!("{} open", rig.open())).await;
    assert_eq!(rig.owned(), BASELINE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reads_leave_the_count_flat() {
    let rig = Rig::new();
    for _ in 0..1_000 {
        rig.store.read(|reader| reader.backlog()).await.unwrap();
        assert_eq!(rig.owned(), BASELINE);
    }
    assert_eq!((rig.owned(), rig.open()), (BASELINE, BASELINE));
}

#[tokio::test]
async fn reopening_loses_no_write_and_keeps_the_events_gapless() {
    let rig = Rig::new();
    let session = rig.session().await.id;
    for round in 1..=3 {
        let reads = (0..8).map(|_| rig.store.read(|reader| reader.backlog()));
        futures_util::future::join_all(reads).await;
        rig.post(&session, "before").await;
        until(|| rig.open() == BASELINE, || format!("{} open", rig.open())).await;
        rig.post(&session, "after").await;
        let sequences: Vec<u64> = rig.events(&session).await.iter().map(|e| e.sequence).collect();
        assert_eq!(sequences, (1..=2 * round).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_handle_that_is_refused_is_told_as_exhausted_and_frees_up() {
    let settings = config::Store { acquire_timeout: Duration::from_millis(50), ..SETTINGS };
    let rig = Rig::with(settings, 2);
    let holder = Holder::enter(&rig).await;
    let refused = rig.store.read(|reader| reader.backlog()).await;
    assert!(matches!(refused, Err(StoreError::Exhausted(_))), "{refused:?}");
    holder.leave().await;
    rig.store.read(|reader| reader.backlog()).await.unwrap();
}

#[tokio::test]
async fn a_call_that_is_dropped_still_closes_its_handle() {
    let rig = Rig::new();
    let holder = Holder::enter(&rig).await;
    holder.abandon().await;
    until(|| rig.open() == BASELINE, || format!("{} open", rig.open())).await;
    assert_eq!(rig.owned(), BASELINE);
}

#[tokio::test]
async fn a_panic_costs_one_call_and_no_handle() {
    let rig = Rig::with(SETTINGS, 2);
    for _ in 0..3 {
        let read = rig.store.read::<(), _>(|_| panic!("within a read")).await;
        assert!(matches!(read, Err(StoreError::Panicked)), "{read:?}");
        let write = rig.store.write::<(), _>(|_| panic!("within a write")).await;
        assert!(matches!(write, Err(StoreError::Panicked)), "{write:?}");
    }
    assert_eq!((rig.owned(), rig.open()), (BASELINE, BASELINE));
    rig.session().await;
}
