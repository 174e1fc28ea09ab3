//! Keys that are kept, and those that are not any more.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::*;
use evonic_domain::{Hash, Key, KeyId, Scope};

fn add(harness: &Harness, name: &str) -> Key {
    let hash: Hash = [7; 32];
    let (id, name) = (KeyId::new(), name.parse().unwrap());
    let expires_in = Some(Duration::from_secs(60));
    let row = KeyRow { id, name, hash, scope: Scope::Read, agents: None, expires_in };
    change(harness, move |writer| writer.create_key(row))
}

fn change<T: Send + 'static>(
    harness: &Harness,
    change: impl FnOnce(&mut AuditedWriter<'_, '_>) -> Result<T, StoreError> + Send + 'static,
) -> T {
    harness.wait(harness.store.change(Origin::inside(), change)).unwrap()
}

fn names(harness: &Harness) -> Vec<String> {
    let paging = Paging { limit: 200, after: None };
    let keys = harness.read(move |reader| reader.keys(&paging));
    let mut names: Vec<_> = keys.data.into_iter().map(|key| key.name.to_string()).collect();
    names.sort();
    names
}

#[test]
fn keys_that_have_not_been_good_for_long_are_purged_but_the_last_that_was_made() {
    let harness = Harness::new();
    let [old, recent, expired] = ["old", "recent", "expired"].map(|name| add(&harness, name));
    let revoke = |key: &Key| {
        let id = key.id.to_string();
        change(&harness, move |writer| writer.revoke_key(&id))
    };
    assert!(revoke(&old).revoked_at.is_some());
    #[expect(clippy::disallowed_methods, reason = "a test turns the clock back behind its back")]
    let connection = Connection::open(&harness.path).unwrap();
    let set = |column: &str, key: &Key, days: i64| {
        let at = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * days);
        let sql = format!("UPDATE api_keys SET {column} = ?2 WHERE id = ?1");
        connection.execute(&sql, params![key.id.as_str(), format!("{at:.3}")]).unwrap();
    };
    set("expires_at", &expired, 31);
    let wrong = add(&harness, "wrong");
    set("expires_at", &wrong, 31);
    harness.pass_days(1);
    assert!(revoke(&recent).revoked_at.is_some());
    // As when the clock was set forwards for a while.
    set("expires_at", &wrong, -31);
    let all = ["expired", "old", "recent", "wrong"];
    assert_eq!(names(&harness), all, "however long ago the clock says that it was");
    harness.pass_days(29);
    assert_eq!(names(&harness), all, "until a key is changed");
    let last = add(&harness, "last");
    assert_eq!(names(&harness), ["last", "recent", "wrong"]);
    revoke(&last);
    harness.pass_days(31);
    revoke(&last);
    assert_eq!(names(&harness), ["last", "wrong"]);
    assert!(harness.read(|reader| reader.has_keys()));
    let audited: i64 = connection
        .query_row("SELECT COUNT(*) FROM audit WHERE target = ?1", [old.id.as_str()], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(audited, 2, "that it was made, and that it was revoked");
}
