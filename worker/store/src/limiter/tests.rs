//! The limiter on a real file, and its statement on a clock that the test moves.

mod reference;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use evonic_shared::{
    config::{self, Quota},
    kind::Kind,
};
use tokio::runtime::Runtime;

use super::*;
use evonic_handles::{Page, Usage};

/// A limiter in a folder of its own.
struct Harness {
    limiter: Limiter,
    budget: Budget,
    runtime: Runtime,
    folder: tempfile::TempDir,
}

impl Harness {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let budget = budget();
        let limiter = Limiter::open(&folder.path().join("limits.db"), &budget).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_time()
            .build()
            .unwrap();
        Self { limiter, budget, runtime, folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("limits.db")
    }

    fn try_count(&self, meters: &[Meter]) -> Result<Vec<Level>, StoreError> {
        self.runtime.block_on(self.limiter.count(meters.to_vec()))
    }

    fn count(&self, meters: &[Meter]) -> Vec<Level> {
        self.try_count(meters).unwrap()
    }

    fn granted(&self, meters: &[Meter]) -> bool {
        self.count(meters).iter().all(|level| !level.refused)
    }

    fn usage(&self) -> Usage {
        usage(&self.budget)
    }

    /// How many descriptors of this process are the database, its log or its shared memory.
    fn links(&self) -> u32 {
        let entries = std::fs::read_dir("/proc/self/fd").unwrap();
        let links = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        links.filter(|link| link.starts_with(self.folder.path())).count().try_into().unwrap()
    }

    /// Another handle on the file.
    #[expect(clippy::disallowed_methods, reason = "what another worker does")]
    fn outside(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }

    fn rows(&self) -> u32 {
        self.outside().query_row("SELECT count(*) FROM levels", [], |row| row.get(0)).unwrap()
    }
}

fn budget() -> Budget {
    let sizes = config::Budget {
        http: 4,
        sqlite: 4,
        model: 1,
        file: 2,
        child: 1,
        ssh: 1,
        docker: 1,
        outbound: 1,
    };
    Budget::new(&sizes, Page::private().unwrap(), 1_000_000)
}

fn usage(budget: &Budget) -> Usage {
    budget.usage().into_iter().find(|usage| usage.kind == Kind::Sqlite).unwrap()
}

fn meter(subject: &str, quota: &str) -> Meter {
    let quota = Quota::parse(quota).unwrap();
    Meter { subject: subject.to_owned(), quota, charge: Charge::One }
}

/// The keeper's two, the shared memory, and one that is parked.
const BASELINE: u32 = 4;

#[test]
fn a_quota_is_granted_and_no_more() {
    let harness = Harness::new();
    let meters = [meter("key a", "3/1day")];
    let remaining: Vec<_> = (0..3).map(|_| harness.count(&meters)[0].remaining).collect();
    assert_eq!(remaining, [2, 1, 0]);
    let level = harness.count(&meters)[0];
    assert!(level.refused, "{level:?}");
    let third = Duration::from_secs(8 * 3600);
    let refill = level.refill.unwrap();
    assert!(refill <= third && refill > third - Duration::from_secs(60), "{refill:?}");
    assert!(harness.granted(&[meter("key b", "3/1day")]), "another subject");
}

#[test]
fn every_meter_grants_or_none_is_charged() {
    let harness = Harness::new();
    let (wide, narrow) = (meter("address x", "100/1day"), meter("key a", "1/1day"));
    assert!(harness.granted(&[wide.clone(), narrow.clone()]));
    for _ in 0..5 {
        let levels = harness.count(&[wide.clone(), narrow.clone()]);
        assert_eq!((levels[0].remaining, levels[0].refused), (99, false));
        assert_eq!((levels[1].remaining, levels[1].refused), (0, true));
    }
    let levels = harness.count(&[wide.clone(), meter("key b", "1/1day")]);
    assert_eq!((levels[0].remaining, levels[0].refused), (98, false));
}

#[test]
fn what_is_only_checked_is_not_charged_and_refuses_once_used_up() {
    let harness = Harness::new();
    let failed = meter("failed x", "2/1day");
    let check = Meter { charge: Charge::Check, ..failed.clone() };
    let address = meter("address x", "100/1day");
    for _ in 0..10 {
        assert!(harness.granted(&[address.clone(), check.clone()]));
    }
    assert_eq!(harness.rows(), 1, "a check leaves no row");
    assert!(harness.granted(&[address.clone(), failed.clone()]));
    assert!(harness.granted(&[address.clone(), failed.clone()]));
    for meters in [[address.clone(), check], [address.clone(), failed]] {
        let levels = harness.count(&meters);
        assert_eq!((levels[0].refused, levels[1].refused), (false, true), "{levels:?}");
        assert_eq!(levels[0].remaining, 88, "nothing is charged");
    }
}

#[test]
fn windows_of_one_subject_are_apart() {
    let harness = Harness::new();
    let meters = [meter("key a", "2/1h"), meter("key a", "3/1day")];
    assert!(harness.granted(&meters) && harness.granted(&meters));
    let levels = harness.count(&meters);
    assert_eq!((levels[0].refused, levels[1].refused), (true, false), "{levels:?}");
    assert_eq!((levels[0].remaining, levels[1].remaining), (0, 1));
}

#[test]
fn counts_outlive_the_limiter() {
    let Harness { limiter, budget, runtime, folder } = Harness::new();
    let meters = vec![meter("key a", "5/1day")];
    runtime.block_on(limiter.count(meters.clone())).unwrap();
    drop(limiter);
    assert_eq!((usage(&budget).permits, usage(&budget).descriptors), (0, 0));
    let limiter = Limiter::open(&folder.path().join("limits.db"), &budget).unwrap();
    assert_eq!(runtime.block_on(limiter.count(meters)).unwrap()[0].remaining, 3);
}

#[test]
fn a_thousand_requests_leave_the_count_flat() {
    let harness = Harness::new();
    assert_eq!((harness.links(), harness.usage().descriptors), (BASELINE, BASELINE));
    let began = Instant::now();
    for request in 0..1_000 {
        let address = format!("address {}", request % 100);
        let key = ["100000/1s", "1000000/1m"].map(|quota| meter("key a", quota));
        let address = ["100000/1s", "1000000/1m"].map(|quota| meter(&address, quota));
        assert!(harness.granted(&[key, address].concat()));
    }
    println!("a request with four meters: {:?}", began.elapsed() / 1_000);
    assert_eq!((harness.links(), harness.usage().descriptors), (BASELINE, BASELINE));
    assert_eq!(harness.usage().permits, 2, "the keeper's and the request's");
    assert_eq!(harness.usage().peak, BASELINE + 1);
}

#[test]
fn requests_at_once_are_counted_exactly() {
    let harness = Harness::new();
    let granted = harness.runtime.block_on(async {
        let mut crowd = tokio::task::JoinSet::new();
        for _ in 0..300 {
            let limiter = harness.limiter.clone();
            crowd.spawn(async move { limiter.count(vec![meter("key a", "100/1day")]).await });
        }
        let counted = crowd.join_all().await;
        counted.into_iter().filter(|levels| !levels.as_ref().unwrap()[0].refused).count()
    });
    assert_eq!(granted, 100);
    assert_eq!((harness.links(), harness.usage().descriptors), (BASELINE, BASELINE));
}

#[test]
fn rows_that_say_nothing_any_more_go() {
    let harness = Harness::new();
    for request in 0..500 {
        assert!(harness.granted(&[meter(&format!("address {request:03}"), "1000000/1s")]));
    }
    // Long paid off: two rounds of the table at the most.
    for _ in 0..256 {
        assert!(harness.granted(&[meter("key a", "1000000/1s")]));
    }
    assert!(harness.rows() < 64, "{}", harness.rows());
}

#[test]
fn a_broken_file_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.db");
    std::fs::write(&path, "this is no database, but it is long enough to look at it").unwrap();
    let limiter = Limiter::open(&path, &budget()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let levels = runtime.block_on(limiter.count(vec![meter("key a", "5/1day")])).unwrap();
    assert_eq!(levels[0].remaining, 4);
}

#[test]
fn a_file_that_is_gone_or_cannot_be_opened_is_told_and_tried_again() {
    let harness = Harness::new();
    let meters = [meter("key a", "5/1day")];
    assert!(harness.granted(&meters));
    for end in ["", "-wal", "-shm"] {
        std::fs::remove_file(format!("{}{end}", harness.path().display())).unwrap();
    }
    std::fs::create_dir(harness.path()).unwrap();
    for _ in 0..3 {
        let told = harness.try_count(&meters).unwrap_err();
        assert!(matches!(told, StoreError::Open { .. }), "{told:?}");
        assert_eq!((harness.links(), harness.usage().descriptors), (0, 0));
    }
    std::fs::remove_dir(harness.path()).unwrap();
    assert_eq!(harness.count(&meters)[0].remaining, 4, "it begins anew");
    assert_eq!((harness.links(), harness.usage().descriptors), (BASELINE, BASELINE));
}

#[test]
fn a_lock_is_waited_for_and_then_told() {
    let harness = Harness::new();
    let outside = harness.outside();
    outside.execute_batch("BEGIN IMMEDIATE").unwrap();
    let told = harness.try_count(&[meter("key a", "5/1day")]).unwrap_err();
    assert!(matches!(told, StoreError::Locked), "{told:?}");
    outside.execute_batch("COMMIT").unwrap();
    assert_eq!(harness.count(&[meter("key a", "5/1day")])[0].remaining, 4);
}
