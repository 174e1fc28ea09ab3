//! One pass over the database.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU32,
};

use evonic_agent::{Generation, generations_folder};
use evonic_domain::{Agent, AgentId, Origin, Retention, SessionId, Workplace};
use evonic_store::{Cursor, ExpiredSession, Fold, Keep, Paging, Reader, StoreError, UpkeepPage};

use crate::{RetentionDeps, pace};

/// Sessions of an agent that one pass removes.
const EXPIRED: usize = 1000;

/// Hidden sessions that one pass takes away.
const HIDDEN: usize = 10_000;

/// Events that one write takes away.
const EVENTS: u64 = 256;

/// Records of the audit log that one write forgets, and that one pass does in so many.
const RECORDS: (u32, u32) = (500, 20);

/// Pages that one write gives back.
const PAGES: u32 = 128;

/// Agents of a page.
const AGENTS: u32 = 100;

/// Why a session is hidden that a worker makes.
const IMPORT: &str = "import ";

/// What is gathered on the way through all sessions.
pub(super) struct Pass<'a> {
    deps: &'a RetentionDeps,
    keep: Keep,
    expired: BTreeMap<AgentId, Vec<ExpiredSession>>,
    hidden: Vec<SessionId>,
    sessions: u64,
    events: u64,
    folded: u64,
    removed: u64,
    /// Whether something is left for another pass.
    is_more: bool,
}

impl<'a> Pass<'a> {
    pub(super) fn new(deps: &'a RetentionDeps) -> Self {
        let settings = &deps.settings;
        let general = Retention {
            sessions: settings.sessions.map(Into::into),
            max_sessions: settings.max_sessions.and_then(NonZeroU32::new),
        };
        Self {
            deps,
            keep: Keep { general, agents: HashMap::new(), deltas: settings.deltas },
            expired: BTreeMap::new(),
            hidden: Vec::new(),
            sessions: 0,
            events: 0,
            folded: 0,
            removed: 0,
            is_more: false,
        }
    }

    /// Does all of it. Returns whether more is left to do at once.
    pub(super) async fn run(mut self) -> Result<bool, StoreError> {
        let store = &self.deps.store;
        let agents = self.agents().await?;
        self.keep.agents = agents
            .iter()
            .filter_map(|agent| Some((agent.id.clone(), agent.retention.clone()?)))
            .collect();
        self.walk().await?;
        self.find_surplus(&agents).await?;
        for agent in agents {
            if let Some(expired) = self.expired.remove(&agent.id) {
                self.expire(agent, expired).await?;
            }
        }
        for id in std::mem::take(&mut self.hidden) {
            self.purge(id).await?;
        }
        self.forget().await?;
        let returned_bytes = self.vacuum().await?;
        store.storage().took(0, 0, returned_bytes);
        let (removed, folded) = (self.removed, self.folded);
        if removed > 0 || folded > 0 || returned_bytes > 0 {
            tracing::info!(
                sessions_removed = removed,
                events_folded = folded,
                returned_bytes,
                "retention: pass done"
            );
        }
        Ok(self.is_more)
    }

    async fn agents(&self) -> Result<Vec<Agent>, StoreError> {
        let mut agents = Vec::new();
        let mut after = None::<Cursor>;
        loop {
            let paging = Paging { limit: AGENTS, after: after.take() };
            let page = self.deps.store.read(move |reader| reader.agents(None, &paging)).await?;
            agents.extend(page.data);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(agents),
            }
        }
    }

    /// Goes over every session.
    async fn walk(&mut self) -> Result<(), StoreError> {
        let store = &self.deps.store;
        let mut after = String::new();
        loop {
            let (keep, from) = (self.keep.clone(), after.clone());
            let page = store.read(move |reader| reader.upkeep(&from, &keep)).await?;
            let next = page.next.clone();
            self.take(page).await?;
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
        store.storage().counted(self.sessions, self.events);
        Ok(())
    }

    async fn take(&mut self, page: UpkeepPage) -> Result<(), StoreError> {
        let UpkeepPage { next: _, sessions, events, undated, marks, folds, expired, hidden } = page;
        self.sessions += sessions;
        self.events += events;
        if !undated.is_empty() || !marks.is_empty() {
            let note = pace::write(&self.deps.store, move |writer| {
                if !undated.is_empty() {
                    writer.date_sessions(&undated)?;
                }
                writer.mark(&marks)
            });
            note.await?;
        }
        for session in expired {
            let of_agent = self.expired.entry(session.agent_id.clone()).or_default();
            if of_agent.len() < EXPIRED {
                of_agent.push(session);
            } else {
                self.is_more = true;
            }
        }
        for (id, why) in hidden {
            if self.hidden.len() == HIDDEN {
                self.is_more = true;
            } else if self.is_left(&id, &why) {
                self.hidden.push(id);
            }
        }
        for fold in folds {
            self.fold(fold).await?;
        }
        Ok(())
    }

    /// Whether nobody makes a hidden session any more.
    fn is_left(&self, id: &SessionId, why: &str) -> bool {
        let Some(generation) = why.strip_prefix(IMPORT).and_then(|number| number.parse().ok())
        else {
            return true;
        };
        if generation == self.deps.generation {
            return !self.deps.store.is_making(id);
        }
        let folder = generations_folder(&self.deps.state_dir);
        Generation::is_dead(&folder, generation).unwrap_or(false)
    }

    /// Folds a log up to its mark.
    async fn fold(&mut self, mut fold: Fold) -> Result<(), StoreError> {
        let store = &self.deps.store;
        while fold.after < fold.upto {
            let wanted = fold.clone();
            let plan = store.read(move |reader| reader.fold_plan(&wanted)).await?;
            for portion in plan.portions(EVENTS) {
                let id = fold.id.clone();
                let gone = pace::write(store, move |writer| writer.take_pieces(&id, &portion));
                let gone = gone.await?;
                self.folded += gone;
                self.events = self.events.saturating_sub(gone);
                store.storage().took(0, gone, 0);
            }
            let (id, upto) = (fold.id.clone(), plan.upto);
            pace::write(store, move |writer| writer.folded(&id, upto)).await?;
            fold.after = plan.upto;
        }
        Ok(())
    }

    /// Adds the sessions of which an agent has too many.
    async fn find_surplus(&mut self, agents: &[Agent]) -> Result<(), StoreError> {
        for agent in agents {
            let Some(most) = self.keep.of(&agent.id).max_sessions else { continue };
            let expired = self.expired.entry(agent.id.clone()).or_default();
            let (id, gone) = (agent.id.clone(), u32::try_from(expired.len()).unwrap_or(u32::MAX));
            let limit = EXPIRED as u32;
            // What expires by its age is no surplus any more, but is still counted.
            let surplus =
                self.deps.store.read(move |reader| reader.surplus(&id, most.get(), limit)).await?;
            self.is_more |= surplus.len() == EXPIRED;
            let surplus = surplus.into_iter().filter(|session| !expired.contains(session));
            let surplus: Vec<_> = surplus.collect();
            let room = (EXPIRED as u32).saturating_sub(gone) as usize;
            expired.extend(surplus.into_iter().take(room));
        }
        Ok(())
    }

    /// Removes sessions of an agent, with what they have at its workplaces.
    async fn expire(
        &mut self,
        agent: Agent,
        expired: Vec<ExpiredSession>,
    ) -> Result<(), StoreError> {
        if expired.is_empty() {
            return Ok(());
        }
        let (store, name) = (&self.deps.store, agent.name.to_string());
        let change = store.change(Origin::inside(), move |writer| {
            let workplaces = workplaces_of(writer, &agent)?;
            Ok((writer.expire_sessions(&agent, &expired)?, workplaces))
        });
        let (gone, workplaces) = change.await?;
        if gone.is_empty() {
            return Ok(());
        }
        let count = gone.len() as u64;
        tracing::info!(agent = name, sessions = count, "retention: sessions removed");
        self.removed += count;
        store.storage().took(count, 0, 0);
        for session in gone {
            self.deps.workplaces.session_deleted(&session, &workplaces);
            self.hidden.push(session);
        }
        Ok(())
    }

    /// Takes a hidden session away, little by little.
    async fn purge(&self, id: SessionId) -> Result<(), StoreError> {
        loop {
            let session = id.clone();
            let purge =
                move |writer: &mut evonic_store::Writer<'_>| writer.purge_some(session.as_str());
            if pace::write(&self.deps.store, purge).await? {
                return Ok(());
            }
        }
    }

    /// Forgets old records of the audit log, and keys that have not been good for long.
    async fn forget(&self) -> Result<(), StoreError> {
        let (store, keep) = (&self.deps.store, self.deps.audit_keep);
        store.write(|writer| writer.purge_keys()).await?;
        let (portion, most) = RECORDS;
        for _ in 0..most {
            let forget = pace::write(store, move |writer| writer.forget_old_changes(keep, portion));
            if forget.await? < portion as usize {
                break;
            }
        }
        Ok(())
    }

    /// Gives free pages back where a quarter of the file is free. Returns how many bytes.
    async fn vacuum(&self) -> Result<u64, StoreError> {
        let store = &self.deps.store;
        let mut returned = 0;
        if store.read(|reader| reader.wants_vacuum()).await? {
            while let Some(bytes) = pace::write(store, |writer| writer.vacuum(PAGES)).await? {
                returned += bytes;
            }
        }
        if returned > 0 {
            store.shrink_file().await?;
        }
        Ok(returned)
    }
}

/// The workplaces that an agent names. One that is gone is left out.
fn workplaces_of(reader: &Reader<'_>, agent: &Agent) -> Result<Vec<Workplace>, StoreError> {
    let named = [&agent.workplace].into_iter().chain(&agent.other_workplaces);
    named
        .filter_map(|which| match reader.workplace(which) {
            Err(StoreError::NotFound { .. }) => None,
            found => Some(found),
        })
        .collect()
}
