//! Follows a command to its end: by its runner while there is one, by its record after that.

use std::{io, time::Duration};

use bytes::Bytes;
use evonic_runner::{
    Identity, Life, Status,
    protocol::{Event, Request},
    record::{Claim, Ended as Recorded, Record},
    spec::VERSION,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Commands,
    connection::Connection,
    finished,
    launcher::{Runner, Started},
    previous,
};
use evonic_backend::{Finished, Result, WorkplaceError};
use evonic_handles::Permit;

/// How long a runner that was started has to make its record, before it never may.
const CLAIM: Duration = Duration::from_secs(3);

/// Between two looks at a record that is being made, or whose runner is about to end.
const LOOK: Duration = Duration::from_millis(20);

/// How long the last output of a killed command waits for its reader.
const LAST_OUTPUT: Duration = Duration::from_millis(700);

/// How much of a stored output is read at once.
const PIECE_BYTES: usize = 64 << 10;

/// Of a command whose folder is there, and that no runner has claimed.
const NEVER_BEGAN: &str = "it never began: who was to start it was ended before";

/// Descriptors while a record is looked at: its folder, one of its files or the connection.
const LOOKING: u32 = 2;

/// Who follows: where it is, and whether it wants the end.
struct Follower<'a> {
    output: &'a mpsc::Sender<Bytes>,
    at: u64,
    cancel: &'a CancellationToken,
    killed: bool,
}

impl Follower<'_> {
    /// Hands output on. A reader that is gone slows nothing; a command that is killed meanwhile is
    /// not waited for long.
    async fn give(&mut self, bytes: Vec<u8>, connection: Option<&Connection>) {
        let length = bytes.len() as u64;
        if !self.killed {
            tokio::select! {
                slot = self.output.reserve() => {
                    if let Ok(slot) = slot {
                        slot.send(bytes.into());
                    }
                    self.at += length;
                    return;
                }
                () = self.cancel.cancelled() => self.kill(connection),
            }
        }
        let _late = timeout(LAST_OUTPUT, self.output.send(bytes.into())).await;
        self.at += length;
    }

    fn kill(&mut self, connection: Option<&Connection>) {
        self.killed = true;
        if let Some(connection) = connection {
            connection.kill();
        }
    }
}

/// What was found of a command.
enum Found {
    Ended(Status),
    /// Its runner lives; connected.
    Running(std::os::fd::OwnedFd),
    /// Its runner is about to come, or to end.
    Soon,
    /// A command of the version before.
    Previous,
}

impl Commands {
    /// Follows a command that was just started.
    pub(super) async fn follow_started(
        &self,
        command_id: &str,
        started: Started,
        output: &mpsc::Sender<Bytes>,
        cancel: &CancellationToken,
    ) -> Result<Finished> {
        let Started { connection, runner, permit } = started;
        let mut follower = Follower { output, at: 0, cancel, killed: false };
        let status = self.listen(connection, &mut follower).await?;
        match status {
            Some(status) => {
                runner.reap_later(permit, command_id.to_owned());
                Ok(finished(status))
            }
            None => self.follow(command_id, &mut follower, permit, Some(runner)).await,
        }
    }

    /// Follows a command by its record.
    pub(super) async fn follow_record(
        &self,
        command_id: &str,
        from: u64,
        output: &mpsc::Sender<Bytes>,
        cancel: &CancellationToken,
        permit: Permit,
    ) -> Result<Finished> {
        let mut follower = Follower { output, at: from, cancel, killed: false };
        self.follow(command_id, &mut follower, permit, None).await
    }

    async fn follow(
        &self,
        command_id: &str,
        follower: &mut Follower<'_>,
        mut permit: Permit,
        mut runner: Option<Runner>,
    ) -> Result<Finished> {
        let began = Instant::now();
        loop {
            permit.owns(LOOKING, None);
            let wants_end = follower.killed || follower.cancel.is_cancelled();
            let request = (Some(follower.at), wants_end);
            let late = began.elapsed() >= CLAIM || runner.as_mut().is_some_and(Runner::has_ended);
            let found = self.look(command_id, request, late).await?;
            match found {
                Found::Ended(status) => {
                    self.give_stored(command_id, follower).await?;
                    if let Some(runner) = runner {
                        runner.reap().await;
                    }
                    drop(permit);
                    self.launcher.end_group(command_id);
                    return Ok(finished(status));
                }
                Found::Running(socket) => {
                    permit.owns(1, None);
                    let connection = Connection::new(socket).map_err(unreadable)?;
                    follower.killed |= wants_end;
                    if let Some(status) = self.listen(connection, follower).await? {
                        drop(permit);
                        self.launcher.end_group(command_id);
                        return Ok(finished(status));
                    }
                    sleep(LOOK).await;
                }
                Found::Soon => sleep(LOOK).await,
                Found::Previous => {
                    let follow = previous::Follow {
                        pool: &self.launcher.pool,
                        record: self.record_path(command_id),
                        command_id,
                    };
                    return follow.to_end(follower.at, follower.output, follower.cancel).await;
                }
            }
        }
    }

    /// Kills a command, whoever follows it; what has not begun never will.
    pub(super) async fn kill_record(&self, command_id: &str, mut permit: Permit) -> Result<u32> {
        let began = Instant::now();
        loop {
            permit.owns(LOOKING, None);
            match self.look(command_id, (None, true), began.elapsed() >= CLAIM).await? {
                Found::Ended(status) => {
                    self.launcher.end_group(command_id);
                    return Ok(status.left_behind);
                }
                Found::Running(socket) => {
                    permit.owns(1, None);
                    let connection = Connection::new(socket).map_err(unreadable)?;
                    let (output, _) = mpsc::channel(1);
                    let never = CancellationToken::new();
                    let mut nobody =
                        Follower { output: &output, at: 0, cancel: &never, killed: true };
                    if let Some(status) = self.listen(connection, &mut nobody).await? {
                        self.launcher.end_group(command_id);
                        return Ok(status.left_behind);
                    }
                    sleep(LOOK).await;
                }
                Found::Soon => sleep(LOOK).await,
                Found::Previous => return previous::kill(&self.launcher.pool, command_id).await,
            }
        }
    }

    /// Until the runner has said how the command ended; [`None`] when the record has to say it.
    async fn listen(
        &self,
        mut connection: Connection,
        follower: &mut Follower<'_>,
    ) -> Result<Option<Status>> {
        loop {
            let event = tokio::select! {
                event = connection.event() => event,
                () = follower.cancel.cancelled(), if !follower.killed => {
                    follower.kill(Some(&connection));
                    continue;
                }
            };
            match event.map_err(unreadable)? {
                Some(Event::Started) => {}
                Some(Event::Output(bytes)) => follower.give(bytes, Some(&connection)).await,
                Some(Event::Ended(status)) => return Ok(Some(status)),
                Some(Event::Taken) | None => return Ok(None),
            }
        }
    }

    /// The rest of what was stored.
    async fn give_stored(&self, command_id: &str, follower: &mut Follower<'_>) -> Result<()> {
        loop {
            let (path, at) = (self.record_path(command_id), follower.at);
            let read = move || match Record::open(&path)? {
                Some(record) => record.output(at, PIECE_BYTES),
                None => Ok(None),
            };
            let piece = self.launcher.pool.run(move |_| read()).await.map_err(unreadable)?;
            match piece {
                Some(bytes) if !bytes.is_empty() => follower.give(bytes, None).await,
                _ => return Ok(()),
            }
        }
    }

    /// Looks at a command's record; `wish` is what a runner that lives is asked for: output from a
    /// byte on, and the end. What nobody has claimed in time never starts, and never began. Where there
    /// is not even a folder, it was removed, or never made: that is unknown.
    async fn look(&self, command_id: &str, wish: (Option<u64>, bool), late: bool) -> Result<Found> {
        let path = self.record_path(command_id);
        let group = self.launcher.groups.clone();
        let command_id = command_id.to_owned();
        let look = move || -> io::Result<Found> {
            let (follow, kill) = wish;
            let instead = |otherwise| if kill { Recorded::Cancelled } else { otherwise };
            let never = || instead(Recorded::NotStarted(NEVER_BEGAN.to_owned()));
            let record = match Record::open(&path)? {
                Some(record) => record,
                None if previous::exists(&path) => return Ok(Found::Previous),
                None => match Record::create(&path)? {
                    Some(record) => return settle(&record, instead(Recorded::NoRecord)),
                    None => return Ok(Found::Soon),
                },
            };
            if let Some(status) = record.status()? {
                return Ok(Found::Ended(status));
            }
            let (runner, token) = match record.claimed() {
                Ok(Some(Claim::Runner { version, runner, token, .. })) if version <= VERSION => {
                    (runner, token)
                }
                Ok(Some(Claim::Nobody(ended))) => return settled(&record, ended),
                // Also where each worker that looks is killed before it has waited for so long.
                Ok(None) if late || record.age()? > CLAIM => return settle(&record, never()),
                Ok(None) => return Ok(Found::Soon),
                // A later version's, or nobody's.
                Ok(Some(Claim::Runner { .. })) => return settled(&record, Recorded::NoRecord),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return settled(&record, Recorded::NoRecord);
                }
                Err(error) => return Err(error),
            };
            let life = runner.life();
            let connected = match life {
                Life::Over => None,
                Life::Alive | Life::Hidden => {
                    Some(Connection::open(&record, &Request { token, follow, kill }))
                }
            };
            match connected {
                Some(Ok(socket)) => Ok(Found::Running(socket)),
                // It is busy, or ends just now.
                Some(Err(_)) if life == Life::Alive => Ok(Found::Soon),
                Some(Err(error)) if !is_refused(&error) => Ok(Found::Soon),
                // Whoever has its pid by now is not the one that listened.
                Some(Err(_)) | None => {
                    // It may have ended just now.
                    if let Some(status) = record.status()? {
                        return Ok(Found::Ended(status));
                    }
                    if let Some(group) = group {
                        let _dying = group.is_ended(&command_id);
                    }
                    settled(&record, lost(&runner))
                }
            }
        };
        self.launcher.pool.run(move |_| look()).await.map_err(unreadable)
    }
}

/// Says that nobody starts the command any more, unless somebody has begun to.
fn settle(record: &Record, ended: Recorded) -> io::Result<Found> {
    if !record.claim(&Claim::Nobody(ended.clone()))? {
        return Ok(Found::Soon);
    }
    settled(record, ended)
}

fn settled(record: &Record, ended: Recorded) -> io::Result<Found> {
    let status = Status::clean(ended);
    record.settle(&status)?;
    Ok(Found::Ended(status))
}

/// Why a runner that is gone wrote no status.
fn lost(runner: &Identity) -> Recorded {
    if runner.is_of_this_boot() { Recorded::RunnerKilled } else { Recorded::Restarted }
}

/// Whether nobody listens at a runner's socket.
fn is_refused(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}

fn unreadable(source: io::Error) -> WorkplaceError {
    WorkplaceError::Start { program: "evonic-runner".to_owned(), source }
}
