//! What a handle is told, and which files are refused.

use rusqlite::Connection;

use super::*;

fn pragma<T: rusqlite::types::FromSql>(reader: &Reader<'_>, name: &str) -> T {
    reader.connection().pragma_query_value(None, name, |row| row.get(0)).unwrap()
}

fn settings_of(reader: &Reader<'_>) -> Vec<(&'static str, i64)> {
    ["foreign_keys", "synchronous", "temp_store", "busy_timeout", "query_only"]
        .map(|name| (name, pragma(reader, name)))
        .to_vec()
}

#[test]
fn every_handle_is_told_the_same() {
    let mut harness = Harness::new();
    for _ in 0..2 {
        let (writer, its_mode) = harness
            .write(|writer| Ok((settings_of(writer), pragma::<String>(writer, "journal_mode"))));
        let (reader, mode) = harness
            .read(|reader| Ok((settings_of(reader), pragma::<String>(reader, "journal_mode"))));
        assert_eq!((mode.as_str(), its_mode.as_str()), ("wal", "wal"));
        let every = [("foreign_keys", 1), ("synchronous", 2), ("temp_store", 2)];
        assert_eq!(writer[..3], every);
        assert_eq!(reader[..3], every);
        // It waits for a lock in small portions, and answers others between two of them.
        assert_eq!(writer[3..], [("busy_timeout", 50), ("query_only", 0)]);
        assert_eq!(reader[3..], [("busy_timeout", 5_000), ("query_only", 1)]);
        harness.reopen();
    }
}

#[test]
fn sqlite_is_built_as_it_was_measured() {
    let harness = Harness::new();
    let options: Vec<String> = harness.read(|reader| {
        reader.all("options", "SELECT compile_options FROM pragma_compile_options", [], |row| {
            row.get(0)
        })
    });
    for wanted in
        ["DEFAULT_MEMSTATUS=0", "THREADSAFE=1", "OMIT_LOAD_EXTENSION", "DEFAULT_FOREIGN_KEYS"]
    {
        assert!(options.iter().any(|option| option == wanted), "{wanted}: {options:?}");
    }
    assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
}

#[test]
fn a_reader_cannot_write_and_sees_one_state() {
    let harness = Harness::new();
    let write = harness
        .try_read(|reader| reader.one("write", "DELETE FROM agents RETURNING 1", [], |_| Ok(())));
    assert!(matches!(write, Err(StoreError::Sql { .. })), "{write:?}");

    let store = harness.store.clone();
    let runtime = harness.runtime.handle().clone();
    let (before, after) = harness.read(move |reader| {
        let count = || reader.sessions(None, &WHOLE).map(|page| page.data.len());
        let before = count()?;
        runtime.block_on(
            store.change(Origin::inside(), |writer| writer.create_session(new_session("runbook"))),
        )?;
        Ok((before, count()?))
    });
    assert_eq!((before, after), (0, 0));
    let all = harness.read(|reader| reader.sessions(None, &WHOLE));
    assert_eq!(all.data.len(), 1);
}

#[test]
fn what_was_written_is_there_again() {
    let mut harness = Harness::new();
    let session = harness.session();
    harness.reopen();
    let id = session.id.clone();
    assert_eq!(harness.read(move |reader| reader.session(&id)), session);
    let agents = harness.read(|reader| reader.agents(None, &WHOLE)).data;
    assert_eq!(agents.len(), 1, "the schema is made once");
    let Agent { name, model, instructions, tools, .. } = &agents[0];
    assert_eq!((name.as_str(), model.as_str()), ("runbook", "runbook"));
    assert_eq!((instructions.as_str(), tools), ("", &None));
    let (mark, version) = harness.read(|reader| {
        Ok((pragma::<i32>(reader, "application_id"), pragma::<u32>(reader, "user_version")))
    });
    assert_eq!((mark.to_be_bytes(), version), (*b"evon", schema::KNOWN));
}

#[expect(clippy::disallowed_methods, reason = "a file that another program made")]
fn made_by_another(statements: &str) -> (tempfile::TempDir, StoreError) {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(folder.path());
    Connection::open(&path).unwrap().execute_batch(statements).unwrap();
    let before = std::fs::read(&path).unwrap();
    let budget = budget(HANDLES);
    let refusal = Store::open(&path, &SETTINGS, budget.clone()).unwrap_err();
    assert_eq!(std::fs::read(&path).unwrap(), before, "a refused file is left as it is");
    let usage = budget.usage().into_iter().find(|usage| usage.kind == Kind::Sqlite).unwrap();
    assert_eq!((usage.permits, usage.descriptors), (0, 0));
    (folder, refusal)
}

#[test]
fn a_later_version_is_refused() {
    let mark = i32::from_be_bytes(*b"evon");
    let (_folder, refusal) =
        made_by_another(&format!("PRAGMA application_id = {mark}; PRAGMA user_version = 99;"));
    match refusal {
        StoreError::Newer { found: 99, known: schema::KNOWN, .. } => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_of_another_program_is_refused() {
    for made in [
        "CREATE TABLE notes (text TEXT)",
        "PRAGMA application_id = 7; CREATE TABLE notes (text TEXT)",
        "PRAGMA user_version = 1; CREATE TABLE notes (text TEXT)",
        "PRAGMA user_version = -1",
    ] {
        let (_folder, refusal) = made_by_another(made);
        assert!(matches!(refusal, StoreError::Alien { .. }), "{made}: {refusal:?}");
    }
}

#[test]
fn what_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(folder.path());
    std::fs::write(&path, "this is a text and not a database ".repeat(100)).unwrap();
    let refusal = Store::open(&path, &SETTINGS, budget(HANDLES)).unwrap_err();
    assert!(
        matches!(&refusal, StoreError::Open { path: told, .. } if *told == path),
        "{refusal:?}"
    );

    let missing = folder.path().join("no").join("such").join("folder");
    let refusal = Store::open(&missing, &SETTINGS, budget(HANDLES)).unwrap_err();
    assert!(matches!(refusal, StoreError::Open { .. }), "{refusal:?}");
}

#[test]
fn the_writer_needs_a_permit() {
    let folder = tempfile::tempdir().unwrap();
    let budget = budget(2);
    let permits = [(); 2].map(|()| budget.try_acquire(Kind::Sqlite).unwrap());
    let refusal = Store::open(&path_in(folder.path()), &SETTINGS, budget.clone()).unwrap_err();
    assert!(matches!(refusal, StoreError::Exhausted(_)), "{refusal:?}");
    assert!(!path_in(folder.path()).exists(), "nothing is opened without a permit");
    drop(permits);
}
