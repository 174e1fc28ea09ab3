//! What goes in and comes out: input, arguments, output over links that break, records.

use std::{sync::atomic::Ordering, time::Instant};

use proptest::prelude::*;

use super::*;

#[tokio::test]
async fn input_and_arguments_arrive_as_they_are() {
    let odd =
        ["it's", "a\nb\n", "\"q\" $HOME `x` \\ !", "-n", "--", "", " ", "ünï ✓", "*", "\t;&|"];
    let input: Vec<u8> =
        (0..1 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for machine in Machine::all() {
        let spool = machine.spool();
        let argv: Vec<_> = ["printf", "[%s]\\n"].into_iter().chain(odd).collect();
        let (finished, output) = run(&spool, spec("words", &argv)).await;
        let expected: String = odd.iter().map(|word| format!("[{word}]\n")).collect();
        assert_eq!(finished.ended, exited(0), "{machine:?}");
        assert_eq!(String::from_utf8(output).unwrap(), expected, "{machine:?}");

        let spec = CommandSpec { stdin: input.clone().into(), ..spec("cat", &["cat"]) };
        let (finished, output) = run(&spool, spec).await;
        assert_eq!(finished.ended, exited(0), "{machine:?}");
        assert!(output == input, "{} bytes {machine:?}", output.len());
        assert_eq!(
            spool.output(&machine.command_id("cat"), 1000, 20).await.unwrap(),
            input[1000..1020]
        );
    }
}

#[tokio::test]
async fn a_folder_may_have_any_name() {
    for machine in Machine::all() {
        let name = "it's a \"folder\" $x\\";
        std::fs::create_dir(machine.path().join(name)).unwrap();
        let spec = CommandSpec { folder: name.to_owned(), ..spec("p", &["pwd"]) };
        let (finished, output) = run(&machine.spool(), spec).await;
        assert_eq!(finished.ended, exited(0));
        let expected = std::fs::canonicalize(machine.path().join(name)).unwrap();
        assert_eq!(String::from_utf8(output).unwrap().trim_end(), expected.to_str().unwrap());
    }
}

#[tokio::test]
async fn a_command_sees_its_mark_and_leads_a_session_and_may_open_its_output() {
    for machine in Machine::all() {
        let script = "echo one; echo $EVONIC_CALL >/dev/stderr; echo two >/dev/stdout; \
                      read -r p </proc/self/stat; set -- $p; [ $1 = $6 ] || echo no $1 $6; \
                      trap 'echo int' INT; kill -INT $$; umask";
        let (_, output) = run(&machine.spool(), spec("me", &["dash", "-c", script])).await;
        let expected = format!("one\n{}\ntwo\nint\n0022\n", machine.command_id("me"));
        assert_eq!(String::from_utf8(output).unwrap(), expected, "{machine:?}");
    }
}

#[tokio::test]
async fn every_line_comes_once_over_links_that_break() {
    let expected: String = (1..=1000).map(|line| format!("line {line}\n")).collect();
    let script = "i=0; while [ $i -lt 1000 ]; do i=$((i + 1)); echo line $i; \
                  [ $((i % 10)) -gt 0 ] || sleep 0.01; done; exit 3";
    let machines = Machine::all();
    let expected = &expected;
    let every = machines.iter().map(|machine| async move {
        let spool = machine.spool();
        let (sender, receiver) = mpsc::channel(4);
        let cancel = CancellationToken::new();
        let following =
            spool.run(own(&spool, spec("lines", &["sh", "-c", script])), sender, &cancel);
        let cutting = async {
            // A launcher that is cut off with the folder made starts nothing; that is told.
            until("it is watched", || !read(&machine.record("lines").join("watcher")).is_empty())
                .await;
            loop {
                tokio::time::sleep(Duration::from_millis(fastrand::u64(20..200))).await;
                machine.cut.notify_waiters();
            }
        };
        let result = async {
            tokio::select! { result = following => result, () = cutting => unreachable!() }
        };
        let (finished, output) = tokio::join!(result, collect(receiver));
        assert_eq!(finished.unwrap().ended, exited(3), "{machine:?}");
        assert_eq!(String::from_utf8(output).unwrap(), *expected, "{machine:?}");
    });
    futures_util::future::join_all(every).await;
}

#[tokio::test]
async fn a_follower_goes_on_where_a_dropped_one_was() {
    for machine in Machine::all() {
        let spool = machine.spool();
        let script = "i=0; while [ $i -lt 60 ]; do i=$((i + 1)); echo line $i; sleep 0.01; done";
        let expected: String = (1..=60).map(|line| format!("line {line}\n")).collect();
        let (sender, mut receiver) = mpsc::channel(1);
        let cancel = CancellationToken::new();
        let mut output = Vec::new();
        {
            let running = spool.run(own(&spool, spec("f", &["sh", "-c", script])), sender, &cancel);
            let reading = async {
                while output.len() < 40 {
                    output.extend_from_slice(&receiver.recv().await.unwrap());
                }
            };
            tokio::select! { result = running => panic!("{result:?}"), () = reading => {} }
        }
        let (finished, rest) = attach(&spool, "f", output.len() as u64).await;
        output.extend_from_slice(&rest);
        assert_eq!(String::from_utf8(output).unwrap(), expected, "{machine:?}");
        assert_eq!(finished.ended, exited(0));
    }
}

#[tokio::test]
async fn ten_launches_at_once_run_once() {
    for machine in Machine::all() {
        let spool = machine.spool();
        let spec = CommandSpec {
            stdin: Bytes::from_static(b"x"),
            ..spec("once", &["sh", "-c", "cat >>counter; sleep 0.2; echo done"])
        };
        let all = (0..10).map(|_| run(&spool, spec.clone()));
        for (finished, output) in futures_util::future::join_all(all).await {
            assert_eq!(finished.ended, exited(0), "{machine:?}");
            assert_eq!(output, b"done\n", "{machine:?}");
        }
        assert_eq!(read(&machine.path().join("counter")), "x", "{machine:?}");
    }
}

#[tokio::test]
async fn a_machine_that_comes_back_is_waited_for() {
    let machine = Machine::dash();
    let spool = machine.spool();
    machine.dead.store(true, Ordering::SeqCst);
    let coming = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        machine.dead.store(false, Ordering::SeqCst);
    };
    let ((finished, output), ()) = tokio::join!(run(&spool, spec("b", &["echo", "back"])), coming);
    assert_eq!((finished.ended, output), (exited(0), b"back\n".to_vec()));
}

#[tokio::test]
async fn records_go_when_they_are_forgotten_or_old() {
    for machine in Machine::all() {
        let spool = machine.spool();
        for command_id in ["a", "b", "c", "-d"] {
            run(&spool, spec(command_id, &["true"])).await;
            spool.forget(&machine.command_id(command_id));
        }
        run(&spool, spec("e", &["true"])).await;
        until("they are gone", || machine.records() == ["e"]).await;
        machine.age("e");
        let running = spec("f", &["sleep", "1000"]);
        let (sender, _receiver) = mpsc::channel(1);
        let cancel = CancellationToken::new();
        {
            let following = spool.run(own(&spool, running), sender, &cancel);
            let began = until("it runs", || !read(&machine.record("f").join("command")).is_empty());
            tokio::select! { result = following => panic!("{result:?}"), () = began => {} }
        }
        machine.age("f");
        spool.tidy().await.unwrap();
        assert_eq!(machine.records(), ["f"], "{machine:?}");
        assert_eq!(spool.kill(&machine.command_id("f")).await.unwrap(), 1, "{machine:?}");
        assert_eq!(attach(&spool, "f", 0).await.0.ended, Ended::Cancelled, "{machine:?}");
        let error = spool.output(&machine.command_id("e"), 0, 1).await.unwrap_err();
        assert!(error.to_string().contains('e'), "{error}");
    }
}

#[tokio::test]
async fn commands_are_quick_and_leave_nothing() {
    let machine = Machine::dash();
    let spool = machine.spool();
    run(&spool, spec("warm", &["true"])).await;
    let begin = Instant::now();
    for number in 0..300 {
        let command_id = format!("n{number}");
        let (finished, _) = run(&spool, spec(&command_id, &["true"])).await;
        assert_eq!(finished, Finished { ended: exited(0), left_behind: 0 });
        spool.forget(&machine.command_id(&command_id));
    }
    let spooled = begin.elapsed() / 300;
    println!("true, spooled: {spooled:?}");
    spool.tidy().await.unwrap();
    until("no process is left", || machine.processes().is_empty()).await;
    assert_eq!(machine.records(), ["warm"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]
    #[test]
    fn any_arguments_pass_any_login_shell(words in prop::collection::vec("[^\0]{0,40}", 0..6), input: Vec<u8>) {
        let script = Script {
            text: "printf '<%s>' \"$@\"\ncat".to_owned(),
            arguments: words.clone(),
            input: input.clone().into(),
            purpose: Purpose::Serve,
        };
        let shown: String = words.iter().map(|word| format!("<{word}>")).collect();
        let shown = if words.is_empty() { "<>".to_owned() } else { shown };
        let expected = [shown.as_bytes(), &input].concat();
        for login in ["dash", "bash", "busybox sh", "fish"] {
            prop_assert_eq!(&machine::login(login, &script), &expected, "{}", login);
        }
    }
}
