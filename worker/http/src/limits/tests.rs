//! Fields and refusals; the whole worker under limits is tested in `tests/limits.rs`.

use super::*;
use evonic_domain::KeyId;

fn policies(key: &[&str], address: &[&str], failed: &[&str]) -> Policies {
    let quotas = |texts: &[&str]| {
        texts.iter().map(|text| config::Quota::parse(text).unwrap()).collect::<Vec<_>>()
    };
    Policies::new(&config::Limits {
        enabled: true,
        key: quotas(key),
        address: quotas(address),
        failed: quotas(failed),
    })
}

#[test]
fn a_client_sees_its_quotas_in_structured_fields() {
    let policies = policies(&[], &["100/1s", "5000/90m"], &[]);
    let [burst, sustained] = policies.of(Subject::Address) else { panic!("two") };
    let states = [
        MeterState { policy: burst, remaining: 100, refill: None },
        MeterState { policy: sustained, remaining: 7, refill: Some(Duration::from_millis(1_001)) },
    ];
    let announced = |states: &[MeterState<'_>]| {
        let mut fields = HeaderMap::new();
        announce(states, &mut fields);
        fields
    };
    let fields = announced(&states);
    assert_eq!(
        fields["ratelimit-policy"],
        "\"address-1s\";q=100;w=1, \"address-1h30m\";q=5000;w=5400"
    );
    assert_eq!(fields["ratelimit"], "\"address-1s\";r=100, \"address-1h30m\";r=7;t=2");
    assert!(announced(&[]).is_empty());
}

#[test]
fn a_refusal_names_what_is_used_up_and_comes_back_when_all_of_it_has_room() {
    let policies = policies(&["1/1s"], &["2/1m"], &[]);
    let state = |subject, milliseconds| MeterState {
        policy: &policies.of(subject)[0],
        remaining: 0,
        refill: Some(Duration::from_millis(milliseconds)),
    };
    let states = [state(Subject::Address, 29_001), state(Subject::Key, 1)];
    let mut fields = HeaderMap::new();
    announce(&states, &mut fields);
    assert_eq!(fields["ratelimit"], "\"address-1m\";r=0;t=30, \"key-1s\";r=0;t=1");
    let response = refuse(&states).into_response();
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "30");
}

#[test]
fn what_is_charged_depends_on_who_asks() {
    let policies = policies(&["1/1s"], &["2/1s", "3/1m"], &["4/1h"]);
    let key = KeyId::new();
    let asked = |who| {
        let asked = policies.ask([192, 0, 2, 1].into(), who);
        asked
            .iter()
            .map(|a| (a.policy.name.clone(), a.meter.charge == Charge::One))
            .collect::<Vec<_>>()
    };
    let local = |who| {
        let asked = policies.ask([127, 0, 0, 2].into(), who);
        asked.iter().map(|asked| asked.policy.name.clone()).collect::<Vec<_>>()
    };
    let name = |name: &str, charged| (name.to_owned(), charged);
    let address = [name("address-1s", true), name("address-1m", true)];
    assert_eq!(asked(Who::Nobody), address);
    assert_eq!(asked(Who::Refused)[2..], [name("failed-1h", true)]);
    assert_eq!(asked(Who::Key(&key))[2..], [name("key-1s", true), name("failed-1h", false)]);
    assert_eq!(local(Who::Nobody), ["address-1s", "address-1m"]);
    assert_eq!(local(Who::Refused), ["address-1s", "address-1m"]);
    assert_eq!(local(Who::Key(&key)), ["key-1s"]);
}

#[test]
fn an_ipv6_client_is_its_network() {
    let net = |text: &str| network(text.parse().unwrap()).to_string();
    assert_eq!(net("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    assert_eq!(net("2001:db8:1:2:ffff::1"), "2001:db8:1:2::");
    assert_eq!(net("::ffff:192.0.2.7"), "192.0.2.7");
    assert_eq!(net("192.0.2.7"), "192.0.2.7");
}
