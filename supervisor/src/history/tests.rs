use std::time::Duration;

use evonic_shared::{
    reason::Reason,
    status::{Exit, Measure},
};

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

/// A history with its disk, as the supervisor has it.
struct Kept {
    history: History,
    disk: Disk,
}

impl Kept {
    fn open(folder: &Path) -> Self {
        let (history, file) = History::open(folder).unwrap();
        Self { history, disk: Disk::start(folder.to_owned(), file).unwrap() }
    }

    fn save(&mut self) {
        self.history.save(&self.disk);
        assert!(self.disk.flush(Duration::from_secs(20)));
    }

    fn add(&mut self, generation: u64) {
        self.history.started(generation);
        self.save();
        self.history.record(replacement(generation));
        self.save();
    }
}

fn open(folder: &Path) -> History {
    Kept::open(folder).history
}

fn generations(history: &History) -> Vec<u64> {
    history.newest_first().map(|entry| entry.generation).collect()
}

#[test]
fn survives_a_new_supervisor() {
    let folder = tempfile::tempdir().unwrap();
    let mut kept = Kept::open(folder.path());
    assert_eq!((kept.history.generation, kept.history.last()), (0, None));
    for generation in 1..=3 {
        kept.add(generation);
    }
    kept.history.started(9);
    kept.save();
    let again = open(folder.path());
    assert_eq!(generations(&again), [3, 2, 1]);
    assert_eq!((again.generation, again.restarts.crash, again.restarts.total), (9, 3, 3));
}

#[test]
fn keeps_the_last_ones_and_a_bounded_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut kept = Kept::open(folder.path());
    for generation in 1..=1000 {
        kept.add(generation);
        assert!(kept.history.lines <= MAX_LINES);
    }
    let again = open(folder.path());
    assert_eq!(generations(&again), (801..=1000).rev().collect::<Vec<_>>());
    assert_eq!(again.restarts.total, 1000);
    let text = std::fs::read_to_string(folder.path().join("history.jsonl")).unwrap();
    assert_eq!(text.lines().count(), kept.history.lines);
}

#[test]
fn every_torn_end_and_any_garbage_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let mut kept = Kept::open(folder.path());
    for generation in 1..=3 {
        kept.add(generation);
    }
    let path = folder.path().join("history.jsonl");
    let whole = std::fs::read(&path).unwrap();
    let third = whole.iter().rev().skip(1).position(|&byte| byte == b'\n').unwrap();
    for cut in 1..=third {
        std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
        let mut kept = Kept::open(folder.path());
        assert_eq!(generations(&kept.history), [2, 1], "{cut} bytes cut");
        assert_eq!(kept.history.generation, 3);
        kept.add(4);
        assert_eq!(generations(&open(folder.path())), [4, 2, 1]);
    }
    let mut garbage = vec![0xff; 200_000];
    garbage.extend(b"\n{}\n[1]\n");
    garbage.extend(&whole);
    garbage.extend(b"\0\0\0");
    std::fs::write(&path, &garbage).unwrap();
    assert_eq!(generations(&open(folder.path())), [3, 2, 1]);
    assert_eq!(generations(&open(folder.path())), [3, 2, 1]);
}

fn tampering(number: usize) -> Tampering {
    Tampering { at: "now".into(), detail: number.to_string(), measure: Measure::PutBack }
}

#[test]
fn tampering_is_kept_beside_replacements() {
    let folder = tempfile::tempdir().unwrap();
    let mut kept = Kept::open(folder.path());
    for number in 1..=600 {
        kept.history.tampered(tampering(number));
        kept.save();
        assert!(kept.history.lines <= MAX_LINES);
    }
    kept.add(1);
    let again = open(folder.path());
    assert_eq!(again.last_tampering(), Some(&tampering(600)));
    assert_eq!(again.tampering_newest_first().count(), KEPT_TAMPERING);
    assert_eq!(generations(&again), [1]);
}

#[test]
fn what_the_disk_refused_is_written_with_the_next_change() {
    let folder = tempfile::tempdir().unwrap();
    let mut kept = Kept::open(folder.path());
    kept.add(1);
    let path = folder.path().join("history.jsonl");
    // It is opened anew where its name is gone, and a folder cannot be.
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    kept.history.record(replacement(2));
    kept.save();
    std::fs::remove_dir(&path).unwrap();
    kept.add(3);
    assert_eq!(generations(&open(folder.path())), [3, 2, 1]);
}

#[test]
fn a_disk_that_does_not_answer_stops_nobody_and_gets_everything_later() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("disk");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, fifo, mode, 0).unwrap();
    let (mut history, file) = History::open(folder.path()).unwrap();
    let stalled = pipe.clone();
    // It opens when somebody reads.
    let wait = move || drop(std::fs::OpenOptions::new().write(true).open(&stalled).unwrap());
    let disk = Disk::start_behind(folder.path().to_owned(), file, wait).unwrap();
    for generation in 1..=100 {
        history.record(replacement(generation));
        history.save(&disk);
    }
    assert!(history.is_behind, "the queue is bounded");
    assert!(!folder.path().join("history.jsonl").exists());
    let keep_open = OFlags::RDWR;
    let _reader = rustix::fs::open(&pipe, keep_open, rustix::fs::Mode::empty()).unwrap();
    assert!(disk.flush(Duration::from_secs(20)));
    history.save(&disk);
    assert!(disk.flush(Duration::from_secs(20)));
    assert_eq!(generations(&open(folder.path())), (1..=100).rev().collect::<Vec<_>>());
}
