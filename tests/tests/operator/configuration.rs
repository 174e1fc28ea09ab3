//! A configuration that was broken on disk while the pair serves.

use std::fs;

use evonic_tests::{
    pair::{Options, Pair},
    troubleshooting::assert_documented,
};

use crate::said;

const WARNING: &str = "the configuration cannot be used as it is; a service that runs has its own";

/// Commands that need only the folders of it.
const COMMANDS: [&[&str]; 5] =
    [&["status"], &["history"], &["census"], &["restart"], &["agent", "list"]];

#[test]
fn what_runs_is_shown_and_restarted_whatever_has_become_of_its_file() {
    let pair = Pair::start(&Options::default());
    let sound = fs::read_to_string(pair.config_file()).expect("the file");
    for broken in [
        sound.clone() + "\n[supervisor]\ngrace = \"soon\"\n",
        sound.replace("log =", "lgo ="),
        format!("this is no TOML\n{sound}"),
        format!("log = \"never closed\n{sound}"),
        sound.clone() + "\n[fd\nthreshold = \n",
    ] {
        fs::write(pair.config_file(), &broken).expect("the file");
        let commands = if broken.contains("soon") { &COMMANDS[..] } else { &COMMANDS[..1] };
        for command in commands {
            let output = pair.evonic(command);
            assert_eq!(output.status.code(), Some(0), "{command:?} of {broken}: {output:?}");
            assert_documented(WARNING, &said(&output));
        }
    }
    let (_, generation) = pair.worker();
    let output = pair.evonic(&["restart", "--reload"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert_eq!(pair.worker().1, generation, "a reload refuses it");
    fs::write(pair.config_file(), b"log = \"\xff\"\n").expect("the file");
    let run = pair.runtime_dir();
    for there in [true, false] {
        if !there {
            fs::remove_file(pair.config_file()).expect("the file");
        }
        let mut command = pair.evonic_command(&["status"]);
        let output = command.env("EVONIC_RUNTIME_DIR", &run).output().expect("it starts");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_documented(WARNING, &said(&output));
    }
}
