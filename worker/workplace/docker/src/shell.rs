//! Scripts in a container: an attached exec each.
//!
//! The engine does not end an exec whose caller has gone, so the script's own shell has a lifeline:
//! its standard input stays open for as long as the caller is there, whether that is a worker that
//! was killed or a future that was dropped. When it ends, everything of the exec's process group is
//! killed. Commands lead sessions of their own: they go on.

use std::{pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use bollard::{
    container::LogOutput,
    errors::Error,
    exec::StartExecResults,
    models::{ExecConfig, ExecInspectResponse},
};
use futures_util::{Stream, StreamExt};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    time::Instant,
};

use super::{
    WorkplaceError,
    container::{self, Container, Lease},
    fault,
    recipe::{HIDDEN, WORKSPACE},
};
use evonic_backend::{
    Stage,
    spool::{Purpose, Script, ScriptEnd, ScriptOutput, Shell},
};

/// Runs `$3` with `$4`, `$5`, ..., feeds it the first `$1` bytes of its standard input, and holds
/// the lifeline to the rest. `$2` is a word to find it by.
const LIFELINE: &str = r#"exec 3<&0
input=$1 text=$3
shift 3
line() {
    (exec </dev/null >/dev/null 2>&1; while read -r _ <&3; do :; done; kill -9 0) &
}
if [ "$input" = 0 ]; then
    line
    exec /bin/sh -c "$text" sh "$@" </dev/null 3<&-
fi
{ head -c "$input" <&3; line; } | /bin/sh -c "$text" sh "$@" 3<&-"#;

/// How long an exec whose streams ended may take to say how it ended.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// Between two questions for that.
const END_PAUSE: Duration = Duration::from_millis(10);

/// The shell of a session's container.
#[derive(Clone, Debug)]
pub(super) struct Sandbox(pub(super) Arc<Container>);

/// An exec that runs, attached.
pub(super) struct Attached {
    pub(super) id: String,
    pub(super) output: Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>,
    /// The lifeline.
    pub(super) input: Pin<Box<dyn AsyncWrite + Send>>,
    lease: Lease,
}

#[async_trait]
impl Shell for Sandbox {
    async fn script(
        &self,
        script: Script,
        said: mpsc::Sender<ScriptOutput>,
    ) -> Result<ScriptEnd, WorkplaceError> {
        let Script { text, arguments, input, purpose } = script;
        let command_id = match purpose {
            Purpose::Launch { command_id } => command_id,
            Purpose::Serve => "serve".to_owned(),
        };
        let mut argv = ["/bin/sh", "-c", LIFELINE, "sh"].map(str::to_owned).to_vec();
        argv.extend([input.len().to_string(), command_id, text]);
        argv.extend(arguments);
        let mut exec = self.exec(argv, Vec::new()).await?;
        let (engine, closing) = (Arc::clone(&self.0.engine), self.0.house.closing.clone());
        let broken = |said: String| fault::unreachable(&engine.address, Stage::Script, said);
        let work = async {
            // Written beside reading: a script may answer before it has read everything.
            let (writing, reading) = (exec.input.as_mut(), &mut exec.output);
            let mut writing = std::pin::pin!(async move {
                let mut writing = writing;
                if !input.is_empty() {
                    // One that ends without reading it all has its reasons.
                    let _ = writing.write_all(&input).await;
                    let _ = writing.flush().await;
                }
                std::future::pending::<()>().await;
            });
            let mut listening = true;
            loop {
                let piece = tokio::select! {
                    () = &mut writing => continue,
                    piece = reading.next() => piece,
                };
                let Some(piece) = piece else { return Ok::<_, WorkplaceError>(()) };
                let piece = match piece.map_err(|error| broken(fault::told(&error)))? {
                    LogOutput::StdErr { message } => ScriptOutput::Err(message),
                    LogOutput::StdOut { message }
                    | LogOutput::Console { message }
                    | LogOutput::StdIn { message } => ScriptOutput::Out(message),
                };
                // Who stops listening still waits for the end.
                listening = listening && said.send(piece).await.is_ok();
            }
        };
        match closing.run_until_cancelled(work).await {
            Some(ended) => ended?,
            None => return Err(broken("the worker ends".to_owned())),
        }
        self.ended(exec).await
    }

    async fn spools(&self) -> Result<String, WorkplaceError> {
        Ok(format!("{WORKSPACE}/{HIDDEN}/commands"))
    }

    async fn folder(&self, folder: &str) -> Result<String, WorkplaceError> {
        Ok(match folder {
            "" => WORKSPACE.to_owned(),
            whole if whole.starts_with('/') => whole.to_owned(),
            below => format!("{WORKSPACE}/{below}"),
        })
    }
}

impl Sandbox {
    /// Starts a program in the container, attached; brings the container up first, and once more
    /// when it turns out to be gone. Nothing is started twice: an exec that was not started is
    /// only a note of the engine.
    pub(super) async fn exec(
        &self,
        argv: Vec<String>,
        environment: Vec<String>,
    ) -> Result<Attached, WorkplaceError> {
        let user = self.0.user()?;
        let wanted = ExecConfig {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(false),
            env: Some(environment),
            cmd: Some(argv),
            user: Some(format!("{}:{}", user.uid, user.gid)),
            working_dir: Some(WORKSPACE.to_owned()),
            ..ExecConfig::default()
        };
        let engine = &self.0.engine;
        for round in 0.. {
            let lease = self.0.lease().await?;
            let asked = engine.docker.create_exec(&lease.id, wanted.clone());
            let made = match engine.ask(Stage::Script, asked).await {
                Ok(made) => made.id,
                Err(failed) if round == 0 && (failed.is_missing() || failed.is_conflict()) => {
                    self.0.lost(&lease.id).await;
                    continue;
                }
                Err(failed) => return Err(failed.into()),
            };
            match engine.ask(Stage::Script, engine.docker.start_exec(&made, None)).await {
                Ok(StartExecResults::Attached { output, input }) => {
                    return Ok(Attached { id: made, output, input, lease });
                }
                Ok(StartExecResults::Detached) => {
                    let said = "the engine did not attach the streams".to_owned();
                    return Err(fault::unreachable(&engine.address, Stage::Script, said));
                }
                // Not running, or not known any more: it did not start.
                Err(failed) if round == 0 && (failed.is_missing() || failed.is_conflict()) => {
                    self.0.lost(&lease.id).await;
                }
                Err(failed) => return Err(failed.into()),
            }
        }
        Err(container::unstable(engine))
    }

    /// How an exec ended whose output has ended.
    pub(super) async fn ended(&self, exec: Attached) -> Result<ScriptEnd, WorkplaceError> {
        let Attached { id, output, input, lease } = exec;
        drop((output, input));
        let engine = &self.0.engine;
        let deadline = Instant::now() + END_PATIENCE;
        loop {
            match engine.ask(Stage::Script, engine.docker.inspect_exec(&id)).await {
                Ok(ExecInspectResponse { running: Some(true), .. }) => {}
                Ok(ExecInspectResponse { exit_code: Some(code), .. }) => return Ok(end(code)),
                Ok(_) => {}
                Err(failed) if failed.status.is_some() => {
                    self.0.lost(&lease.id).await;
                    let said = "the container or its engine was stopped meanwhile".to_owned();
                    return Err(fault::unreachable(&engine.address, Stage::Script, said));
                }
                // Where the engine went meanwhile does not matter: the script was started.
                Err(failed) => {
                    let said = fault::told(&failed.error);
                    return Err(fault::unreachable(&engine.address, Stage::Script, said));
                }
            }
            if Instant::now() >= deadline {
                // The stream was cut, and the script goes on until its lifeline is gone too.
                self.0.lost(&lease.id).await;
                let said = "its streams were cut".to_owned();
                return Err(fault::unreachable(&engine.address, Stage::Script, said));
            }
            tokio::time::sleep(END_PAUSE).await;
        }
    }
}

/// 128 and 9, as the engine says for a killed one.
fn end(code: i64) -> ScriptEnd {
    match i32::try_from(code) {
        Ok(137) | Err(_) => ScriptEnd::Killed,
        Ok(code) => ScriptEnd::Exited(code),
    }
}
