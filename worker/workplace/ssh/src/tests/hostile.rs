//! A host that answers as it likes, once its login shell has been asked for the home.

use std::{
    fs,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::PathBuf,
};

use evonic_parts::PeakMemory;

use super::*;

/// The most memory of a worker, whatever hosts answer.
const MEMORY_BYTES: u64 = 64 << 20;

/// What runs in the login shell's place: `ForceCommand`. It runs the script that asks for the home,
/// and answers every other one by its mode.
const SHELL: &str = r#"#!/bin/sh
folder=FOLDER
mode=$(cat "$folder/mode")
case $SSH_ORIGINAL_COMMAND in
*sftp*)
	[ "$mode" != mute ] || exec sleep 1000
	exec /usr/lib/openssh/sftp-server
	;;
esac
n='
'
IFS= read -r line
case $line in *elsewhere=*)
	[ "$mode" != banner ] || exec yes hello
	eval "$line"
	exit
	;;
esac
echo asked >>"$folder/asked"
nonce=${line#set -- \'}
nonce=${nonce%%\'*}
case $mode in
noise) exec yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx ;;
output) printf '%s\n' "$nonce" && exec yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx ;;
complaints) exec yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx >&2 ;;
line) exec tr '\000' x </dev/zero >&2 ;;
lines) printf '%s\n' "$nonce" && exec yes "$nonce end - nothing" >&2 ;;
names) printf '51\000/\n\000/\n\000' && exec yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx ;;
marks) exec tr '\000' / </dev/zero ;;
esac
"#;

struct Stranger {
    _fixture: Fixture,
    folder: TempDir,
    workplace: Ssh,
}

impl Stranger {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let shell: PathBuf = folder.path().join("shell");
        let text = SHELL.replace("FOLDER", folder.path().to_str().unwrap());
        fs::write(&shell, text).unwrap();
        fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).unwrap();
        let config = format!("ForceCommand {}", shell.display());
        let fixture = Fixture::with(&config, |config| {
            config.ssh.connect_timeout = Duration::from_secs(5);
            config.ssh.retries = 0;
            config.spool.max_output_bytes = 65_536;
        });
        let workplace = fixture.open(&fixture.account());
        Self { _fixture: fixture, folder, workplace }
    }

    fn set_mode(&self, mode: &str) {
        fs::write(self.folder.path().join("mode"), mode).unwrap();
        let asked = self.folder.path().join("asked");
        let mut options = fs::OpenOptions::new();
        options.create(true).write(true).truncate(true).mode(0o666);
        let file = options.open(&asked).unwrap();
        file.set_permissions(fs::Permissions::from_mode(0o666)).unwrap();
    }

    /// How often a script was run.
    fn asked(&self) -> usize {
        fs::read_to_string(self.folder.path().join("asked")).unwrap().lines().count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_floods_costs_little_and_is_asked_once() {
    let stranger = Stranger::new();
    let workplace = &stranger.workplace;
    stranger.set_mode("");
    workplace.home().await.unwrap();
    for mode in ["noise", "output", "complaints", "line", "lines", "names", "marks"] {
        stranger.set_mode(mode);
        let memory = PeakMemory::begin();
        let killed = workplace.commands().kill("c1").await.map(drop);
        let read = workplace.commands().output("c1", 0, 1000).await.map(drop);
        let found = workplace.search("x", ".", None, 100).await.map(drop);
        let listed = workplace.list(".", 3, 100).await.map(drop);
        let tidied = workplace.spool.tidy().await;
        let peak = memory.bytes();
        println!("{mode}: {} MiB", peak >> 20);
        assert!(peak < MEMORY_BYTES, "{mode}: {} MiB", peak >> 20);
        for (number, result) in [killed, read, found, listed, tidied].into_iter().enumerate() {
            let error = result.unwrap_err();
            assert_eq!(error.class(), Class::Permanent, "{mode} {number}: {}", chain(&error));
        }
        assert_eq!(stranger.asked(), 5, "{mode}: each once");

        let memory = PeakMemory::begin();
        let (sender, mut output) = mpsc::channel::<Bytes>(4);
        let cancel = CancellationToken::new();
        let discard = async { while output.recv().await.is_some() {} };
        let running =
            workplace.commands().run(spec(&format!("run-{mode}"), "true"), sender, &cancel);
        let (finished, ()) = tokio::join!(running, discard);
        let finished = finished.unwrap();
        assert!(matches!(finished.ended, Ended::Unknown(_)), "{mode}: {finished:?}");
        assert!(memory.bytes() < MEMORY_BYTES, "{mode}: {} MiB", memory.bytes() >> 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_shell_that_prints_without_end_is_refused() {
    let stranger = Stranger::new();
    stranger.set_mode("banner");
    let (memory, began) = (PeakMemory::begin(), Instant::now());
    let error = run(&stranger.workplace, "c1", "true").await.unwrap_err();
    assert_eq!(error.class(), Class::Permanent, "{}", chain(&error));
    assert!(memory.bytes() < MEMORY_BYTES, "{} MiB", memory.bytes() >> 20);
    // Not by the time that a login shell may take: 30 s.
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_accepts_sftp_and_says_nothing_is_given_up() {
    let stranger = Stranger::new();
    stranger.set_mode("mute");
    let began = Instant::now();
    let error = stranger.workplace.stat("x").await.unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{}", chain(&error));
    // `ssh.connect_timeout`, and the end of the channel, are 5 s each.
    assert!(began.elapsed() < Duration::from_secs(50), "{:?}", began.elapsed());
}
