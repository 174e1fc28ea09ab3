//! Agents.

use crate::{
    AuditedWriter, Conflict, List, Paging, Reader, StoreError, audited_writer::differences, column,
    page::Entry, record::Record,
};
use evonic_domain::{Action, Agent, AgentChange, AgentId, NewAgent, SessionId};

impl Record for Agent {
    const NAME: &'static str = "agent";
    const TABLE: &'static str = "agents";
    const JSON: &'static [&'static str] = &["tools", "other_workplaces", "retention"];
}

impl Entry for Agent {
    fn id(&self) -> String {
        self.id.to_string()
    }

    fn bytes(&self) -> usize {
        let lists = self.tools.iter().chain([&self.other_workplaces]).flatten();
        self.instructions.len() + self.model.len() + lists.map(|name| name.len() + 3).sum::<usize>()
    }
}

impl Reader<'_> {
    /// An agent by its identifier or name; the two cannot be confused, as no name has a `_`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Sql`].
    pub fn agent(&self, which: &str) -> Result<Agent, StoreError> {
        self.find("read agent", "id = ?1 OR name = ?1", which)
    }

    /// Agents, oldest first; among these when given.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn agents(
        &self,
        among: Option<&[AgentId]>,
        paging: &Paging,
    ) -> Result<List<Agent>, StoreError> {
        self.list("list agents", among.map(|ids| ("id", ids)), paging)
    }

    /// Identifiers of every session of an agent.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn sessions_of(&self, id: &AgentId) -> Result<Vec<SessionId>, StoreError> {
        let sql = "SELECT id FROM sessions WHERE agent_id = ?1 ORDER BY id";
        self.all("list sessions", sql, [id.as_str()], |row| column::parsed(row, "id"))
    }
}

impl AuditedWriter<'_, '_> {
    /// Adds an agent.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] `name_taken`.
    pub fn create_agent(&mut self, new: NewAgent) -> Result<Agent, StoreError> {
        self.require_free("an agent", new.name.as_str(), Reader::agent)?;
        let now = column::now();
        let agent = Agent {
            id: AgentId::new(),
            name: new.name,
            model: new.model,
            instructions: new.instructions,
            tools: new.tools,
            workplace: new.workplace,
            other_workplaces: new.other_workplaces,
            retention: new.retention,
            created_at: now.clone(),
            updated_at: now,
        };
        self.insert("create agent", &agent, Vec::new())?;
        let name = Some(agent.name.as_str());
        self.record(Action::AgentCreate, agent.id.as_str(), name, &[])?;
        Ok(agent)
    }

    /// Changes an agent. A running turn continues with what it read.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`] `name_taken`.
    pub fn change_agent(&mut self, id: &AgentId, change: AgentChange) -> Result<Agent, StoreError> {
        let before = self.agent(id.as_str())?;
        let mut agent = before.clone();
        if let Some(name) = change.name.filter(|name| *name != agent.name) {
            self.require_free("an agent", name.as_str(), Reader::agent)?;
            agent.name = name;
        }
        agent.model = change.model.unwrap_or(agent.model);
        agent.instructions = change.instructions.unwrap_or(agent.instructions);
        agent.tools = change.tools.unwrap_or(agent.tools);
        agent.workplace = change.workplace.unwrap_or(agent.workplace);
        agent.other_workplaces = change.other_workplaces.unwrap_or(agent.other_workplaces);
        agent.retention = change.retention.unwrap_or(agent.retention);
        agent.updated_at = column::now();
        self.update("change agent", &agent)?;
        let (name, fields) = (Some(before.name.as_str()), differences(&before, &agent));
        self.record(Action::AgentUpdate, id.as_str(), name, &fields)?;
        Ok(agent)
    }

    /// Deletes an agent, and with it its sessions.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`] `agent_in_use` while a turn of it is
    /// queued or running.
    pub fn delete_agent(&mut self, id: &AgentId) -> Result<(), StoreError> {
        let agent = self.agent(id.as_str())?;
        let busy = self.exists(
            "delete agent",
            "SELECT 1 FROM turns JOIN sessions ON sessions.id = turns.session_id
             WHERE sessions.agent_id = ?1 AND turns.state IN ('queued', 'running')",
            [id.as_str()],
        )?;
        if busy {
            let message = format!("agent {} has turns that are queued or running", agent.name);
            return Err(StoreError::conflict(Conflict::AgentInUse, message));
        }
        self.execute("delete agent", "DELETE FROM agents WHERE id = ?1", [id.as_str()])?;
        self.record(Action::AgentDelete, id.as_str(), Some(agent.name.as_str()), &[])
    }
}
