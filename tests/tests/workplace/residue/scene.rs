//! Turns of many sessions, and who kills their commands, runners and workers meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use evonic_tests::{
    pair::Pair,
    testbed::{Testbed, read_database},
};
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;

use super::{LEVELS, ROWS, STEPS, TURNS};

/// What becomes of nothing: one of these each time, with `EFFECT` somewhere.
const COMMANDS: [&str; 6] = [
    "EFFECT",
    "sleep 0.1; EFFECT; sleep 0.05",
    "sleep 1000 & setsid sleep 1000 >/dev/null 2>&1 & EFFECT",
    "env -i setsid sh -c 'trap : TERM HUP INT; sleep 1000; sleep 1000' & EFFECT; sleep 0.1",
    "cd ${TMPDIR:-.}; mkdir -p $EVONIC_CALL/a; mkfifo $EVONIC_CALL/fifo; cd ~; EFFECT",
    "head -c 200000 /dev/zero | tr '\\0' x; EFFECT; sleep 1000 & kill -STOP $!",
];

/// What was done to commands.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Command ids of those whose runner was killed.
    pub(super) runners: BTreeSet<String>,
    /// Command ids of those that ran when their worker was killed.
    pub(super) workers: BTreeSet<String>,
    /// Turns that were cancelled.
    pub(super) cancelled: BTreeSet<String>,
    /// Workers that were killed.
    pub(super) kills: u64,
}

/// What the turns of all sessions share with who kills.
pub(super) struct Scene<'t> {
    pub(super) testbed: &'t Testbed,
    /// Of each row.
    pub(super) sessions: Vec<Vec<String>>,
    /// The turn that each row runs.
    pub(super) turns: Vec<Mutex<Option<String>>>,
    /// Commands that were begun, of turns that have ended.
    pub(super) began: AtomicU64,
    pub(super) over: AtomicBool,
}

impl Scene<'_> {
    fn pair(&self) -> &Pair {
        &self.testbed.pair
    }

    /// Every worker opens a few things once.
    pub(super) fn warm_up(&self) {
        for row in &self.sessions {
            let ran = self.testbed.run_in(&row[0], "$ true");
            assert!(ran.is_completed(), "{ran:#?}");
        }
    }

    /// Posts turns to a row of sessions, and waits for each one's end.
    pub(super) fn post(&self, number: usize) {
        for round in 0_u64.. {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            let row = &self.sessions[number];
            let session = &row[usize::try_from(round / TURNS).expect("it is small") % row.len()];
            let mut runbook = "on failure continue\n".to_owned();
            for step in 0..STEPS {
                let effect = format!("echo {round}.{step} >> effects-{number}");
                let command = fastrand::choice(COMMANDS).expect("there are some");
                runbook.push_str(&format!("$ {}\n", command.replace("EFFECT", &effect)));
            }
            let turn =
                self.pair().post_under_kills(session, &format!("{session}-{round}"), &runbook);
            *self.turns[number].lock().expect("no panic") = Some(turn.clone());
            let ended = self.pair().wait_for_turn(&turn);
            // No turn is left hanging.
            assert!(matches!(ended["state"].as_str(), Some("completed" | "cancelled")), "{ended}");
            let count = "SELECT COUNT(*) FROM calls WHERE turn_id = ?1";
            let began =
                read_database(self.pair()).query_row(count, [&turn], |row| row.get::<_, u32>(0));
            self.began.fetch_add(began.expect("a count").into(), Ordering::Relaxed);
        }
    }

    /// Kills, until a tenth of the commands was hit and all have run.
    pub(super) fn kill(&self, commands: u64) -> Done {
        let mut done = Done::default();
        let most = |share: u64| (commands / share).max(1) as usize;
        while done.hit() < most(10) || self.began.load(Ordering::Relaxed) < commands {
            // Evenly over all of them.
            let due = self.began.load(Ordering::Relaxed) * most(10) as u64 / commands;
            std::thread::sleep(Duration::from_millis(fastrand::u64(1..60)));
            if (done.hit() as u64) > due + ROWS as u64 {
                continue;
            }
            let may_kill_runner = done.runners.len() < most(125);
            match fastrand::u8(0..10) {
                0..3 if may_kill_runner => self.kill_runner(&mut done),
                3..6 => self.cancel(&mut done),
                _ => self.kill_worker(&mut done),
            }
        }
        done
    }

    /// Of the commands that run now: their ids and their runners' pids.
    fn running(&self) -> Vec<(String, u32)> {
        let folder = self.pair().state_dir().join("commands");
        let runner = |path: &Path| {
            let status = fs::read_to_string(path.join("status")).ok()?;
            let claim = fs::read(path.join("record")).ok()?;
            let claim: Value = serde_json::from_slice(&claim).ok()?;
            let pid = claim["runner"]["runner"]["pid"].as_u64()?;
            let id = path.file_name()?.to_str()?.to_owned();
            status.trim().is_empty().then_some((id, u32::try_from(pid).ok()?))
        };
        let records = fs::read_dir(folder).expect("the folder of records").flatten();
        records.filter_map(|entry| runner(&entry.path())).collect()
    }

    fn kill_runner(&self, done: &mut Done) {
        let Some((command_id, pid)) = fastrand::choice(self.running()) else { return };
        let number = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
        let Ok(runner) = pidfd_open(number.expect("a pid"), PidfdFlags::empty()) else { return };
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if name.trim() == "evonic-runner" {
            done.runners.insert(command_id);
            let _gone = pidfd_send_signal(&runner, Signal::KILL);
        }
    }

    fn kill_worker(&self, done: &mut Done) {
        done.workers.extend(self.running().into_iter().map(|(command_id, _)| command_id));
        done.kills += 1;
        let status = self.pair().wait("a worker", |status| status.worker.is_some());
        let worker = status.worker.expect("it was waited for");
        let (pid, generation) = (worker.pid, worker.generation);
        Pair::signal(pid, nix::sys::signal::Signal::SIGKILL);
        if fastrand::bool() {
            self.pair().wait_for_successor(generation);
        } else {
            // The next one may be hit before it serves.
            self.pair().wait("another worker", |status| {
                status.worker.as_ref().is_some_and(|worker| worker.generation > generation)
            });
        }
    }

    fn cancel(&self, done: &mut Done) {
        let turn = self.turns[fastrand::usize(..ROWS)].lock().expect("no panic").clone();
        let Some(turn) = turn else { return };
        let path = format!("/api/v1/turns/{turn}/cancel");
        if self.pair().request("POST", &path, None).is_ok_and(|answer| answer.status == 202) {
            done.cancelled.insert(turn);
        }
    }

    /// Holds what was told of each command against what was done to it, and what it did.
    pub(super) fn check(&self, done: &Done, commands: u64) {
        let database = read_database(self.pair());
        let mut query = database
            .prepare("SELECT turn_id, call_id, command_id, arguments, outcome FROM calls")
            .expect("a query");
        let text = |row: &rusqlite::Row<'_>, at: usize| row.get::<_, Option<String>>(at);
        let rows = query.query_map([], |row| {
            Ok([text(row, 0)?, text(row, 1)?, text(row, 2)?, text(row, 3)?, text(row, 4)?])
        });
        let contents = self.contents();
        let effects = self.effects();
        let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
        for row in rows.expect("rows") {
            let row = row.expect("a row").map(Option::unwrap_or_default);
            let [turn, call, command_id, arguments, outcome] = row;
            let content = contents.get(&(turn, call)).cloned().unwrap_or_default();
            let said = format!("{command_id} {arguments}: {outcome} {content:.500}");
            let count = effect(&arguments);
            let count = count.map_or(1, |effect| effects.get(&effect).copied().unwrap_or(0));
            match outcome.as_str() {
                "ok" => assert_eq!(count, 1, "{said}"),
                "cancelled" => assert!(count <= 1 && !content.contains("did not say"), "{said}"),
                "error" => assert!(count == 0 && content.contains("it never began"), "{said}"),
                "unknown" => {
                    assert!(count <= 1, "{said}");
                    assert!(
                        done.runners.contains(&command_id),
                        "only its worker was killed: {said}"
                    );
                }
                _ => panic!("{said}"),
            }
            *outcomes.entry(outcome).or_default() += 1;
        }
        let all: u64 = outcomes.values().sum();
        let unknown = outcomes.get("unknown").copied().unwrap_or(0);
        println!(
            "{all} commands: {outcomes:?}; {} workers killed while {} commands ran, {} runners \
             killed, {} turns cancelled",
            done.kills,
            done.workers.len(),
            done.runners.len(),
            done.cancelled.len()
        );
        assert!(all >= commands, "{all}");
        assert!(unknown * 100 <= all.max(100), "{unknown} of {all} are unknown");
    }

    /// How often each effect happened.
    fn effects(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for number in 0..ROWS {
            let folder = self.pair().folder().join(LEVELS[number % LEVELS.len()]);
            let path = folder.join(format!("effects-{number}"));
            for line in fs::read_to_string(path).unwrap_or_default().lines() {
                *counts.entry(format!("{number} {line}")).or_default() += 1;
            }
        }
        counts
    }

    /// What was said of each call, by its turn.
    fn contents(&self) -> BTreeMap<(String, String), String> {
        let database = read_database(self.pair());
        let mut query = database
            .prepare("SELECT turn_id, data FROM items WHERE data LIKE '%tool_result%'")
            .expect("a query");
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)));
        let rows = rows.expect("rows").map(|row| row.expect("a row"));
        let content = |(turn, data): (String, String)| {
            let item: Value = serde_json::from_str(&data).expect("JSON");
            let text = |field: &str| item[field].as_str().unwrap_or_default().to_owned();
            ((turn, text("call_id")), text("content"))
        };
        rows.map(content).collect()
    }
}

impl Done {
    /// How many commands were hit.
    fn hit(&self) -> usize {
        self.workers.union(&self.runners).count() + self.cancelled.len()
    }
}

/// Which effect a call has, by its arguments: the session's number, the turn's and the step's.
fn effect(arguments: &str) -> Option<String> {
    let (before, after) = arguments.split_once(" >> effects-")?;
    let number: String = after.chars().take_while(char::is_ascii_digit).collect();
    Some(format!("{number} {}", before.rsplit(' ').next()?))
}
