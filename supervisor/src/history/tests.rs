use evonic_shared::{reason::Reason, status::Exit};

use super::*;

fn replacement(generation: u64) -> Replacement {
    Replacement {
        at: "2026-11-03T12:30:05.120Z".into(),
        generation,
        pid: 100,
        reason: Reason::Crash,
        detail: "exited with code 1".into(),
        exit: Exit::Code { code: 1 },
        fd_open: 20,
        took_ms: 3,
        lived_seconds: 1.5,
        post_mortem: None,
    }
}

fn add(history: &mut History, generation: u64) {
    history.started(generation);
    history.save().unwrap();
    history.record(replacement(generation));
    history.save().unwrap();
}

fn generations(history: &History) -> Vec<u64> {
    history.newest_first().map(|entry| entry.generation).collect()
}

#[test]
fn survives_a_new_supervisor() {
    let folder = tempfile::tempdir().unwrap();
    let mut history = History::open(folder.path()).unwrap();
    assert_eq!((history.generation, history.last()), (0, None));
    for generation in 1..=3 {
        add(&mut history, generation);
    }
    history.started(9);
    history.save().unwrap();
    let again = History::open(folder.path()).unwrap();
    assert_eq!(generations(&again), [3, 2, 1]);
    assert_eq!((again.generation, again.restarts.crash, again.restarts.total), (9, 3, 3));
}

#[test]
fn keeps_the_last_ones_and_a_bounded_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut history = History::open(folder.path()).unwrap();
    for generation in 1..=1000 {
        add(&mut history, generation);
        assert!(history.lines <= MAX_LINES);
    }
    let again = History::open(folder.path()).unwrap();
    assert_eq!(generations(&again), (801..=1000).rev().collect::<Vec<_>>());
    assert_eq!(again.restarts.total, 1000);
    let text = std::fs::read_to_string(folder.path().join("history.jsonl")).unwrap();
    assert_eq!(text.lines().count(), history.lines);
}

#[test]
fn every_torn_end_and_any_garbage_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let mut history = History::open(folder.path()).unwrap();
    for generation in 1..=3 {
        add(&mut history, generation);
    }
    let path = folder.path().join("history.jsonl");
    let whole = std::fs::read(&path).unwrap();
    let third = whole.iter().rev().skip(1).position(|&byte| byte == b'\n').unwrap();
    for cut in 1..=third {
        std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
        let mut history = History::open(folder.path()).unwrap();
        assert_eq!(generations(&history), [2, 1], "{cut} bytes cut");
        assert_eq!(history.generation, 3);
        add(&mut history, 4);
        assert_eq!(generations(&History::open(folder.path()).unwrap()), [4, 2, 1]);
    }
    let mut garbage = vec![0xff; 200_000];
    garbage.extend(b"\n{}\n[1]\n");
    garbage.extend(&whole);
    garbage.extend(b"\0\0\0");
    std::fs::write(&path, &garbage).unwrap();
    assert_eq!(generations(&History::open(folder.path()).unwrap()), [3, 2, 1]);
    assert_eq!(generations(&History::open(folder.path()).unwrap()), [3, 2, 1]);
}
