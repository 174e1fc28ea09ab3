//! Calls of one reply that only read run side by side.
//!
//! A group is what comes next of the reply, as long as it only reads: a call that changes something
//! waits for all before it, and all after it wait for that. Each is committed as started before any
//! runs. Results are committed in the order of the calls; one that comes early waits, so that a
//! transcript is the same as if they had run one after the other. Who takes the turn over runs again
//! what has no result.

use std::{ops::ControlFlow, sync::Arc};

use futures_util::{StreamExt, stream::FuturesOrdered};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Flow, Run, command_id, result::guarded};
use crate::{
    step::unanswered,
    turn::call::{End, Running},
};
use evonic_domain::{Effect, Ending, ToolCall};
use evonic_shared::config::Lost;
use evonic_store::PendingCall;
use evonic_tools::{Answer, Registry};

/// The most calls of a turn that run at once.
const GROUP: usize = 8;

/// Handles of files for each read beside the first of its turn: it needs two, and half of them all
/// are for what runs alone.
const FILES_A_READ: u32 = 4;

/// How many calls of this worker may run beside another one of their turn. Shared by cloning.
#[derive(Clone, Debug)]
pub(crate) struct SideReads(Arc<Semaphore>);

impl SideReads {
    /// As many as there are handles for, of `budget.file`.
    pub(crate) fn new(file_handles: u32) -> Self {
        Self(Arc::new(Semaphore::new((file_handles / FILES_A_READ) as usize)))
    }

    /// So many places, or as many as are free: nobody waits for one.
    fn take(&self, most: usize) -> Vec<OwnedSemaphorePermit> {
        let free = std::iter::from_fn(|| Arc::clone(&self.0).try_acquire_owned().ok());
        free.take(most).collect()
    }
}

/// Calls that run side by side.
pub(super) struct Group {
    calls: Vec<ToolCall>,
    _places: Vec<OwnedSemaphorePermit>,
}

impl Run {
    /// The calls that come next and only read, as many as may run at once, if that is more than one.
    pub(super) fn next_reads(&self) -> Option<Group> {
        let mut calls = self.side_by_side();
        let places = self.side_reads.take(calls.len().saturating_sub(1));
        calls.truncate(places.len() + 1);
        (calls.len() > 1).then_some(Group { calls, _places: places })
    }

    fn side_by_side(&self) -> Vec<ToolCall> {
        let registry = self.deps.tools.registry();
        let mut group: Vec<ToolCall> = Vec::new();
        for call in unanswered(&self.transcript).iter().take(GROUP) {
            let may = self.specs.iter().any(|spec| spec.name == call.name);
            // A call is known by its identifier until it has its result.
            let is_twice = group.iter().any(|before| before.id == call.id);
            if !may || is_twice || !repeats(registry, &call.name) {
                break;
            }
            group.push(call.clone());
        }
        group
    }

    /// Runs calls that only read, all at once.
    pub(super) async fn read(&mut self, group: Group) -> Flow {
        let Group { calls, _places } = group;
        let workplace = self.agent.workplace.clone();
        let pending = |call| PendingCall::new(call, &command_id(), &workplace);
        let starts: Vec<PendingCall> = calls.into_iter().map(pending).collect();
        // One call alone says what is wrong with the workplace.
        let Ok(toolbox) = self.toolbox(&workplace).await else {
            let first = starts.into_iter().next().expect("a group has more than one call");
            return self.start(first).await;
        };
        let all = starts.clone();
        let started = self.commit(move |writer, lease| {
            all.iter().try_for_each(|start| writer.start_call(lease, start))
        });
        started.await?;
        let running: Vec<Running> =
            starts.into_iter().map(|pending| Running::read(pending, toolbox.clone())).collect();
        let mut done = Vec::new();
        let mut other = None;
        let (mut guard, most) = (self.guard.take(), self.deps.settings.max_repeats);
        {
            let this = &*self;
            let mut ends = FuturesOrdered::new();
            for running in &running {
                ends.push_back(this.attend(running));
            }
            let mut ended = running.iter();
            while let (Some(running), Some(end)) = (ended.next(), ends.next().await) {
                let End::Answered(Ok(Answer::Known(result)), last) = end else {
                    // What still runs is dropped with its group.
                    other = Some((running.clone(), end));
                    break;
                };
                let call = running.pending.call.clone();
                let result = guarded(guard.as_mut(), most, &call, result);
                let committed = this.commit_result(call, result, last, None).await?;
                toolbox.forget(&running.pending.command_id);
                match committed {
                    (item, None) => done.push(item),
                    (_, Some(left)) => return ControlFlow::Break(left),
                }
            }
        }
        self.guard = guard;
        for item in done {
            self.remember(item);
        }
        match other {
            Some((running, end)) => self.ended(running, end).await,
            None => ControlFlow::Continue(()),
        }
    }
}

/// Whether a call of this tool may simply be run again, so that several may be interrupted at once.
pub(super) fn repeats(registry: &Registry, name: &str) -> bool {
    registry.on_lost(name) == Lost::Retry
        && registry
            .spec(name)
            .is_some_and(|spec| spec.effect == Effect::Read && spec.ending == Ending::WithWorker)
}
