//! Links that break.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_in_the_middle_of_a_command_loses_no_line() {
    let fixture = Fixture::new();
    let account = fixture.account();
    let workplace = fixture.open(&account);
    let line = "i=0; while [ $i -lt 20 ]; do echo line $i; i=$((i+1)); sleep 0.1; done; exit 3";
    let running = run(&workplace, "m1", line);
    let cut = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let _killed = fixture.sshd.cut();
        }
    };
    let (finished, ()) = tokio::join!(running, cut);
    let (finished, output) = finished.unwrap();
    assert_eq!(finished.ended, Ended::Exited(3));
    let wanted: String = (0..20).map(|number| format!("line {number}\n")).collect();
    assert_eq!(output, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_was_cut_goes_on_where_it_was() {
    let fixture = Fixture::new();
    let account = fixture.account();
    let workplace = fixture.open(&account);
    let mut upload = workplace.upload("big", "id").await.unwrap();
    let piece = Bytes::from(vec![7; 1 << 20]);
    for _ in 0..8 {
        upload.write(piece.clone()).await.unwrap();
    }
    let _killed = fixture.sshd.cut();
    let error = loop {
        if let Err(error) = upload.write(piece.clone()).await {
            break error;
        }
    };
    assert_eq!(error.class(), Class::Transient, "{}", chain(&error));
    drop(upload);
    let mut upload = workplace.upload("big", "id").await.unwrap();
    assert!(upload.safe_bytes() >= 4 << 20, "{}", upload.safe_bytes());
    upload.write(piece.clone()).await.unwrap();
    upload.finish(None).await.unwrap();
    let left = std::fs::read_dir(&account.home).unwrap();
    let names: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().any(|name| name == "big") && names.len() <= 2, "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_link_is_noticed() {
    let fixture = Fixture::with("", |config| {
        config.ssh.keepalive_interval = Duration::from_millis(200);
        config.ssh.dead_after = Duration::from_secs(1);
        config.ssh.connect_timeout = Duration::from_secs(3);
        config.ssh.retries = 0;
    });
    let account = fixture.account();
    let workplace = fixture.open(&account);
    output(&workplace, "m1", "true").await;
    fixture.sshd.freeze(true);
    let began = Instant::now();
    let error = workplace.stat(".").await.unwrap_err();
    let noticed = began.elapsed();
    fixture.sshd.freeze(false);
    assert_eq!(error.class(), Class::Transient, "{}", chain(&error));
    assert!(noticed < Duration::from_secs(10), "{noticed:?}: {}", chain(&error));
    assert_eq!(output(&workplace, "m2", "echo x").await, "x\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_login_is_told_once() {
    let fixture = Fixture::new();
    let (account, other) = (fixture.account(), fixture.sshd.account("/bin/sh", "other"));
    let settings =
        SshSettings { identity_files: vec![other.key.clone()], ..fixture.settings(&account) };
    let workplace = fixture.hosts.open(&settings, None).unwrap();
    for tries in 1..=3 {
        let error = workplace.stat(".").await.unwrap_err();
        assert_eq!(error.class(), Class::Permanent, "{}", chain(&error));
        until("the server has told of it", || {
            fixture.sshd.log().matches("Connection closed by authenticating").count() <= tries
        })
        .await;
        until("nothing is left open", || fixture.used() == (0, 0)).await;
    }
}
