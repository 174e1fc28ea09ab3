//! A whole worker under narrow limits.

use std::os::unix::net::UnixStream;

use evonic_shared::config::{Config, Quota};

use super::{
    client::{Client, Reply},
    worker::Worker,
};

const TYPE: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// Of these quotas; a day is longer than any test.
fn limited(key: &str, address: &str, failed: &str) -> Worker {
    Worker::behind_proxy(quotas(key, address, failed))
}

fn quotas(key: &str, address: &str, failed: &str) -> impl FnOnce(&mut Config) {
    let quotas = |text| vec![Quota::parse(text).unwrap()];
    let (key, address, failed) = (quotas(key), quotas(address), quotas(failed));
    move |config| {
        config.limits.key = key;
        config.limits.address = address;
        config.limits.failed = failed;
    }
}

/// A request with a key that has the form of one and is none.
fn guess(worker: &Worker) -> Reply {
    let key = worker.key.as_ref().unwrap();
    let secret = if key.ends_with('0') { "1" } else { "0" };
    let forged = format!("{}{secret}", &key[..key.len() - 1]);
    worker.connect().ask(worker.get("/api/v1/agents").replace(key, &forged))
}

fn is_limited(reply: &Reply, policy: &str) {
    assert_eq!(reply.status, 429, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    let problem = reply.json();
    assert_eq!(problem["type"], TYPE);
    assert_eq!(problem["violated-policies"], serde_json::json!([policy]));
    let retry: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!(retry >= 1, "{reply:?}");
    let level = reply.header("ratelimit").unwrap();
    assert_eq!(level, format!("\"{policy}\";r=0;t={retry}"));
}

fn metric(worker: &Worker, line: &str) -> u64 {
    // Over the Unix socket, which has no limits.
    let text = String::from_utf8(over_unix(worker, "/metrics").body).unwrap();
    let found = text.lines().find_map(|at| at.strip_prefix(line)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("{line}: {text}")).parse().unwrap()
}

fn over_unix(worker: &Worker, path: &str) -> Reply {
    let stream = UnixStream::connect(&worker.socket).unwrap();
    Client::over(stream).ask(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"))
}

#[test]
fn a_key_has_its_quota_and_is_told_of_it() {
    let worker = limited("3/1day", "1000000/1day", "5/1day");
    for remaining in [2, 1, 0] {
        let reply = worker.fetch("/api/v1/agents");
        assert_eq!(reply.status, 200, "{reply:?}");
        let policy = "\"address-1day\";q=1000000;w=86400, \"key-1day\";q=3;w=86400";
        assert_eq!(reply.header("ratelimit-policy"), Some(policy));
        let levels = reply.header("ratelimit").unwrap();
        assert!(levels.contains(&format!("\"key-1day\";r={remaining};t=")), "{levels}");
    }
    is_limited(&worker.fetch("/api/v1/agents"), "key-1day");
    is_limited(&worker.fetch("/nothing/here"), "key-1day");
    for path in ["/livez", "/healthz"] {
        let reply = worker.fetch(path);
        assert_eq!((reply.status, reply.header("ratelimit")), (200, None), "{path}");
    }
    for _ in 0..5 {
        let reply = over_unix(&worker, "/api/v1/agents");
        assert_eq!((reply.status, reply.header("ratelimit")), (200, None));
    }
    assert_eq!(metric(&worker, "evonic_limits_allowed_total"), 3);
    let line = "evonic_limits_limited_total{policy=\"key-1day\",subject=\"key\"}";
    assert_eq!(metric(&worker, line), 2);
}

#[test]
fn an_address_has_its_quota_with_any_key_or_none() {
    let worker = limited("1000000/1day", "3/1day", "5/1day");
    let without = |path: &str| {
        let key = format!("authorization: Bearer {}\r\n", worker.key.as_ref().unwrap());
        worker.connect().ask(worker.get(path).replace(&key, ""))
    };
    assert_eq!(worker.fetch("/api/v1/agents").status, 200);
    assert_eq!(without("/api/v1/agents").status, 401);
    let last = without("/nothing/here");
    assert_eq!(last.status, 401);
    assert!(last.header("ratelimit").unwrap().starts_with("\"address-1day\";r=0;t="));
    is_limited(&worker.fetch("/api/v1/agents"), "address-1day");
    is_limited(&without("/api/v1/agents"), "address-1day");
    // No key was presented: nothing failed.
    assert_eq!(metric(&worker, "evonic_authentication_failures_total"), 0);
}

#[test]
fn guesses_are_slowed_and_counted() {
    let worker = limited("1000000/1day", "1000000/1day", "3/1day");
    for _ in 0..3 {
        assert_eq!(worker.fetch("/api/v1/agents").status, 200);
        assert_eq!(guess(&worker).status, 401);
    }
    // From here on no key is looked at, not even a good one.
    is_limited(&worker.fetch("/api/v1/agents"), "failed-1day");
    for _ in 0..5 {
        is_limited(&guess(&worker), "failed-1day");
    }
    assert_eq!(metric(&worker, "evonic_authentication_failures_total"), 3);
    assert_eq!(over_unix(&worker, "/api/v1/agents").status, 200);
}

/// What a command of an agent can do from where it runs.
#[test]
fn who_guesses_from_this_machine_locks_nobody_out() {
    let worker = Worker::new(quotas("1000000/1day", "20/1day", "3/1day"));
    let forged = [127, 0, 0, 2].map(|last: u8| format!("x-forwarded-for: 198.51.100.{last}\r\n"));
    for number in 0..30 {
        // It says that it is somebody else, and is not believed.
        let name = &forged[number % forged.len()];
        let request = worker.get("/api/v1/agents").replace("evk_", "evk_0");
        let request = request.replace("host:", &format!("{name}host:"));
        let reply = worker.connect().ask(request);
        assert_eq!(reply.status, if number < 20 { 401 } else { 429 }, "{reply:?}");
    }
    assert_eq!(worker.fetch("/api/v1/agents").status, 200, "a good key always gets in");
    assert_eq!(metric(&worker, "evonic_authentication_failures_total"), 30);
}

#[test]
fn where_nothing_can_be_counted_good_keys_are_served_and_guesses_stay_slow() {
    let worker = limited("5/1day", "1/1day", "1000/1day");
    assert_eq!(worker.fetch("/api/v1/agents").status, 200);
    is_limited(&worker.fetch("/api/v1/agents"), "address-1day");
    let database = worker.socket.with_file_name("limits.db");
    for end in ["", "-wal", "-shm"] {
        std::fs::remove_file(format!("{}{end}", database.display())).unwrap();
    }
    std::fs::create_dir(&database).unwrap();
    for _ in 0..5 {
        let reply = worker.fetch("/api/v1/agents");
        assert_eq!((reply.status, reply.header("ratelimit")), (200, None), "{reply:?}");
    }
    assert_eq!(metric(&worker, "evonic_limits_errors_total"), 5);
    assert_eq!(guess(&worker).status, 401);
    is_limited(&guess(&worker), "failed-1day");
}

#[test]
fn without_limits_nothing_is_counted_or_told() {
    let worker = Worker::new(|config| {
        config.limits.enabled = false;
        config.limits.key = vec![Quota::parse("1/1day").unwrap()];
    });
    for _ in 0..5 {
        let reply = worker.fetch("/api/v1/agents");
        assert_eq!((reply.status, reply.header("ratelimit-policy")), (200, None));
    }
    assert_eq!(guess(&worker).status, 401);
    assert_eq!(metric(&worker, "evonic_authentication_failures_total"), 1);
    assert!(!worker.socket.with_file_name("limits.db").exists());
}
