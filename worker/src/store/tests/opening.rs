//! What is opened, how, and what is refused.

use rusqlite::Connection;

use super::*;

/// Opens the file past the gate: only while no store of this process has it open.
#[expect(clippy::disallowed_methods, reason = "prepares files that the gate must refuse")]
fn outside(path: &std::path::Path) -> Connection {
    Connection::open(path).unwrap()
}

fn open(path: &std::path::Path) -> Result<Store, StoreError> {
    Store::open(path, &SETTINGS, budget(9))
}

#[tokio::test]
async fn every_handle_is_durable_and_checks_references() {
    let rig = Rig::new();
    let pragmas = |connection: &Connection| {
        let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let mode = connection.pragma_query_value(None, "journal_mode", |row| row.get(0));
        let mode: String = mode.unwrap();
        let names = ["synchronous", "foreign_keys", "busy_timeout", "temp_store", "query_only"];
        (mode, names.map(|name| number(name).unwrap()))
    };
    let read = rig.store.read(move |reader| Ok(pragmas(reader.connection()))).await.unwrap();
    assert_eq!(read, ("wal".to_owned(), [2, 1, 5_000, 2, 1]));
    let write = rig.store.write(move |writer| Ok(pragmas(writer.connection()))).await.unwrap();
    assert_eq!(write, ("wal".to_owned(), [2, 1, 5_000, 2, 0]));
}

#[tokio::test]
async fn sqlite_is_compiled_for_threads() {
    let rig = Rig::new();
    let list = |reader: &crate::store::Reader<'_>| {
        reader.all("options", "PRAGMA compile_options", [], |row| row.get::<_, String>(0))
    };
    let options = rig.store.read(move |reader| list(reader)).await.unwrap();
    assert!(options.contains(&"DEFAULT_MEMSTATUS=0".to_owned()), "{options:?}");
    assert!(options.contains(&"THREADSAFE=1".to_owned()), "{options:?}");
}

#[tokio::test]
async fn a_reader_cannot_write() {
    let rig = Rig::new();
    let sql = "DELETE FROM agents";
    let refused = rig.store.read(move |reader| reader.first("cheat", sql, [], |_| Ok(()))).await;
    assert!(matches!(refused, Err(StoreError::Sql { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_fresh_database_has_the_runbook_agent_and_keeps_it_once() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let store = open(&path(&folder)).unwrap();
        let agents = store.read(|reader| reader.agents(&page(10))).await.unwrap().data;
        assert_eq!(agents.len(), 1);
        let agent = &agents[0];
        assert_eq!((agent.name.as_str(), agent.model.as_str()), ("runbook", "runbook"));
        assert_eq!((agent.instructions.as_str(), &agent.tools), ("", &None));
        store.close();
    }
}

#[test]
fn closing_leaves_one_file_of_the_latest_version() {
    let folder = tempfile::tempdir().unwrap();
    open(&path(&folder)).unwrap().close();
    let files = std::fs::read_dir(folder.path()).unwrap();
    let files: Vec<_> = files.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["evonic.db"]);
    let connection = outside(&path(&folder));
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    assert_eq!(number("user_version").unwrap(), 1);
    assert_eq!(number("application_id").unwrap().to_be_bytes(), *b"evon");
}

#[test]
fn a_later_version_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    open(&path(&folder)).unwrap().close();
    outside(&path(&folder)).pragma_update(None, "user_version", 2).unwrap();
    let before = std::fs::read(path(&folder)).unwrap();
    let refused = open(&path(&folder)).unwrap_err();
    assert!(matches!(refused, StoreError::Newer { found: 2, known: 1, .. }), "{refused:?}");
    assert_eq!(std::fs::read(path(&folder)).unwrap(), before);
}

#[test]
fn a_database_of_another_program_is_refused_and_left_alone() {
    let prepared = [
        "CREATE TABLE theirs (id INTEGER)",
        "PRAGMA application_id = 7",
        "PRAGMA user_version = 3",
    ];
    for sql in prepared {
        let folder = tempfile::tempdir().unwrap();
        outside(&path(&folder)).execute_batch(sql).unwrap();
        let before = std::fs::read(path(&folder)).unwrap();
        let refused = open(&path(&folder)).unwrap_err();
        assert!(matches!(refused, StoreError::Alien { .. }), "{sql}: {refused:?}");
        assert_eq!(std::fs::read(path(&folder)).unwrap(), before, "{sql}");
    }
}

#[test]
fn what_is_no_database_or_cannot_be_made_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(path(&folder), [b'x'; 5_000]).unwrap();
    let refused = open(&path(&folder)).unwrap_err();
    assert!(matches!(refused, StoreError::Open { .. }), "{refused:?}");
    let refused = open(&folder.path().join("missing").join("evonic.db")).unwrap_err();
    assert!(matches!(refused, StoreError::Open { .. }), "{refused:?}");
}

#[test]
fn a_refused_store_leaves_no_descriptor_and_no_permit() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(path(&folder), [b'x'; 5_000]).unwrap();
    let budget = budget(9);
    Store::open(&path(&folder), &SETTINGS, budget.clone()).unwrap_err();
    let usage = budget.usage()[Kind::Sqlite.slot()];
    assert_eq!((usage.descriptors, usage.permits), (0, 0));
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let rig = Rig::new();
    let session = rig.session().await.id;
    let mut followed = rig.store.subscribe(&session);
    rig.store.clone().close();
    assert!(matches!(rig.store.ping().await, Err(StoreError::Closed)));
    let read = rig.store.read(|reader| reader.backlog()).await;
    assert!(matches!(read, Err(StoreError::Closed)), "{read:?}");
    let write = rig.store.write(|_| Ok(())).await;
    assert!(matches!(write, Err(StoreError::Closed)), "{write:?}");
    assert!(followed.next().await.is_none());
    assert!(rig.store.subscribe(&session).next().await.is_none());
}
