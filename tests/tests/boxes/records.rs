//! Output that cannot be stored, and searches that do not read everything, are told as what they
//! are.

use std::{fs, os::unix::fs::MetadataExt, path::Path, time::Duration};

use evonic_tests::{
    pair::Options,
    poll,
    testbed::{QUICK_CLOSE, Ran, Testbed},
    troubleshooting::assert_documented,
};

use super::copies::SmallDisk;

fn last(ran: &Ran) -> (String, String) {
    ran.results().pop().expect("a result")
}

const FLOOD: &str = "on failure continue\n$ head -c 4000000 /dev/zero | tr '\\0' x; echo $? >&2";

fn assert_told(ran: &Ran) {
    let (outcome, said) = last(ran);
    assert_eq!(outcome, "error", "{said}");
    assert_documented("its output could not be stored on its machine (…)", &said);
    assert!(
        said.contains("No space left on device"),
        "{}",
        &said[said.len().saturating_sub(400)..]
    );
    assert!(!said.contains("141"), "{}", &said[said.len().saturating_sub(400)..]);
}

#[test]
fn output_that_fills_the_disk_of_its_record_is_told_as_that() {
    let (testbed, account) = Testbed::ssh(&Options::config(QUICK_CLOSE));
    let records = account.home.join(".evonic");
    let owner = fs::metadata(&account.home).expect("it").uid();
    let disk = SmallDisk::mount(&records, Some(owner), 512);
    let session = testbed.pair.session("ssh");
    assert_told(&testbed.run_in(&session, FLOOD));
    // Its record goes with the next command, which may find no room until then.
    let again = || testbed.run_in(&session, "on failure continue\n$ echo again");
    poll::until("there is room again", Duration::from_secs(20), again, |ran| {
        let (_, said) = last(ran);
        assert!(said.contains("again") || said.contains("is the disk full?"), "{said}");
        (ran.output() == "again\n").then_some(())
    });
    drop(disk);
    let records = testbed.pair.state_dir().join("commands");
    let _disk = SmallDisk::mount(&records, None, 512);
    assert_told(&testbed.run("runbook", FLOOD));
}

fn deep(folder: &Path) {
    let mut at = folder.join("deep");
    let name = "n".repeat(100);
    for _ in 0..60 {
        at = at.join(&name);
    }
    // Longer than a path may be: made step by step.
    let script = format!(
        "cd '{}' && mkdir deep && cd deep && for i in $(seq 60); do mkdir {name} && cd {name}; done \
         && echo needle > leaf",
        folder.display()
    );
    let made = std::process::Command::new("bash").args(["-c", &script]).status();
    assert!(made.expect("bash").success());
}

#[test]
fn a_search_leaves_nothing_out_without_a_word() {
    let (testbed, account) = Testbed::ssh(&Options::config(QUICK_CLOSE));
    let ran = testbed.run("runbook", "$ pwd");
    let local = ran.output().trim().to_owned();
    for (agent, folder) in [("runbook", Path::new(&local)), ("ssh", account.home.as_path())] {
        let tree = folder.join("tree");
        fs::create_dir(&tree).expect("a folder");
        let mut at = tree.clone();
        for level in 0..60 {
            at = at.join(format!("{level}"));
        }
        fs::create_dir_all(&at).expect("folders");
        fs::write(at.join("leaf"), "needle\n").expect("a file");
        // A binary of gigabytes, which comes before it.
        let binary = fs::File::create(tree.join("0-binary")).expect("a file");
        binary.set_len(3 << 30).expect("a hole");
        let (outcome, said) = last(&testbed.run(agent, "search needle in tree"));
        assert_eq!(outcome, "ok", "{agent}: {said}");
        assert!(said.contains("leaf:1:needle") && !said.contains("in what was read"), "{said}");
        deep(folder);
        let (outcome, said) = last(&testbed.run(agent, "search needle in deep"));
        assert_eq!(outcome, "ok", "{agent}: {said}");
        assert_documented("… could not be read]", &said);
    }
}
