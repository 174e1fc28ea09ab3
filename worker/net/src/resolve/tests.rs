use std::time::Duration;

use evonic_handles::{Budget, Page, Permit};
use evonic_shared::{
    config::{Config, Environment},
    kind::Kind,
};

use super::*;

fn peer(host: &str, port: u16) -> Peer {
    Peer { host: host.to_owned(), port }
}

fn budget() -> Budget {
    let config = Config::resolve(None, &Environment::default()).expect("defaults").config;
    Budget::new(&config.budget, Page::private().expect("a page"), 1 << 20)
}

fn used(budget: &Budget) -> u32 {
    budget.usage().iter().map(|usage| usage.permits + usage.descriptors).sum()
}

#[tokio::test]
async fn a_numeric_address_needs_no_resolver_and_a_name_gives_its_permit_back() {
    let budget = budget();
    let permit = || budget.try_acquire(Kind::Ssh).expect("a permit");
    let soon = Instant::now() + Duration::from_secs(20);
    let (found, held) = resolve_blocking(&peer("::1", 22), permit(), soon).expect("numeric");
    assert_eq!(found, ["[::1]:22".parse().expect("an address")]);
    drop(held);
    for name in ["localhost", "no\0name"] {
        let answers: [Answer<Permit>; 2] = [
            resolve(&peer(name, 2222), permit()).await,
            resolve_blocking(&peer(name, 2222), permit(), soon),
        ];
        for answer in answers {
            match answer {
                Ok((found, _)) => assert!(found.iter().all(|one| one.ip().is_loopback())),
                Err(error) => assert!(name.contains('\0') && error.is_permanent(), "{error:?}"),
            }
        }
    }
    assert_eq!(used(&budget), 0);
}

#[test]
fn a_look_up_that_nobody_waits_for_keeps_its_permit_until_it_ends() {
    let budget = budget();
    let permit = budget.try_acquire(Kind::Ssh).expect("a permit");
    let past = Instant::now();
    let answer = resolve_blocking(&peer("no-such-host.invalid", 22), permit, past);
    assert!(answer.is_err());
    let deadline = Instant::now() + Duration::from_secs(60);
    while used(&budget) > 0 {
        assert!(Instant::now() < deadline, "the permit comes back");
        thread::yield_now();
    }
}

#[test]
fn only_an_absent_name_is_permanent() {
    let answer = |text: &str| ResolveError::LookUp {
        host: "h".to_owned(),
        source: io::Error::other(format!("failed to lookup address: {text}")),
    };
    assert!(answer("Name or service not known").is_permanent());
    assert!(!answer("Temporary failure in name resolution").is_permanent());
    assert!(!ResolveError::Timeout.is_permanent());
}
