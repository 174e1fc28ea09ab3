//! Commands that the version before started.

use super::*;

fn previous_record(fixture: &Fixture, command_id: &str) -> std::path::PathBuf {
    let record = fixture.state().join("spool").join(command_id).join(command_id);
    std::fs::create_dir_all(&record).expect("a folder");
    record
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "commands that no runner of this version has")]
async fn a_command_of_the_version_before_is_followed_to_its_end() {
    let fixture = Fixture::new();
    let record = previous_record(&fixture, "old-1");
    std::fs::write(record.join("out"), "begun\n").expect("a file");
    let mut running = std::process::Command::new("sleep")
        .arg("1000")
        .env("EVONIC_CALL", "old-1")
        .spawn()
        .expect("it starts");
    let later = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut out =
            std::fs::OpenOptions::new().append(true).open(record.join("out")).expect("it");
        std::io::Write::write_all(&mut out, b"end\n").expect("it is written");
        std::fs::write(record.join("status"), "exited 7 0\n").expect("a file");
    };
    let (told, ()) = tokio::join!(follow(&fixture, "old-1"), later);
    assert_eq!(told, (Ended::Exited(7), "egun\nend\n".to_owned()));
    let output = fixture.local.commands().output("old-1", 2, 3).await.expect("it is read");
    assert_eq!(&output[..], b"gun");

    // Another one is killed, by what it carries in its environment.
    let killed =
        std::process::Command::new("sleep").arg("1000").env("EVONIC_CALL", "old-2").spawn();
    let mut killed = killed.expect("it starts");
    previous_record(&fixture, "old-2");
    assert_eq!(fixture.local.commands().kill("old-2").await.expect("it is killed"), 1);
    assert!(!killed.wait().expect("it ended").success());
    running.kill().expect("it is there");
    running.wait().expect("it ended");
    fixture.assert_given_back().await;
}

/// That record was the command's to write: no file of it leads anywhere or is waited for.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "as a command would")]
async fn a_record_of_the_version_before_is_read_as_a_strangers() {
    let fixture = Fixture::new();
    let secret = fixture.state().join("secret");
    std::fs::write(&secret, "exited 0 0\nsecret\n").expect("a file");
    for (round, make) in ["ln -s", "ln", "mkfifo", "mkdir"].into_iter().enumerate() {
        let command_id = format!("stranger-{round}");
        let record = previous_record(&fixture, &command_id);
        for name in ["out", "status"] {
            let mut made = std::process::Command::new("sh");
            let line = match make {
                "ln -s" | "ln" => format!("{make} {} {name}", secret.display()),
                _ => format!("{make} {name}"),
            };
            assert!(made.args(["-c", &line]).current_dir(&record).status().expect("sh").success());
        }
        let told = follow(&fixture, &command_id).await;
        let unknown = Ended::Unknown(Unknown::WatcherKilled);
        assert_eq!(told, (unknown, String::new()), "{make}");
        fixture.local.commands().output(&command_id, 0, 9).await.expect_err("nothing is there");
    }
    assert_eq!(std::fs::read_to_string(&secret).expect("it"), "exited 0 0\nsecret\n");
    fixture.assert_given_back().await;
}
