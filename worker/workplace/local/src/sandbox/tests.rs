//! What each level lets a command do, and that what it cannot do is told.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    time::Instant,
};

use evonic_runner::Level;
use evonic_shared::config::{CommandNetwork, Config, FolderAccess, Sandbox as Wanted};
use tokio_util::sync::CancellationToken;

use super::{Probed, Reach, describe};
use crate::{
    fixture::{Fixture, bash, eventually},
    protections,
};
use evonic_backend::{CommandSpec, Ended, WorkplaceError};

/// The levels that confine.
const CONFINING: [Wanted; 2] = [Wanted::Namespaces, Wanted::Landlock];

fn fixture(wanted: Wanted) -> Fixture {
    let fixture = Fixture::with(|config| config.workplace.sandbox = wanted);
    // A command of root's service is another user: its way to the root must not end before.
    fs::set_permissions(fixture.outside(""), fs::Permissions::from_mode(0o711)).expect("ours");
    fixture
}

/// In namespaces, with a folder more that commands may read.
fn with_more() -> (Fixture, tempfile::TempDir) {
    let more = tempfile::tempdir().expect("a folder");
    fs::set_permissions(more.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    let fixture = Fixture::with(|config| {
        config.workplace.sandbox = Wanted::Namespaces;
        config.workplace.paths =
            vec![FolderAccess { path: more.path().to_owned(), writable: false }];
    });
    (fixture, more)
}

async fn succeeds(fixture: &Fixture, script: &str) -> bool {
    let (finished, output) = fixture.run(bash(script), &CancellationToken::new()).await;
    let ended = finished.expect("it starts").ended;
    println!("{script}: {ended:?} {output}");
    ended == Ended::Exited(0)
}

#[tokio::test]
async fn a_confined_command_works_in_its_root() {
    for wanted in CONFINING {
        let fixture = fixture(wanted);
        fixture.put("old", "old");
        for script in [
            "echo x > new && mkdir -p a/b && mv new a/b/ && cat a/b/new && ln -s a/b link && rm -r a",
            "echo x > /dev/null; head -c 4 /dev/urandom | od; cat /proc/self/status /etc/hosts",
            "cat <<END\nhere\nEND",
            "cd \"$HOME\" && f=$(mktemp) && echo x > \"$f\" && rm \"$f\" && [ -x /bin/sh ] && ls /etc /usr",
            "(exec sleep 100) & kill $! && : > /dev/stderr",
        ] {
            assert!(succeeds(&fixture, script).await, "{wanted}: {script}");
        }
        fixture.assert_given_back().await;
    }
}

#[tokio::test]
async fn a_confined_command_gets_nowhere_else() {
    for wanted in CONFINING {
        let fixture = fixture(wanted);
        fs::write(fixture.outside("state"), "secret").expect("it is written");
        let outside = fixture.outside("");
        let (outside, state) = (outside.display(), fixture.state().display());
        let own = std::process::id();
        assert!(succeeds(&fixture, "sleep 0").await);
        for script in [
            &format!("cat {outside}/state"),
            &format!("echo x > {outside}/written"),
            &format!("echo x >> {outside}/state"),
            &format!("rmdir {outside}/empty"),
            &format!("mkdir {state}/commands/another"),
            &format!("ls {state}/commands"),
            &format!("ln {outside}/state stolen && cat stolen"),
            &format!("ln -s {outside}/state link && cat link"),
            &format!("kill -0 {own}"),
            &format!("prlimit --pid {own} --nofile=3:3"),
            &format!("renice 19 {own}"),
            "cat /etc/shadow",
            &format!("cat /proc/{own}/environ >/dev/null"),
            "unshare -U true",
            "echo x > /etc/evonic-was-here || echo x > /usr/evonic-was-here",
        ] {
            fs::create_dir_all(fixture.outside("empty")).expect("a folder");
            assert!(!succeeds(&fixture, script).await, "{wanted}: {script}");
        }
        fixture.assert_given_back().await;
    }
}

#[tokio::test]
async fn in_namespaces_nothing_of_the_machine_is_seen() {
    let fixture = fixture(Wanted::Namespaces);
    let own = std::process::id();
    for script in [
        "[ $(ls /proc | grep -c '^[0-9]*$') -le 6 ]",
        "[ -z \"$(ls /root /home 2>/dev/null)\" ]",
        "[ -z \"$(ls -A /dev/shm)\" ] && [ $(ls -A /tmp | wc -l) -le 1 ] && echo x > /dev/shm/x && echo x > /tmp/x",
        &format!("[ ! -e {} ]", fixture.state().display()),
        "[ \"$(ls /dev/pts)\" = ptmx ] && ! : < /dev/tty",
        "[ ! -e /run/docker.sock ] && [ ! -e /var/run/docker.sock ] && [ ! -e /run/dbus ]",
        &format!("[ ! -e /proc/{own} ] || ! grep -q evonic /proc/{own}/cmdline"),
        "echo x > /proc/sys/kernel/domainname; [ \"$(cat /proc/1/environ 2>/dev/null)\" = '' ]",
    ] {
        assert!(succeeds(&fixture, script).await, "{script}");
    }
    // Its init cannot be looked into, killed or stopped, and outlives none of it.
    for script in ["kill -9 1; kill -STOP 1; sleep 0.2", "ls /proc/1/fd && exit 1; exit 0"] {
        assert!(succeeds(&fixture, script).await, "{script}");
    }
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn a_workplace_may_be_without_the_network() {
    let fixture = Fixture::with(|config| config.workplace.network = CommandNetwork::None);
    let script =
        "[ $(grep -c : /proc/net/dev) = 1 ] && ! (echo > /dev/tcp/127.0.0.1/9) 2>/dev/null";
    assert!(succeeds(&fixture, script).await);
    let refused = Fixture::with(|config| {
        config.workplace.network = CommandNetwork::None;
        config.workplace.sandbox = Wanted::Landlock;
    });
    let (result, _) = refused.run(bash("true"), &CancellationToken::new()).await;
    let error = result.expect_err("it cannot be had");
    assert!(
        matches!(&error, WorkplaceError::Settings { field, .. } if field == "network"),
        "{error:?}"
    );
}

/// As `useradd` replaces `/etc/shadow`, and who renews a certificate its key.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_replaced_while_it_is_covered_keeps_no_command_from_starting() {
    let (fixture, more) = with_more();
    let (secret, next) = (more.path().join("secret"), more.path().join("next"));
    fs::write(&secret, "secret").expect("a file");
    fixture.local.hide([secret.clone()]);
    let over = std::sync::atomic::AtomicBool::new(false);
    let script = format!("! grep -q secret {}", secret.display());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                fs::write(&next, "secret").expect("a file");
                fs::rename(&next, &secret).expect("it is replaced");
                std::thread::park_timeout(std::time::Duration::from_micros(200));
            }
        });
        let commands = async {
            let mut ended = Vec::new();
            for _ in 0..40 {
                let (finished, _) = fixture.run(bash("true"), &CancellationToken::new()).await;
                ended.push(finished.map(|finished| finished.ended));
            }
            ended
        };
        let ended =
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(commands));
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        for ended in ended {
            assert_eq!(ended.expect("it starts"), Ended::Exited(0));
        }
    });
    assert!(succeeds(&fixture, &script).await);
    fixture.assert_given_back().await;
}

/// A certificate is renewed while a command runs.
#[tokio::test]
async fn a_secret_that_takes_the_place_of_another_in_a_closed_folder_is_covered() {
    let (fixture, more) = with_more();
    let closed = more.path().join("closed");
    let (secret, next) = (closed.join("secret"), closed.join("next"));
    fs::create_dir(&closed).expect("a folder");
    fs::write(&secret, "first").expect("a file");
    fs::write(&next, "second").expect("a file");
    // The commands' user could read them.
    let root = fs::metadata(fixture.path("")).expect("the root");
    for path in [&closed, &secret, &next] {
        chown(path, Some(root.uid()), Some(root.gid())).expect("it is given");
    }
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("ours");
    fixture.local.hide([secret.clone()]);
    let script = format!(
        "touch begun; until [ -e go ]; do sleep 0.01; done; cat {} {}/*",
        secret.display(),
        closed.display()
    );
    let replace = async {
        eventually("it runs", || fixture.path("begun").exists()).await;
        fs::rename(&next, &secret).expect("it is replaced");
        fixture.put("go", "");
    };
    let cancel = CancellationToken::new();
    let ((_, output), ()) = tokio::join!(fixture.run(bash(&script), &cancel), replace);
    assert!(!output.contains("first") && !output.contains("second"), "{output}");
    fixture.assert_given_back().await;
}

/// The folder of a session, replaced by a link while nobody looked.
#[tokio::test]
async fn a_session_folder_that_was_replaced_by_a_link_is_refused() {
    let fixture = fixture(Wanted::Auto);
    let session = evonic_domain::SessionId::new();
    let settings = evonic_domain::LocalSettings {
        session_folders: true,
        ..evonic_domain::LocalSettings::default()
    };
    fs::create_dir_all(fixture.path("sessions")).expect("a folder");
    std::os::unix::fs::symlink(fixture.state(), fixture.path("sessions").join(session.as_str()))
        .expect("a link");
    fixture.local.at(&settings, Some(&session)).expect_err("it leads out");
}

#[tokio::test]
async fn what_is_not_confined_may_go_where_the_user_may() {
    let fixture = Fixture::with(|config| {
        config.workplace.sandbox = Wanted::None;
        config.workplace.user = rustix::process::geteuid().is_root().then(|| "root".to_owned());
    });
    let script = format!("echo x > {}/written", fixture.outside("").display());
    assert!(succeeds(&fixture, &script).await);
    let mut open = Config::defaults("/nowhere".into(), "/nowhere".into());
    open.workplace.sandbox = Wanted::None;
    let protections = protections(&open);
    let sandbox = protections.iter().find(|protection| protection.name == "sandbox");
    assert!(sandbox.expect("it is told").advice.is_some());
}

#[tokio::test]
async fn more_is_read_and_written_when_it_is_configured() {
    for wanted in CONFINING {
        let more = tempfile::tempdir().expect("a folder");
        fs::set_permissions(more.path(), fs::Permissions::from_mode(0o755)).expect("ours");
        for folder in ["read", "write"] {
            fs::create_dir(more.path().join(folder)).expect("a folder");
            let everybody = fs::Permissions::from_mode(0o777);
            fs::set_permissions(more.path().join(folder), everybody).expect("ours");
        }
        fs::write(more.path().join("read/file"), "x").expect("a file");
        let fixture = Fixture::with(|config| {
            config.workplace.sandbox = wanted;
            config.workplace.paths = [("read", false), ("missing", false), ("write", true)]
                .map(|(name, writable)| FolderAccess { path: more.path().join(name), writable })
                .into();
        });
        fs::set_permissions(fixture.outside(""), fs::Permissions::from_mode(0o711)).expect("ours");
        let more = more.path().display();
        assert!(
            succeeds(&fixture, &format!("cat {more}/read/file && echo x > {more}/write/x")).await
        );
        assert!(!succeeds(&fixture, &format!("echo x > {more}/read/new")).await);
    }
}

#[tokio::test]
async fn a_folder_that_commands_cannot_read_is_not_in_their_path() {
    let config = Config::defaults("/nowhere".into(), "/nowhere".into());
    let reach = Reach::new(&config, "/usr/bin:/bin").expect("it is made");
    let sandbox = reach.sandbox(Level::Landlock, "/srv".into(), CommandNetwork::Host);
    let is_readable =
        |folder: &str| evonic_runner::confinement::is_readable(&sandbox, folder.as_ref());
    assert!(is_readable("/usr/bin") && is_readable("/srv/tools"));
    assert!(!is_readable("/root") && !is_readable("/etc/evonic"));
}

/// What a person has set never falls back; what nobody has set takes the best there is.
#[test]
fn a_level_is_what_was_wished_for() {
    fn no<T>() -> Result<T, String> {
        Err("no".to_owned())
    }
    let able = |namespaces, landlock| Probed { namespaces, landlock };
    let (all, old, poor) = (able(Ok(()), Ok(7)), able(no(), Ok(7)), able(no(), no()));
    let host = CommandNetwork::Host;
    for (probed, auto) in [(&all, Level::Namespaces), (&old, Level::Landlock), (&poor, Level::None)]
    {
        assert_eq!(probed.level(Wanted::Auto, host), Ok(auto));
        assert_eq!(probed.level(Wanted::None, host), Ok(Level::None));
    }
    assert_eq!(all.level(Wanted::Landlock, host), Ok(Level::Landlock));
    assert_eq!(old.level(Wanted::Namespaces, host).unwrap_err().0, "sandbox");
    assert_eq!(poor.level(Wanted::Landlock, host).unwrap_err().0, "sandbox");
    for wanted in Wanted::ALL {
        assert_eq!(old.level(wanted, CommandNetwork::None).unwrap_err().0, "network");
    }
}

#[test]
fn what_can_be_reached_is_said() {
    let config = Config::defaults("/nowhere".into(), "/nowhere".into());
    let say = |level, namespaces: Result<(), String>, landlock, network| {
        let probed = Probed { namespaces, landlock: Ok(landlock) };
        describe(level, &probed, network, &config.workplace)
    };
    let (sockets, signals) = ("abstract Unix sockets of the machine", "can be signalled");
    // Landlock of version 6 closes them, as does a network of the command's own.
    let old = say(Level::Namespaces, Ok(()), 5, CommandNetwork::Host);
    assert!(old.contains(sockets) && !old.contains(signals), "{old}");
    for (landlock, network) in [(6, CommandNetwork::Host), (5, CommandNetwork::None)] {
        let said = say(Level::Namespaces, Ok(()), landlock, network);
        assert!(!said.contains(sockets) && !said.contains(signals), "{said}");
    }
    let lower = say(Level::Landlock, Err("no bwrap".to_owned()), 5, CommandNetwork::Host);
    assert!(lower.contains(signals) && lower.contains("cannot be had: no bwrap"), "{lower}");
}

#[tokio::test]
async fn limits_hold_from_the_first_instruction_on() {
    let fixture = Fixture::with(|config| {
        config.workplace.max_file_bytes = 1 << 20;
        config.workplace.max_open_files = 64;
        config.workplace.max_memory_bytes = 256 << 20;
        config.workplace.max_processes = 3000;
        config.workplace.max_cpu_time = Some(std::time::Duration::from_secs(1));
    });
    let script = "ulimit -c; ulimit -n; ulimit -f; ulimit -d; ulimit -u; ulimit -t; \
                  ulimit -Hn; cat /proc/self/oom_score_adj";
    let (finished, output) = fixture.run(bash(script), &CancellationToken::new()).await;
    assert_eq!(finished.expect("it starts").ended, Ended::Exited(0));
    let limits: Vec<_> = output.split_whitespace().collect();
    assert_eq!(limits, ["0", "64", "1024", "262144", "3000", "1", "64", "500"], "{output}");
    let big = "head -c 2000000 /dev/zero > big";
    assert!(!succeeds(&fixture, big).await);
    assert_eq!(fs::metadata(fixture.path("big")).expect("it is cut").len(), 1 << 20);
    let (finished, _) = fixture.run(bash("while :; do :; done"), &CancellationToken::new()).await;
    assert!(matches!(finished.expect("it starts").ended, Ended::Signalled(9 | 24)));
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn a_launch_costs_little() {
    let mut took = Vec::new();
    for wanted in [Wanted::None, Wanted::Landlock, Wanted::Namespaces] {
        let fixture = fixture(wanted);
        let mut times = Vec::new();
        for _ in 0..30 {
            let spec = CommandSpec { argv: vec!["true".to_owned()], ..bash("") };
            let begin = Instant::now();
            let (finished, _) = fixture.run(spec, &CancellationToken::new()).await;
            assert_eq!(finished.expect("it starts").ended, Ended::Exited(0));
            times.push(begin.elapsed());
        }
        times.sort();
        println!("{wanted}: median {:?}, slowest {:?}", times[15], times[29]);
        took.push(times[15]);
        fixture.assert_given_back().await;
    }
    assert!(took[2] < took[0] * 4 + std::time::Duration::from_millis(50), "{took:?}");
}
