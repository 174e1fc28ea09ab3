//! Agents.

use rusqlite::{Row, ToSql, params};

use crate::{
    AuditedWriter, Conflict, List, Paging, Reader, StoreError, Writer, audited_writer::differences,
    column, page::Entry,
};
use evonic_domain::{Action, Agent, AgentChange, AgentId, AgentName, NewAgent, SessionId};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, model, instructions, tools, workplace, other_workplaces, created_at,
             updated_at FROM agents ",
            $rest
        )
    };
}

fn agent(row: &Row<'_>) -> rusqlite::Result<Agent> {
    Ok(Agent {
        id: column::parsed(row, "id")?,
        name: column::parsed(row, "name")?,
        model: row.get("model")?,
        instructions: row.get("instructions")?,
        tools: column::json_or_null(row, "tools")?,
        workplace: row.get("workplace")?,
        other_workplaces: column::json_or_null(row, "other_workplaces")?.unwrap_or_default(),
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

impl Entry for Agent {
    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn bytes(&self) -> usize {
        let lists = self.tools.iter().chain([&self.other_workplaces]).flatten();
        self.instructions.len() + self.model.len() + lists.map(|name| name.len() + 3).sum::<usize>()
    }
}

impl Reader<'_> {
    /// An agent by its identifier.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Sql`].
    pub fn agent(&self, id: &AgentId) -> Result<Agent, StoreError> {
        self.first("read agent", select!("WHERE id = ?1"), [id.as_str()], agent)?
            .ok_or_else(|| StoreError::not_found("agent", id))
    }

    /// An agent by its name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Sql`].
    pub fn agent_named(&self, name: &AgentName) -> Result<Agent, StoreError> {
        self.first("read agent", select!("WHERE name = ?1"), [name.as_str()], agent)?
            .ok_or_else(|| StoreError::not_found("agent", name))
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
        let (after, limit) = (paging.after_id(), paging.rows());
        match among {
            Some(among) => {
                let placeholders = column::placeholders(among.len(), 3);
                let sql = format!(
                    select!("WHERE id > ?1 AND id IN ({}) ORDER BY id LIMIT ?2"),
                    placeholders
                );
                let mut parameters: Vec<&dyn ToSql> = vec![&after, &limit];
                let ids: Vec<&str> = among.iter().map(AgentId::as_str).collect();
                parameters.extend(ids.iter().map(|id| id as &dyn ToSql));
                self.page("list agents", &sql, &parameters[..], agent, paging)
            }
            None => {
                let sql = select!("WHERE id > ?1 ORDER BY id LIMIT ?2");
                self.page("list agents", sql, params![after, limit], agent, paging)
            }
        }
    }
}

impl Reader<'_> {
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
        self.check_name(&new.name)?;
        let now = column::now();
        let agent = Agent {
            id: AgentId::new(),
            name: new.name,
            model: new.model,
            instructions: new.instructions,
            tools: new.tools,
            workplace: new.workplace,
            other_workplaces: new.other_workplaces,
            created_at: now.clone(),
            updated_at: now,
        };
        self.execute(
            "create agent",
            "INSERT INTO agents (id, name, model, instructions, tools, workplace,
             other_workplaces, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                agent.id.as_str(),
                agent.name.as_str(),
                agent.model,
                agent.instructions,
                agent.tools.as_ref().map(column::to_json),
                agent.workplace,
                column::to_json(&agent.other_workplaces),
                agent.created_at,
                agent.updated_at,
            ],
        )?;
        let name = Some(agent.name.as_str());
        self.record(Action::AgentCreate, agent.id.as_str(), name, &[])?;
        Ok(agent)
    }

    /// Changes an agent. A running turn goes on with what it read.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`] `name_taken`.
    pub fn change_agent(&mut self, id: &AgentId, change: AgentChange) -> Result<Agent, StoreError> {
        let before = self.agent(id)?;
        let mut agent = before.clone();
        if let Some(name) = change.name.filter(|name| *name != agent.name) {
            self.check_name(&name)?;
            agent.name = name;
        }
        agent.model = change.model.unwrap_or(agent.model);
        agent.instructions = change.instructions.unwrap_or(agent.instructions);
        agent.tools = change.tools.unwrap_or(agent.tools);
        agent.workplace = change.workplace.unwrap_or(agent.workplace);
        agent.other_workplaces = change.other_workplaces.unwrap_or(agent.other_workplaces);
        agent.updated_at = column::now();
        self.execute(
            "change agent",
            "UPDATE agents SET name = ?2, model = ?3, instructions = ?4, tools = ?5,
             workplace = ?6, other_workplaces = ?7, updated_at = ?8 WHERE id = ?1",
            params![
                id.as_str(),
                agent.name.as_str(),
                agent.model,
                agent.instructions,
                agent.tools.as_ref().map(column::to_json),
                agent.workplace,
                column::to_json(&agent.other_workplaces),
                agent.updated_at,
            ],
        )?;
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
        let agent = self.agent(id)?;
        let busy: bool = self.one(
            "delete agent",
            "SELECT EXISTS (SELECT 1 FROM turns JOIN sessions ON sessions.id = turns.session_id
             WHERE sessions.agent_id = ?1 AND turns.state IN ('queued', 'running')) AS busy",
            [id.as_str()],
            |row| row.get("busy"),
        )?;
        if busy {
            let message = format!("agent {} has turns that are queued or running", agent.name);
            return Err(StoreError::conflict(Conflict::AgentInUse, message));
        }
        self.execute("delete agent", "DELETE FROM agents WHERE id = ?1", [id.as_str()])?;
        self.record(Action::AgentDelete, id.as_str(), Some(agent.name.as_str()), &[])
    }
}

impl Writer<'_> {
    fn check_name(&self, name: &AgentName) -> Result<(), StoreError> {
        match self.agent_named(name) {
            Ok(_) => Err(StoreError::conflict(
                Conflict::NameTaken,
                format!("an agent is named {name} already"),
            )),
            Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
