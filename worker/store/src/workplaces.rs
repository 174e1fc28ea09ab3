//! Workplaces, and what this installation is called.

use std::path::PathBuf;

use crate::{
    AuditedWriter, Conflict, List, Paging, Reader, StoreError, audited_writer::differences, column,
    page::Entry, record::Record,
};
use evonic_domain::{Action, AgentName, NewWorkplace, Settings, Workplace, WorkplaceId};

/// The name of the workplace that is always there.
const LOCAL: &str = "local";

impl Record for Workplace {
    const NAME: &'static str = "workplace";
    const TABLE: &'static str = "workplaces";
    const JSON: &'static [&'static str] = &["settings"];
}

impl Entry for Workplace {
    fn id(&self) -> String {
        self.id.to_string()
    }

    fn bytes(&self) -> usize {
        serde_json::to_vec(&self.settings).map_or(0, |settings| settings.len())
    }
}

impl Reader<'_> {
    /// What this installation is called in labels and spools: 32 hexadecimal digits.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn instance(&self) -> Result<String, StoreError> {
        self.one("read instance", "SELECT id FROM instance", [], |row| row.get("id"))
    }

    /// A workplace by its identifier or name; the two cannot be confused, as no name has a `_`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Sql`].
    pub fn workplace(&self, which: &str) -> Result<Workplace, StoreError> {
        self.find("read workplace", "id = ?1 OR name = ?1", which)
    }

    /// Workplaces, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn workplaces(&self, paging: &Paging) -> Result<List<Workplace>, StoreError> {
        self.list("list workplaces", None, paging)
    }
}

impl Reader<'_> {
    /// Files with secrets that any workplace names.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn secret_files(&self) -> Result<Vec<PathBuf>, StoreError> {
        let (mut files, mut after) = (Vec::new(), None);
        loop {
            let page = self.workplaces(&Paging { limit: u32::MAX, after })?;
            files.extend(page.data.iter().flat_map(|workplace| workplace.settings.secret_files()));
            after = page.next;
            if after.is_none() {
                return Ok(files);
            }
        }
    }
}

impl AuditedWriter<'_, '_> {
    /// Adds a workplace.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] `name_taken`.
    pub fn create_workplace(&mut self, new: NewWorkplace) -> Result<Workplace, StoreError> {
        self.require_free("a workplace", new.name.as_str(), Reader::workplace)?;
        let now = column::now();
        let workplace = Workplace {
            id: WorkplaceId::new(),
            name: new.name,
            settings: new.settings,
            created_at: now.clone(),
            updated_at: now,
        };
        self.insert("create workplace", &workplace, Vec::new())?;
        let name = Some(workplace.name.as_str());
        self.record(Action::WorkplaceCreate, workplace.id.as_str(), name, &[])?;
        Ok(workplace)
    }

    /// Changes a workplace. What is open continues with what it read.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`] `name_taken`, `built_in` for the name
    /// of `local`, `kind_fixed` for settings of another kind.
    pub fn change_workplace(
        &mut self,
        id: &WorkplaceId,
        name: Option<AgentName>,
        settings: Option<Settings>,
    ) -> Result<Workplace, StoreError> {
        let before = self.workplace(id.as_str())?;
        let mut workplace = before.clone();
        if let Some(name) = name.filter(|name| *name != workplace.name) {
            if workplace.name.as_str() == LOCAL {
                let message = "workplace local keeps its name; add another workplace instead";
                return Err(StoreError::conflict(Conflict::BuiltIn, message));
            }
            self.require_free("a workplace", name.as_str(), Reader::workplace)?;
            workplace.name = name;
        }
        if let Some(settings) = settings {
            if settings.kind() != workplace.settings.kind() {
                let message = format!("workplace {} keeps its kind; add another", workplace.name);
                return Err(StoreError::conflict(Conflict::KindFixed, message));
            }
            workplace.settings = settings;
        }
        workplace.updated_at = column::now();
        self.update("change workplace", &workplace)?;
        let (name, fields) = (Some(before.name.as_str()), differences(&before, &workplace));
        self.record(Action::WorkplaceUpdate, id.as_str(), name, &fields)?;
        Ok(workplace)
    }

    /// Deletes a workplace. What is on its machine stays.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`] `built_in` for `local`,
    /// `workplace_in_use` while an agent names it.
    pub fn delete_workplace(&mut self, id: &WorkplaceId) -> Result<(), StoreError> {
        let workplace = self.workplace(id.as_str())?;
        if workplace.name.as_str() == LOCAL {
            let message = "workplace local is always there";
            return Err(StoreError::conflict(Conflict::BuiltIn, message));
        }
        // Identifiers have a fixed length: one that stands in the list's text is an entry of it.
        let user: Option<String> = self.first(
            "delete workplace",
            "SELECT name FROM agents
             WHERE workplace = ?1 OR other_workplaces LIKE '%' || ?1 || '%'
             ORDER BY id LIMIT 1",
            [id.as_str()],
            |row| row.get("name"),
        )?;
        if let Some(agent) = user {
            let message = format!("agent {agent} works in workplace {}", workplace.name);
            return Err(StoreError::conflict(Conflict::WorkplaceInUse, message));
        }
        self.execute("delete workplace", "DELETE FROM workplaces WHERE id = ?1", [id.as_str()])?;
        self.record(Action::WorkplaceDelete, id.as_str(), Some(workplace.name.as_str()), &[])
    }
}
