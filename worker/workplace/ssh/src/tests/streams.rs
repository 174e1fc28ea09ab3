//! Many streams on few connections.

use futures_util::future::join_all;
use sha2::{Digest, Sha256};

use super::*;

const MIB: usize = 1 << 20;

fn content(bytes: usize) -> Vec<u8> {
    let mut content = vec![0; bytes];
    fastrand::Rng::with_seed(7).fill(&mut content);
    content
}

async fn upload(workplace: &Ssh, path: &str, content: &[u8]) -> Result<u64> {
    let mut upload = workplace.upload(path, "id").await?;
    let from = upload.safe_bytes();
    for piece in content[usize::try_from(from).unwrap()..].chunks(MIB) {
        upload.write(Bytes::copy_from_slice(piece)).await?;
    }
    let hash: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(upload.sha256().await?, hash);
    upload.finish(Some(0o600)).await?;
    Ok(from)
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_come_and_go_without_a_trace() {
    let fixture = Fixture::with("", |config| config.ssh.idle_timeout = Duration::from_millis(100));
    let account = fixture.account();
    let workplace = fixture.open(&account);
    for round in 0..20 {
        assert_eq!(output(&workplace, &format!("m{round}"), "echo x").await, "x\n");
        until("every connection is closed", || fixture.used() == (0, 0)).await;
    }
    assert_eq!(fixture.hosts.states()[0].connections, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_commands_share_few_connections() {
    let fixture = Fixture::with("MaxSessions 3", |_| ());
    let account = fixture.account();
    let workplace = fixture.open(&account);
    let marks: Vec<_> = (0..12).map(|number| format!("m{number}")).collect();
    // More at once than there are channels: the others wait for their turn.
    let all = marks
        .iter()
        .map(|command_id| output(&workplace, command_id, "sleep 0.3; echo $EVONIC_CALL"));
    for (command_id, said) in marks.iter().zip(join_all(all).await) {
        assert_eq!(said.trim(), command_id);
    }
    let (permits, descriptors) = fixture.used();
    assert!(permits <= 4 && descriptors == permits * 2, "{permits} {descriptors}");
    fixture.hosts.close(Duration::from_secs(5)).await;
    assert_eq!(fixture.used(), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn ending_one_stream_cuts_no_other() {
    let fixture = Fixture::new();
    let account = fixture.account();
    let workplace = fixture.open(&account);
    let line = "for i in 1 2 3 4 5 6 7 8 9 10; do echo $i; sleep 0.1; done";
    let (sender, mut receiver) = mpsc::channel(4);
    let cancel = CancellationToken::new();
    let left = async {
        // Given up after its first line, while the other runs.
        tokio::select! {
            finished = workplace.commands().run(spec("m1", line), sender, &cancel) => panic!("{finished:?}"),
            first = receiver.recv() => assert!(first.is_some()),
        }
    };
    let ((), whole) = tokio::join!(left, output(&workplace, "m2", line));
    assert_eq!(whole.lines().count(), 10);
    assert_eq!(fixture.hosts.states()[0].connections, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_are_whole_and_commands_go_on_beside_them() {
    let fixture = Fixture::new();
    let account = fixture.account();
    let workplace = fixture.open(&account);
    let content = content(64 * MIB);
    output(&workplace, "warm", "true").await;
    let began = Instant::now();
    output(&workplace, "alone", "echo x").await;
    let alone = began.elapsed();
    let beside = async {
        let began = Instant::now();
        output(&workplace, "beside", "echo x").await;
        began.elapsed()
    };
    let began = Instant::now();
    let (up, beside) = tokio::join!(upload(&workplace, "big", &content), beside);
    up.unwrap();
    let up = began.elapsed();
    let began = Instant::now();
    assert!(download(&workplace, "big", 0).await.unwrap() == content);
    let down = began.elapsed();
    println!("64 MiB up with its hash {up:?}, down {down:?}; echo {alone:?}, beside {beside:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_nobody_up() {
    let fixture = Fixture::new();
    let account = fixture.account();
    let workplace = fixture.open(&account);
    output(&workplace, "warm", "head -c 33554432 /dev/zero >big").await;
    let mut slow = workplace.download("big", 0).await.unwrap();
    assert!(slow.bytes.next().await.unwrap().is_ok());
    assert_eq!(download(&workplace, "big", 0).await.unwrap().len(), 32 * MIB);
    let rest: usize = slow
        .bytes
        .map_ok(|bytes| bytes.len())
        .try_fold(0, |sum, n| async move { Ok(sum + n) })
        .await
        .unwrap();
    assert!(rest > 31 * MIB, "{rest}");
}
