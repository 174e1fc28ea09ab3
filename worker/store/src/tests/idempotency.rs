//! Answers that are kept for a repeated request.

use super::*;
use crate::{KeptAnswer, RequestKey};

fn request(owner: &str, key: &str, fingerprint: u8) -> RequestKey {
    RequestKey { owner: owner.to_owned(), key: key.to_owned(), fingerprint: [fingerprint; 32] }
}

fn answer(id: &str) -> KeptAnswer {
    KeptAnswer { location: format!("/things/{id}"), body: format!("{{\"id\":\"{id}\"}}") }
}

/// Answers `request` as a creation does: with what is kept, or with something new.
fn create(harness: &Harness, request: RequestKey, id: &str) -> Option<KeptAnswer> {
    try_create(harness, request, id).unwrap()
}

fn try_create(
    harness: &Harness,
    request: RequestKey,
    id: &str,
) -> Result<Option<KeptAnswer>, StoreError> {
    let answer = answer(id);
    harness.try_write(move |writer| {
        let known = writer.answer(&request)?;
        if known.is_none() {
            writer.keep_answer(&request, &answer)?;
        }
        Ok(known)
    })
}

#[test]
fn a_repeated_request_has_its_answer() {
    let harness = Harness::new();
    assert_eq!(create(&harness, request("a", "k", 1), "1"), None);
    assert_eq!(create(&harness, request("a", "k", 1), "2"), Some(answer("1")));
    assert_conflict(try_create(&harness, request("a", "k", 2), "3"), "key_reused");
    assert_eq!(create(&harness, request("b", "k", 2), "4"), None);
}

#[test]
fn an_answer_is_kept_only_with_what_it_tells_of() {
    let harness = Harness::new();
    let undone = harness.try_write(|writer| {
        writer.keep_answer(&request("a", "k", 1), &answer("1"))?;
        Err::<(), _>(StoreError::Fenced)
    });
    assert!(undone.is_err());
    assert_eq!(create(&harness, request("a", "k", 2), "2"), None);
}

#[test]
fn answers_expire_and_are_bounded_for_each_owner() {
    let harness = Harness::new();
    let count = || {
        harness.read(|reader| {
            reader.one("count", "SELECT COUNT(*) FROM answers", [], |row| row.get::<_, u32>(0))
        })
    };
    create(&harness, request("a", "old", 1), "1");
    let known = || {
        let old = request("a", "old", 1);
        harness.read(move |reader| reader.answer(&old))
    };
    harness.write(|writer| {
        let sql = "UPDATE answers SET created_at = '2020-01-01T00:00:00.000Z'";
        writer.execute("age answer", sql, [])
    });
    assert_eq!(known(), Some(answer("1")), "the clock may have been set forwards");
    harness.pass_days(2);
    assert_eq!(known(), Some(answer("1")));
    harness.pass_days(1);
    assert_eq!(known(), None);
    create(&harness, request("b", "new", 1), "1");
    assert_eq!(count(), 1, "what has expired goes with the next");
    for key in 0..300 {
        create(&harness, request("a", &key.to_string(), 1), "1");
    }
    assert_eq!(count(), 256 + 1);
    assert_eq!(create(&harness, request("a", "0", 1), "2"), None, "the oldest goes first");
    assert_eq!(create(&harness, request("a", "299", 1), "2"), Some(answer("1")));
}
