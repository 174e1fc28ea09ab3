//! Links that break.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_in_the_middle_of_a_command_loses_no_line() {
    let bench = Bench::new();
    let account = bench.account();
    let place = bench.open(&account);
    let line = "i=0; while [ $i -lt 20 ]; do echo line $i; i=$((i+1)); sleep 0.1; done; exit 3";
    let running = run(&place, "m1", line);
    let cut = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let _killed = bench.sshd.cut();
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
    let bench = Bench::new();
    let account = bench.account();
    let place = bench.open(&account);
    let mut upload = place.upload("big", "id").await.unwrap();
    let piece = Bytes::from(vec![7; 1 << 20]);
    for _ in 0..8 {
        upload.write(piece.clone()).await.unwrap();
    }
    let _killed = bench.sshd.cut();
    let error = loop {
        if let Err(error) = upload.write(piece.clone()).await {
            break error;
        }
    };
    assert_eq!(error.class(), Class::Transient, "{}", told(&error));
    drop(upload);
    let mut upload = place.upload("big", "id").await.unwrap();
    assert!(upload.safe_bytes() >= 4 << 20, "{}", upload.safe_bytes());
    upload.write(piece.clone()).await.unwrap();
    upload.finish(None).await.unwrap();
    let left = std::fs::read_dir(&account.home).unwrap();
    let names: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().any(|name| name == "big") && names.len() <= 2, "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_link_is_noticed() {
    let bench = Bench::with("", |config| {
        config.ssh.keepalive_interval = Duration::from_millis(200);
        config.ssh.dead_after = Duration::from_secs(1);
        config.ssh.connect_timeout = Duration::from_secs(3);
        config.ssh.retries = 0;
    });
    let account = bench.account();
    let place = bench.open(&account);
    output(&place, "m1", "true").await;
    bench.sshd.freeze(true);
    let began = Instant::now();
    let error = place.stat(".").await.unwrap_err();
    let noticed = began.elapsed();
    bench.sshd.freeze(false);
    assert_eq!(error.class(), Class::Transient, "{}", told(&error));
    assert!(noticed < Duration::from_secs(10), "{noticed:?}: {}", told(&error));
    assert_eq!(output(&place, "m2", "echo x").await, "x\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_login_is_told_once() {
    let bench = Bench::new();
    let (account, other) = (bench.account(), bench.sshd.account("/bin/sh", "other"));
    let settings =
        SshSettings { identity_files: vec![other.key.clone()], ..bench.settings(&account) };
    let place = bench.hosts.open(&settings, None).unwrap();
    for tries in 1..=3 {
        let error = place.stat(".").await.unwrap_err();
        assert_eq!(error.class(), Class::Permanent, "{}", told(&error));
        until("the server has told of it", || {
            bench.sshd.log().matches("Connection closed by authenticating").count() <= tries
        })
        .await;
        until("nothing is left open", || bench.used() == (0, 0)).await;
    }
}
