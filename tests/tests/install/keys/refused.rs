//! Keys that do not do.

use std::time::{Duration, Instant};

use evonic_tests::{
    http::{Answer, Connection},
    pair::Pair,
    poll, size,
};
use serde_json::json;

use super::{make, pair};

/// What needs a key, and little else.
const READ: &str = "/api/v1/models";

fn ask(connection: &mut Connection, headers: &[(&str, &str)]) -> Answer {
    connection.request("GET", READ, headers, None).expect("an answer")
}

fn nobody(pair: &Pair) -> Connection {
    Connection::tcp_without_key(pair.address()).expect("a connection")
}

fn with(pair: &Pair, key: &str) -> Answer {
    ask(&mut nobody(pair), &[("Authorization", &format!("Bearer {key}"))])
}

/// The detail of a problem, without what differs from request to request.
fn detail_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 401, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let challenge = answer.header("www-authenticate").expect("a challenge");
    assert!(challenge.starts_with("Bearer realm=\"evonic\""), "{challenge}");
    let problem = answer.json();
    assert_eq!(problem["type"], "urn:evonic:problem:unauthorized");
    problem["detail"].as_str().expect("a sentence").to_owned()
}

/// The same key with another digit at this place.
fn forged(key: &str, place: usize) -> String {
    let digit = if key.as_bytes()[place] == b'0' { "1" } else { "0" };
    format!("{}{digit}{}", &key[..place], &key[place + 1..])
}

#[test]
fn unusable_keys_are_refused() {
    let pair = pair();
    let (key, _) = make(&pair, &json!({"name": "good", "scope": "read"}));
    assert_eq!(with(&pair, &key).status, 200);

    let unknown = detail_of(&with(&pair, &format!("evk_{}", "0".repeat(96))));
    let (first, last) = (forged(&key, key.len() - 64), forged(&key, key.len() - 1));
    for forged in [&first, &last, &forged(&key, 10)] {
        assert_eq!(detail_of(&with(&pair, forged)), unknown, "nobody learns which part is right");
    }
    let whole = "no whole key";
    for odd in [
        &key[..key.len() - 1],
        &key[..40],
        "evk_",
        "",
        &format!("{key}0"),
        &format!("{key}{key}"),
        &key.repeat(80),
        &key.to_uppercase(),
        "password",
        "evk_\u{e4}",
    ] {
        let detail = detail_of(&with(&pair, odd));
        assert!(detail.contains(whole) || detail.contains("must be 'Bearer"), "{odd}: {detail}");
    }
    // What does not fit into headers at all is refused as headers are.
    assert_eq!(with(&pair, &key.repeat(400)).status, 431);

    let mut client = nobody(&pair);
    assert!(detail_of(&ask(&mut client, &[])).contains("needs a key"));
    for value in [key.clone(), format!("Basic {key}"), format!("Bearer{key}"), "Bearer".to_owned()]
    {
        let detail = detail_of(&ask(&mut client, &[("Authorization", &value)]));
        assert!(detail.contains("must be 'Bearer"), "{value}: {detail}");
    }
    let good = format!("bearer {key}");
    let twice = [("Authorization", good.as_str()), ("Authorization", good.as_str())];
    assert!(detail_of(&ask(&mut client, &twice)).contains("given twice"));
    assert_eq!(ask(&mut client, &twice[..1]).status, 200, "the scheme's case is the client's");
    // In no other place is it a key.
    let path = format!("{READ}?access_token={key}");
    let answer = client.request("GET", &path, &[("X-Api-Key", &key)], None).expect("an answer");
    assert!(detail_of(&answer).contains("needs a key"));

    // Nothing of all this ended the connection or the key.
    assert_eq!(with(&pair, &key).status, 200);
    assert!(!pair.log().contains(&key[36..]), "{}", pair.log());
}

#[test]
fn a_key_ends_with_its_time_and_when_it_is_revoked() {
    let pair = pair();
    let body = json!({"name": "brief", "scope": "read", "expires_in_seconds": 1});
    let (brief, id) = make(&pair, &body);
    poll::until(
        "it expires",
        Duration::from_secs(30),
        || with(&pair, &brief),
        |answer| (answer.status == 401).then(|| assert!(detail_of(answer).contains("expired at"))),
    );
    assert_eq!(detail_of(&with(&pair, &forged(&brief, 50))), "the key is not known here");
    let taken = json!({"name": "brief", "scope": "read"});
    assert_eq!(
        pair.expect(409, "POST", "/api/v1/keys", Some(&taken))["type"],
        "urn:evonic:problem:name_taken"
    );

    let (revoked, _) = make(&pair, &json!({"name": "lost", "scope": "read"}));
    assert_eq!(with(&pair, &revoked).status, 200);
    let _ = pair.expect(204, "DELETE", "/api/v1/keys/lost", None);
    assert!(detail_of(&with(&pair, &revoked)).contains("was revoked at"), "at once");
    // Also in the next worker; and its name is free again.
    pair.kill_worker();
    assert!(detail_of(&with(&pair, &revoked)).contains("was revoked at"));
    let (new, _) = make(&pair, &json!({"name": "lost", "scope": "read"}));
    assert_eq!(with(&pair, &new).status, 200);
    assert!(detail_of(&with(&pair, &revoked)).contains("was revoked at"));

    let used = pair.expect(200, "GET", &format!("/api/v1/keys/{id}"), None);
    assert_eq!(used["name"], "brief");
    let listed = pair.expect(200, "GET", "/api/v1/keys", None).to_string();
    for secret in [&brief, &revoked, &new] {
        assert!(!listed.contains(&secret[36..]), "it is shown once: {listed}");
    }
    for (seconds, status) in [(0, 422), (u64::MAX, 422), (3600, 201)] {
        let body = json!({"name": "odd", "scope": "read", "expires_in_seconds": seconds});
        let _ = pair.expect(status, "POST", "/api/v1/keys", Some(&body));
    }
}

#[test]
fn the_last_use_of_a_key_is_recorded() {
    let pair = pair();
    let (key, id) = make(&pair, &json!({"name": "used", "scope": "read"}));
    let path = format!("/api/v1/keys/{id}");
    assert!(pair.expect(200, "GET", &path, None)["last_used_at"].is_null());
    assert_eq!(with(&pair, &key).status, 200);
    let noted = || pair.expect(200, "GET", &path, None)["last_used_at"].clone();
    let first = poll::until("it is noted", Duration::from_secs(30), noted, |at| {
        at.is_string().then(|| at.clone())
    });
    for _ in 0..20 {
        assert_eq!(with(&pair, &key).status, 200);
    }
    assert_eq!(noted(), first, "not once a request");
}

/// The middle one of what answers took.
fn median(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took[took.len() / 2]
}

#[test]
fn keys_are_compared_in_constant_time() {
    let pair = pair();
    let (key, _) = make(&pair, &json!({"name": "compared", "scope": "read"}));
    let proof = key.len() - 64;
    // One that is remembered: what is measured is the comparison, not the database.
    let shown = [forged(&key, proof), forged(&key, key.len() - 1), forged(&key, proof + 32)];
    let mut client = nobody(&pair);
    let mut took = [const { Vec::new() }; 3];
    // One after the other, so that what else the machine does meets each of them alike.
    for _ in 0..size::of("key_timing", 300, 3000) {
        for (key, took) in shown.iter().zip(&mut took) {
            let value = format!("Bearer {key}");
            let began = Instant::now();
            assert_eq!(ask(&mut client, &[("Authorization", &value)]).status, 401);
            took.push(began.elapsed());
        }
    }
    let [first, last, middle] = took.map(median);
    println!("first digit wrong {first:?}, last {last:?}, one between {middle:?}");
    let (least, most) = (first.min(last).min(middle), first.max(last).max(middle));
    assert!(most - least < least / 4 + Duration::from_micros(200), "{first:?} {last:?} {middle:?}");
}
