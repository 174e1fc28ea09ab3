//! Scripts of the login shell.

use std::time::Duration;

use async_trait::async_trait;
use evonic_shared::kind::Kind;
use tokio::sync::mpsc;

use super::{MAX_CONNECTIONS, Remote};
use crate::{
    channel::ChannelError,
    connection::{ChannelSlot, Role},
    shell_facts::ShellFacts,
    stream::Stream,
};
use evonic_backend::{
    Result, Stage, WorkplaceError,
    spool::{LOGIN_COMMAND, Script, ScriptEnd, ScriptOutput, Shell},
};
use evonic_handles::Exhausted;

impl Remote {
    /// A slot for a command, on a connection whose login shell is known to work.
    pub(super) async fn launch(&self) -> Result<(ChannelSlot, ShellFacts)> {
        for _ in 0..MAX_CONNECTIONS {
            let slot = self.host.channel_slot(Role::Commands).await?;
            let connection = slot.connection();
            match self.facts(connection).await {
                Ok(Ok(facts)) => {
                    self.host.served();
                    return Ok((slot, facts));
                }
                Ok(Err(said)) => {
                    // The account may get another shell, which only a new login has.
                    connection.refused(Duration::ZERO);
                    return Err(self.no_shell(said));
                }
                Err(error) => match self.host.judged(connection, error) {
                    WorkplaceError::Unreachable { stage: Stage::Session, .. } => {}
                    error => return Err(error),
                },
            }
        }
        Err(self.no_connection())
    }
}

#[async_trait]
impl Shell for Remote {
    async fn script(&self, script: Script, said: mpsc::Sender<ScriptOutput>) -> Result<ScriptEnd> {
        let input = script.stream();
        for _ in 0..MAX_CONNECTIONS {
            let (slot, _) = self.launch().await?;
            let mut stream = Stream::exec(slot, LOGIN_COMMAND.to_owned(), input.clone());
            while let Some(piece) = stream.next().await {
                if said.send(piece).await.is_err() {
                    // There is no reader: the channel is closed, as if this were dropped.
                    return Ok(ScriptEnd::Killed);
                }
            }
            match stream.end().await? {
                Ok(end) => return Ok(end),
                Err(ChannelError::Full) => {}
                Err(ChannelError::Refused(said)) => {
                    stream.connection().refused(Duration::ZERO);
                    return Err(self.refused(Stage::Script, said));
                }
                Err(ChannelError::Broken(said)) => {
                    return Err(WorkplaceError::unreachable(self.host.name(), Stage::Script, said));
                }
            }
        }
        let (kind, limit) = (Kind::Ssh, MAX_CONNECTIONS);
        Err(Exhausted { kind, limit, retry_after: Duration::from_secs(1) }.into())
    }

    async fn spools(&self) -> Result<String> {
        let (_slot, facts) = self.launch().await?;
        let spools = String::from_utf8(facts.spools).map_err(|_| {
            self.refused(Stage::Home, "its name is no UTF-8: commands cannot run there")
        })?;
        if spools.is_empty() {
            let said = "neither the home nor /tmp can keep records of commands: make one of them \
                        writable for the user";
            return Err(self.refused(Stage::Home, said));
        }
        if facts.elsewhere {
            tracing::warn!(
                host = self.host.name(),
                folder = spools,
                "home is not writable; records of commands are kept elsewhere"
            );
        }
        Ok(format!("{spools}/{}", self.instance))
    }

    async fn folder(&self, folder: &str) -> Result<String> {
        let path = match folder {
            "" => self.base().await?,
            folder => self.resolve(folder).await?,
        };
        self.utf8(&path)
    }
}
