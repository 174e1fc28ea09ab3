use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::Held;

const SIZES: config::Budget = config::Budget {
    http: 3,
    sqlite: 2,
    model: 1,
    file: 1,
    child: 1,
    ssh: 1,
    docker: 1,
    outbound: 1,
};

fn budget() -> Budget {
    Budget::new(&SIZES, Page::private().unwrap(), 400)
}

fn usage(budget: &Budget, kind: Kind) -> Usage {
    budget.usage()[kind.slot()]
}

#[test]
fn a_kind_is_bounded_apart_from_the_others() {
    let budget = budget();
    let held: Vec<_> = (0..3).map(|_| budget.try_acquire(Kind::Http).unwrap()).collect();
    let refused = budget.try_acquire(Kind::Http).unwrap_err();
    assert_eq!((refused.kind, refused.limit), (Kind::Http, 3));
    assert_eq!(refused.to_string(), "all 3 http handles are in use");
    assert!(budget.try_acquire(Kind::Model).is_ok());
    assert_eq!(usage(&budget, Kind::Http).refused, 1);
    drop(held);
    assert!(budget.try_acquire(Kind::Http).is_ok());
}

#[tokio::test]
async fn waiting_ends_with_the_timeout_or_with_a_place() {
    let budget = budget();
    let first = budget.try_acquire(Kind::Model).unwrap();
    let began = Instant::now();
    let timeout = Duration::from_millis(30);
    assert!(budget.acquire(Kind::Model, timeout).await.is_err());
    assert!(began.elapsed() >= timeout);

    let waiting = budget.acquire(Kind::Model, Duration::from_secs(10));
    let (second, ()) = tokio::join!(waiting, async { drop(first) });
    assert_eq!(second.unwrap().kind, Kind::Model);
}

#[tokio::test]
async fn a_waiter_that_leaves_takes_no_place_with_it() {
    let budget = budget();
    let first = budget.try_acquire(Kind::Model).unwrap();
    let gone = budget.acquire(Kind::Model, Duration::from_secs(10));
    assert!(tokio::time::timeout(Duration::from_millis(5), gone).await.is_err());
    drop(first);
    assert!(budget.try_acquire(Kind::Model).is_ok());
}

#[tokio::test]
async fn a_descriptor_past_the_threshold_is_told_once() {
    let budget = budget();
    let mut permit = budget.try_acquire(Kind::File).unwrap();
    permit.owns(1, Some(399));
    permit.owns(1, Some(400));
    permit.owns(1, Some(407));
    assert_eq!(budget.high_descriptor().await, 407);
    let again = tokio::time::timeout(Duration::from_millis(5), budget.high_descriptor());
    assert!(again.await.is_err());
}

#[test]
fn a_handle_closes_before_its_place_is_free() {
    struct Watch(Budget);
    impl Drop for Watch {
        fn drop(&mut self) {
            assert_eq!(usage(&self.0, Kind::Model).permits, 1);
            assert_eq!(usage(&self.0, Kind::Model).descriptors, 1);
        }
    }
    let budget = budget();
    let mut permit = budget.try_acquire(Kind::Model).unwrap();
    permit.owns(1, None);
    drop(Held::new(Watch(budget.clone()), permit));
    assert_eq!(usage(&budget, Kind::Model).permits, 0);
    assert_eq!(usage(&budget, Kind::Model).descriptors, 0);
}

proptest! {
    /// Whatever is opened, changed and closed: the account is the sum of what permits own, and
    /// zero in the end.
    #[test]
    fn the_account_is_the_sum(steps in prop::collection::vec((0..3_usize, 0..5_u32), 0..200)) {
        let budget = budget();
        let mut held: [Option<(Permit, u32)>; 3] = [None, None, None];
        let mut peak = 0;
        for (place, descriptors) in steps {
            match held[place].take() {
                Some(_) if descriptors == 0 => {}
                Some((mut permit, _)) => {
                    permit.owns(descriptors, None);
                    held[place] = Some((permit, descriptors));
                }
                None => {
                    let mut permit = budget.try_acquire(Kind::Http).unwrap();
                    permit.owns(descriptors, None);
                    held[place] = Some((permit, descriptors));
                }
            }
            let sum: u32 = held.iter().flatten().map(|(_, owned)| owned).sum();
            peak = peak.max(sum);
            prop_assert_eq!(usage(&budget, Kind::Http).descriptors, sum);
        }
        drop(held);
        let end = usage(&budget, Kind::Http);
        prop_assert_eq!((end.permits, end.descriptors, end.peak), (0, 0, peak));
    }
}
