use std::time::Duration;

use evonic_shared::{
    config::{Config, Environment},
    kind::Kind,
};

use super::*;
use evonic_backend::Class;
use evonic_handles::{Budget, Page};

#[test]
fn a_numeric_address_needs_no_resolver_and_a_name_gives_its_permit_back() {
    let config = Config::resolve(None, &Environment::default()).unwrap().config;
    let budget = Budget::new(&config.budget, Page::private().unwrap(), 1 << 20);
    let permit = || budget.try_acquire(Kind::Ssh).unwrap();
    let soon = Instant::now() + Duration::from_secs(20);
    let (found, held) = resolve("::1", 22, permit(), soon).unwrap();
    assert_eq!(found, ["[::1]:22".parse().unwrap()]);
    drop(held);
    let (found, held) = resolve("localhost", 2222, permit(), soon).unwrap();
    assert!(found.iter().all(|address| address.ip().is_loopback()), "{found:?}");
    drop(held);
    // What a name that cannot be is told as; whatever the network here is.
    let error = resolve("no\0name", 22, permit(), soon).unwrap_err();
    assert_eq!(error.class(), Class::Permanent);
    let used = || budget.usage().iter().map(|u| u.permits + u.descriptors).sum::<u32>();
    assert_eq!(used(), 0);
}

#[test]
fn an_address_that_refuses_does_not_hide_the_next() {
    let config = Config::resolve(None, &Environment::default()).unwrap().config;
    let budget = Budget::new(&config.budget, Page::private().unwrap(), 1 << 20);
    let mut permit = budget.try_acquire(Kind::Ssh).unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let open = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let there = open.local_addr().unwrap();
    let soon = Instant::now() + Duration::from_secs(20);
    let (socket, address) = open_tcp(&[closed, there], "h", &mut permit, soon).unwrap();
    assert_eq!(address, there);
    let flags = rustix::io::fcntl_getfd(&socket).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    assert!(sockopt::tcp_nodelay(&socket).unwrap() && sockopt::socket_keepalive(&socket).unwrap());
}
