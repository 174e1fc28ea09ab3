//! Machines that answer as they like.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use evonic_shared::config;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    Class, CommandSpec, Commands, Ended, Unknown,
    spool::{Purpose, Spool},
};

/// What a machine does when it is given a script.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// Nothing.
    Silence,
    /// The nonce, then nothing.
    Begin,
    /// The nonce, then standard output without end.
    Flood,
    /// No nonce, and standard output without end.
    Noise,
    /// Standard error without end or newline.
    Complaints,
    /// The nonce, then lines of the script's own, without end.
    Lines,
    /// The nonce, then signs of life without end.
    Beats,
    /// The nonce, then this line.
    Line(&'static str),
}

/// A machine that is a stranger's.
#[derive(Debug)]
struct Stranger {
    answer: Answer,
    asked: AtomicU32,
}

impl Stranger {
    fn spool(answer: Answer) -> (Arc<Self>, Spool) {
        let stranger = Arc::new(Self { answer, asked: AtomicU32::new(0) });
        let keep = Duration::from_secs(3600);
        let settings = config::Spool { max_output_bytes: 1 << 20, keep };
        (Arc::clone(&stranger), Spool::new(stranger, settings))
    }
}

#[async_trait]
impl Shell for Stranger {
    async fn script(&self, script: Script, to: mpsc::Sender<ScriptOutput>) -> Result<ScriptEnd> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let nonce = script.arguments[0].clone();
        let out = |text: String| ScriptOutput::Out(text.into());
        if !matches!(self.answer, Answer::Silence | Answer::Noise) {
            to.send(out(format!("{nonce}\n"))).await.unwrap();
        }
        let chunk = match self.answer {
            Answer::Silence | Answer::Begin => std::future::pending().await,
            Answer::Line(line) => {
                let line = ScriptOutput::Err(format!("{nonce} {line}\n").into());
                to.send(line).await.unwrap();
                return Ok(ScriptEnd::Exited(0));
            }
            Answer::Beats => loop {
                to.send(ScriptOutput::Err(format!("{nonce} .\n").into())).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            },
            Answer::Flood | Answer::Noise => out("x".repeat(65_536)),
            Answer::Complaints => ScriptOutput::Err("x".repeat(65_536).into()),
            Answer::Lines => {
                ScriptOutput::Err(format!("{nonce} end - again\n").repeat(1000).into())
            }
        };
        while to.send(chunk.clone()).await.is_ok() {}
        std::future::pending().await
    }

    async fn spools(&self) -> Result<String> {
        Ok("/spools".to_owned())
    }

    async fn folder(&self, _: &str) -> Result<String> {
        Ok("/".to_owned())
    }
}

fn spec() -> CommandSpec {
    CommandSpec {
        argv: vec!["true".to_owned()],
        stdin: Bytes::new(),
        folder: String::new(),
        timeout: Duration::from_secs(30),
        command_id: "c".to_owned(),
    }
}

#[tokio::test]
async fn who_floods_is_told_off_once() {
    for answer in [Answer::Flood, Answer::Noise, Answer::Complaints, Answer::Lines] {
        let (stranger, spool) = Stranger::spool(answer);
        for error in [
            spool.kill("c").await.map(drop).unwrap_err(),
            spool.output("c", 0, 1000).await.map(drop).unwrap_err(),
            spool.tidy().await.unwrap_err(),
        ] {
            assert_eq!(error.class(), Class::Permanent, "{answer:?} {error}");
        }
        assert_eq!(stranger.asked.load(Ordering::Relaxed), 3, "{answer:?}: once each");
    }
}

#[tokio::test]
async fn who_is_silent_is_given_up() {
    let (short, long) = (Duration::from_millis(50), Duration::from_secs(3600));
    for (answer, patience) in [
        (Answer::Silence, Patience { first: short, then: long }),
        (Answer::Begin, Patience { first: long, then: short }),
    ] {
        let (stranger, _) = Stranger::spool(answer);
        let script = Script {
            text: String::new(),
            arguments: Vec::new(),
            input: Bytes::new(),
            purpose: Purpose::Serve,
        };
        let sink = Sink::Memory { memory: &mut BytesMut::new(), limit: 0 };
        let (_, result) = run_within(&*stranger, script, sink, patience).await;
        let error = result.unwrap_err();
        assert_eq!(error.class(), Class::Transient, "{answer:?} {error}");
        assert!(
            matches!(&error, WorkplaceError::Unreachable { stage, .. }
            if stage.reached_host()),
            "{answer:?} {error:?}: it may have run"
        );
    }
}

#[tokio::test]
async fn nobody_knows_of_a_command_whose_machine_floods() {
    for answer in [Answer::Noise, Answer::Complaints, Answer::Lines] {
        let (_, spool) = Stranger::spool(answer);
        let (to, mut output) = mpsc::channel(4);
        let cancel = CancellationToken::new();
        let reading = async { while output.recv().await.is_some() {} };
        let (finished, ()) = tokio::join!(spool.run(spec(), to, &cancel), reading);
        assert_eq!(finished.unwrap().ended, Ended::Unknown(Unknown::OutOfReach), "{answer:?}");
    }
}

#[tokio::test]
async fn a_machine_that_keeps_no_time_is_given_up() {
    let (_, spool) = Stranger::spool(Answer::Beats);
    let spool = Spool { overdue: Duration::from_millis(100), ..spool };
    let (to, _output) = mpsc::channel(4);
    let cancel = CancellationToken::new();
    let spec = CommandSpec { timeout: Duration::from_millis(100), ..spec() };
    let finished = spool.run(spec, to, &cancel).await.unwrap();
    assert_eq!(finished.ended, Ended::Unknown(Unknown::OutOfReach));
}

#[tokio::test]
async fn ends_that_no_process_has_are_not_believed() {
    for line in [
        "end - exited 256 0",
        "end - exited -1 0",
        "end - signalled 0 0",
        "end - signalled 65 0",
        "end - exited 0 4294967296",
        "end x exited 0 0",
        "end - slept 0 0",
        "end -",
        "endless",
    ] {
        let (_, spool) = Stranger::spool(Answer::Line(line));
        let (to, _output) = mpsc::channel(4);
        let cancel = CancellationToken::new();
        let finished = spool.run(spec(), to, &cancel).await.unwrap();
        assert!(matches!(finished.ended, Ended::Unknown(_)), "{line} {finished:?}");
    }
    for line in ["killed -1", "killed 4294967296", "killed", "spared 1"] {
        let (_, spool) = Stranger::spool(Answer::Line(line));
        assert_eq!(spool.kill("c").await.unwrap_err().class(), Class::Permanent, "{line}");
    }
}
