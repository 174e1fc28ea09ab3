//! Scripts in a container: an attached exec each.
//!
//! The engine does not end an exec whose caller has gone, so the script's own shell has a lifeline:
//! its standard input stays open for as long as the caller is there, whether that is a worker that
//! was killed or a future that was dropped. When it ends, everything of the exec's process group is
//! killed. Commands lead sessions of their own: they keep running.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bollard::models::ExecConfig;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncWriteExt, ReadHalf, WriteHalf},
    sync::mpsc,
    time::Instant,
};

use super::{
    answer::ExecState,
    container::{Container, Lease},
    container_manager::ContainerManager,
    diagnosis,
    engine::encoded,
    error::Failed,
    frames::Frames,
    provision,
    spec::{HIDDEN, WORKSPACE},
};
use evonic_backend::{
    Class, Result, Stage, WorkplaceError,
    spool::{Purpose, Script, ScriptEnd, ScriptOutput, Shell},
};
use evonic_shared::error_chain::ErrorChain;

/// Runs `$3` with `$4`, `$5`, ..., feeds it the first `$1` bytes of its standard input, and holds
/// the lifeline to the rest. `$2` only marks the process.
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

/// How long an exec whose streams ended may have no exit code.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause between two questions for the exit code.
const EXIT_POLL: Duration = Duration::from_millis(10);

/// The shell of a session's container.
#[derive(Clone, Debug)]
pub(super) struct Sandbox {
    pub(super) container: Arc<Container>,
    pub(super) manager: Arc<ContainerManager>,
}

/// An exec that runs, attached.
pub(super) struct Attached {
    pub(super) id: String,
    pub(super) output: Frames<ReadHalf<TokioIo<Upgraded>>>,
    /// The lifeline.
    pub(super) input: WriteHalf<TokioIo<Upgraded>>,
    lease: Lease,
}

#[async_trait]
impl Shell for Sandbox {
    fn has_login_shell(&self) -> bool {
        false
    }

    async fn script(
        &self,
        script: Script,
        output: mpsc::Sender<ScriptOutput>,
    ) -> Result<ScriptEnd> {
        let Script { text, arguments, input, purpose } = script;
        let command_id = match purpose {
            Purpose::Launch { command_id } => command_id,
            Purpose::Serve => "serve".to_owned(),
        };
        let mut argv = ["/bin/sh", "-c", LIFELINE, "sh"].map(str::to_owned).to_vec();
        argv.extend([input.len().to_string(), command_id, text]);
        argv.extend(arguments);
        let mut exec = self.exec(argv, Vec::new()).await?;
        let (engine, closing) = (Arc::clone(&self.container.engine), self.manager.closing.clone());
        let broken = |reason: String| engine.unreachable(Stage::Script, reason);
        let work = async {
            // Written beside reading: a script may answer before it has read everything.
            let (writing, reading) = (&mut exec.input, &mut exec.output);
            let mut writing = std::pin::pin!(async move {
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
                let piece = piece.map_err(|error| broken(ErrorChain(&error).to_string()))?;
                let Some(piece) = piece else { return Ok::<_, WorkplaceError>(()) };
                // Who stops listening still waits for the end.
                listening = listening && output.send(piece).await.is_ok();
            }
        };
        match closing.run_until_cancelled(work).await {
            Some(ended) => ended?,
            None => return Err(broken("the worker ends".to_owned())),
        }
        self.ended(exec).await
    }

    async fn spools(&self) -> Result<String> {
        Ok(format!("{WORKSPACE}/{HIDDEN}/commands"))
    }

    async fn folder(&self, folder: &str) -> Result<String> {
        Ok(match folder {
            "" => WORKSPACE.to_owned(),
            whole if whole.starts_with('/') => whole.to_owned(),
            below => format!("{WORKSPACE}/{below}"),
        })
    }
}

impl Sandbox {
    /// The container, up and kept so.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub(super) async fn lease(&self) -> Result<Lease> {
        // On the heap: it is large, and part of every future that uses a container.
        self.container.lease(Box::pin(provision::bring_up(&self.manager, &self.container))).await
    }

    /// Starts a program in the container, attached; brings the container up first, and once more
    /// when it turns out to be gone. Nothing is started twice: an exec that was not started is
    /// only a note of the engine.
    pub(super) async fn exec(
        &self,
        argv: Vec<String>,
        mut environment: Vec<String>,
    ) -> Result<Attached> {
        let user = self.container.user()?;
        if let Some(home) = self.container.home.get() {
            environment.push(format!("HOME={}", home.path()));
        }
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
        let lease = self.lease().await?;
        let id = lease.id.clone();
        match self.attach(lease, wanted.clone()).await {
            // Not running, or not known any more: it did not start.
            Err(failed) if failed.is_missing() || failed.is_conflict() => {
                self.container.lost(&id).await;
                let lease = self.lease().await?;
                let id = lease.id.clone();
                match self.attach(lease, wanted).await {
                    // It was started just now.
                    Err(failed) if failed.is_conflict() => {
                        self.container.lost(&id).await;
                        Err(diagnosis::stopped(self, &id).await)
                    }
                    attached => Ok(attached?),
                }
            }
            attached => Ok(attached?),
        }
    }

    async fn attach(&self, lease: Lease, wanted: ExecConfig) -> Result<Attached, Failed> {
        let engine = &self.container.engine;
        let asked = engine.docker.create_exec(&lease.id, wanted);
        let id = engine.ask(Stage::Script, asked).await?.id;
        let attached = engine.ask(Stage::Script, engine.start_exec(&id)).await?;
        let (output, input) = tokio::io::split(attached);
        Ok(Attached { id, output: Frames::new(output), input, lease })
    }

    /// How an exec ended whose output has ended.
    pub(super) async fn ended(&self, exec: Attached) -> Result<ScriptEnd> {
        let Attached { id, output, input, lease } = exec;
        drop((output, input));
        let engine = &self.container.engine;
        let broken = |reason: &str| Err(engine.unreachable(Stage::Script, reason));
        let deadline = Instant::now() + EXIT_TIMEOUT;
        loop {
            let asked = engine.get(format!("/exec/{}/json", encoded(&id)));
            match engine.ask(Stage::Script, asked).await {
                Ok(ExecState { running: Some(true), .. }) => {}
                Ok(ExecState { exit_code: Some(code), .. }) => return Ok(end(code)),
                Ok(_) => {}
                Err(failed) if failed.status.is_some() => {
                    self.container.lost(&lease.id).await;
                    return broken("the container or its engine was stopped meanwhile");
                }
                // It plays false, and would again; the script may have run.
                Err(failed) if failed.error.class() == Class::Permanent => {
                    let said = ErrorChain(&failed.error).to_string();
                    return Err(WorkplaceError::refused(&engine.address, Stage::Follow, said));
                }
                // Where the engine went meanwhile does not matter: the script was started.
                Err(failed) => return broken(&ErrorChain(&failed.error).to_string()),
            }
            if Instant::now() >= deadline {
                // The stream was cut, and the script runs until its lifeline is gone too.
                self.container.lost(&lease.id).await;
                return broken("its streams were cut");
            }
            tokio::time::sleep(EXIT_POLL).await;
        }
    }
}

/// A killed one has 137: 128 and 9.
fn end(code: i64) -> ScriptEnd {
    match i32::try_from(code) {
        Ok(137) | Err(_) => ScriptEnd::Killed,
        Ok(code) => ScriptEnd::Exited(code),
    }
}
