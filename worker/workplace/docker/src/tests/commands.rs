//! Commands, their limits, and what they leave behind.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use evonic_parts::Engine;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::world::{World, engine, run, spec, until};
use crate::spec::IDLE_PROCESSES;
use evonic_backend::{
    Backend, Ended, Rewrite,
    spool::{Purpose, Script, ScriptEnd, ScriptOutput, Shell},
};

fn processes(engine: &Engine, name: &str) -> Vec<String> {
    let top = engine.docker(&["top", name, "-eo", "pid,args"]);
    top.lines().skip(1).map(str::to_owned).collect()
}

async fn nothing_runs(engine: &Engine, name: &str) {
    until("nothing runs", || async {
        let left = processes(engine, name);
        if left.len() <= IDLE_PROCESSES { Ok(()) } else { Err(left.join("\n")) }
    })
    .await;
}

fn script(text: &str, input: &'static [u8]) -> Script {
    Script {
        text: text.to_owned(),
        arguments: vec!["a b".to_owned(), "-n 'x'\n".to_owned()],
        input: Bytes::from_static(input),
        purpose: Purpose::Serve,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_are_attached_and_end_with_their_caller() {
    let engine = engine();
    let world = World::new(&engine).await;
    let place = world.place().await;
    let (shell, name) = (place.sandbox(), place.name());
    let (sender, mut said) = mpsc::channel(64);
    let text = r#"printf '%s|' "$@"; cat; echo bad >&2; exit 7"#;
    let end = shell.script(script(text, b"input\n"), sender).await.unwrap();
    assert_eq!(end, ScriptEnd::Exited(7));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some(piece) = said.recv().await {
        match piece {
            ScriptOutput::Out(piece) => out.extend_from_slice(&piece),
            ScriptOutput::Err(piece) => err.extend_from_slice(&piece),
        }
    }
    assert_eq!(String::from_utf8(out).unwrap(), "a b|-n 'x'\n|input\n");
    assert_eq!(err, b"bad\n");
    nothing_runs(&engine, name).await;

    for input in [b"".as_slice(), b"x"] {
        let (sender, mut said) = mpsc::channel(64);
        let script = script("sleep 1000 & echo begun; tail -f /dev/null", input);
        let dropped = tokio::select! {
            end = shell.script(script, sender) => Err(end),
            Some(_) = said.recv() => Ok(()),
        };
        dropped.unwrap();
        nothing_runs(&engine, name).await;
    }
    until("all is given back", || async {
        let used = world.used();
        if used.descriptors == 0 && used.permits == 0 { Ok(()) } else { Err(format!("{used:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_within_the_limits_of_their_container() {
    let engine = engine();
    let world = World::new(&engine).await;
    let mut place = world.place().await;
    let line = "id -u; pwd; cat; echo x 2>/dev/null >/etc/x || echo read-only; echo x >/tmp/x && \
                echo tmp; ls /sys/class/net; grep -E 'CapEff|NoNewPrivs' /proc/self/status; exit 3";
    let mut command = spec(line);
    command.stdin = Bytes::from_static(b"input\n");
    let (finished, said) = run(&place, command).await.unwrap();
    assert_eq!(finished.ended, Ended::Exited(3), "{said}");
    assert_eq!(
        said,
        "1000\n/workspace\ninput\nread-only\ntmp\nlo\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n"
    );
    let host = engine.docker(&[
        "inspect",
        "-f",
        "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} \
         {{.HostConfig.PidsLimit}} {{len .Mounts}} {{.HostConfig.Privileged}} \
         {{range .HostConfig.Ulimits}}{{.Name}}={{.Soft}}:{{.Hard}}{{end}}",
        place.name(),
    ]);
    assert_eq!(host.trim(), "1073741824 1073741824 1000000000 256 1 false nofile=1024:1024");

    // A limit of time leaves nothing behind.
    let mut command = spec("(setsid sleep 1000 &); sleep 1000 & sleep 1000");
    command.timeout = Duration::from_secs(1);
    let (finished, _) = run(&place, command).await.unwrap();
    assert_eq!(finished.ended, Ended::TimedOut);
    nothing_runs(&engine, place.name()).await;

    // Want of memory is named.
    place = {
        let mut settings = world.settings.clone();
        settings.memory_bytes = 32 << 20;
        let session = world.session().await;
        world.engines.open(&world.workplace, &settings, &session).unwrap()
    };
    let line = "exec tail -c 100000000 /dev/zero";
    let (finished, _) = run(&place, spec(line)).await.unwrap();
    let news = place.news().unwrap_or_default();
    assert!(news.contains("32 MiB"), "{finished:?} {news}");
    assert_eq!(place.news(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_command_is_killed_and_a_left_one_goes_on() {
    let engine = engine();
    let world = World::new(&engine).await;
    let place = Arc::new(world.place().await);
    let cancel = CancellationToken::new();
    let (sender, mut output) = mpsc::channel::<Bytes>(16);
    let running = place.commands().run(spec("echo begun; sleep 1000"), sender, &cancel);
    let (finished, ()) = tokio::join!(running, async {
        output.recv().await.unwrap();
        cancel.cancel();
    });
    assert_eq!(finished.unwrap().ended, Ended::Cancelled);
    nothing_runs(&engine, place.name()).await;

    let command = spec("echo one; while [ ! -e go ]; do sleep 0.1; done; echo two");
    let command_id = command.command_id.clone();
    let cancel = CancellationToken::new();
    let (sender, mut output) = mpsc::channel::<Bytes>(16);
    tokio::select! {
        ended = place.commands().run(command, sender, &cancel) => panic!("{ended:?}"),
        Some(piece) = output.recv() => assert_eq!(piece, "one\n"),
    }
    place.write("go", Bytes::new(), Rewrite::Whole).await.unwrap();
    let (sender, mut output) = mpsc::channel::<Bytes>(16);
    let finished = place.commands().attach(&command_id, 4, sender, &cancel).await.unwrap();
    assert_eq!(finished.ended, Ended::Exited(0));
    assert_eq!(output.recv().await.unwrap(), "two\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_lives_through_a_restart_of_the_engine() {
    let mut engine = Engine::start();
    engine.make_image();
    let world = World::new(&engine).await;
    let place = world.place().await;
    place.stat("").await.unwrap();
    let line = "n=0; while [ $n -lt 40 ]; do echo line $n; n=$((n + 1)); sleep 0.1; done; exit 5";
    let (ran, ()) = tokio::join!(run(&place, spec(line)), async {
        tokio::time::sleep(Duration::from_millis(800)).await;
        tokio::task::block_in_place(|| engine.restart());
    });
    let (finished, said) = ran.unwrap();
    let expected: String = (0..40).map(|n| format!("line {n}\n")).collect();
    assert_eq!(said, expected);
    assert_eq!(finished.ended, Ended::Exited(5));
    assert_eq!(place.news(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn descriptors_are_flat() {
    let engine = engine();
    let world = World::new(&engine).await;
    let session = world.session().await;
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let round = || async {
        let place = world.open(&session);
        let (finished, _) = run(&place, spec("true")).await.unwrap();
        assert_eq!(finished.ended, Ended::Exited(0));
    };
    round().await;
    for _ in 0..20 {
        round().await;
    }
    until("all is given back", || async {
        let used = world.used();
        let given_back = used.descriptors == 0 && used.permits == 0;
        if given_back { Ok(()) } else { Err(format!("{used:?}, {} open", count())) }
    })
    .await;
    assert!(world.used().peak <= 4, "{:?}", world.used());
}
