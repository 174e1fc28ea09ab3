//! Keys: every scope against every route, keys that do not do, and the first one.

mod commands;
mod first;
mod refused;
mod scopes;
mod service;
mod user;

use evonic_tests::pair::{Options, Pair};
use serde_json::{Value, json};

/// A pair without rate limits.
fn pair() -> Pair {
    Pair::start(&Options::config("[limits]\nenabled = false\n"))
}

/// Makes a key with this body; the key itself, and its identifier.
fn make(pair: &Pair, body: &Value) -> (String, String) {
    let made = pair.expect(201, "POST", "/api/v1/keys", Some(body));
    let text = |member: &str| made[member].as_str().expect("a text").to_owned();
    (text("secret"), text("id"))
}

/// A key of this scope.
fn key_of(pair: &Pair, scope: &str) -> String {
    make(pair, &json!({"name": format!("key-{scope}"), "scope": scope})).0
}
