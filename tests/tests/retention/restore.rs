//! A copy that is put in the place of the database.

use std::fs;

use evonic_shared::status::State;
use evonic_tests::{
    pair::{Options, Pair},
    troubleshooting::assert_documented,
};
use rusqlite::Connection;

use crate::{CONFIG, database, evonic, text};

fn titles(pair: &Pair) -> usize {
    let list = pair.expect(200, "GET", "/api/v1/sessions", None);
    list["data"].as_array().expect("a list").len()
}

#[test]
fn a_copy_is_restored_while_nothing_runs_and_never_over_what_is_newer() {
    let options = Options::config(CONFIG);
    let mut pair = Pair::start(&options);
    let _ = pair.session("runbook");
    let file = |name: &str| pair.folder().join(name).display().to_string();
    let (copy, damaged, alien, later) =
        (file("copy"), file("damaged"), file("alien"), file("later"));
    evonic(&pair, &["backup", &copy]);
    let _ = pair.session("runbook");
    let refused = text(&pair.evonic(&["restore", &copy]));
    assert_documented("a service runs on …: stop it first", &refused);
    assert_eq!(pair.stop(), Some(0));

    let refused = text(&pair.evonic(&["restore", &copy]));
    assert_documented("the database is newer than the copy: its last change is of …", &refused);
    let mut bytes = fs::read(&copy).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0x5a);
    fs::write(&damaged, bytes).unwrap();
    let refused = text(&pair.evonic(&["restore", &damaged, "--force"]));
    assert_documented("copy … is damaged: …", &refused);
    Connection::open(&alien).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    let refused = text(&pair.evonic(&["restore", &alien, "--force"]));
    assert!(refused.contains("belongs to another program"), "{refused}");
    fs::copy(&copy, &later).unwrap();
    Connection::open(&later).unwrap().execute_batch("PRAGMA user_version = 999").unwrap();
    let refused = text(&pair.evonic(&["restore", &later, "--force"]));
    assert!(refused.contains("has schema version 999"), "{refused}");
    assert!(!pair.state_dir().join("evonic.db.restoring").exists());

    let said = evonic(&pair, &["restore", &copy, "--force"]);
    let former = said.split("The former database is ").nth(1).expect("its name");
    let former = former.trim_end().trim_end_matches('.').to_owned();
    pair.start_again(&options, &[]);
    pair.wait("it serves", |status| status.state == State::Running);
    assert_eq!(titles(&pair), 1, "the second one is not in the copy");
    assert_eq!(pair.stop(), Some(0));
    // The former one is whole, and may come back.
    let connection = Connection::open(&former).unwrap();
    let sql = "SELECT COUNT(*) FROM sessions";
    assert_eq!(connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), 2);
    drop(connection);
    evonic(&pair, &["restore", &former]);
    pair.start_again(&options, &[]);
    pair.wait("it serves", |status| status.state == State::Running);
    assert_eq!(titles(&pair), 2);
    assert_eq!(pair.stop(), Some(0));

    // A database of before does not shrink; what is restored does.
    fs::remove_file(database(&pair)).unwrap();
    let connection = Connection::open(&copy).unwrap();
    connection.execute_batch("PRAGMA auto_vacuum = NONE; VACUUM").unwrap();
    drop(connection);
    evonic(&pair, &["restore", &copy]);
    let connection = Connection::open(database(&pair)).unwrap();
    let mode = connection.pragma_query_value(None, "auto_vacuum", |row| row.get::<_, i64>(0));
    assert_eq!(mode.unwrap(), 2);
}
