//! Workplaces, and what this installation is called.

use rusqlite::{Row, params};

use crate::{
    AuditedWriter, Conflict, List, Paging, Reader, StoreError, Writer, audited_writer::differences,
    column, page::Entry,
};
use evonic_domain::{Action, AgentName, NewWorkplace, Settings, Workplace, WorkplaceId};

/// The name of the workplace that is always there.
const LOCAL: &str = "local";

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT id, name, kind, settings, created_at, updated_at FROM workplaces ", $rest)
    };
}

fn workplace(row: &Row<'_>) -> rusqlite::Result<Workplace> {
    Ok(Workplace {
        id: column::parsed(row, "id")?,
        name: column::parsed(row, "name")?,
        settings: settings(row)?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

/// The settings are stored as on the wire, in two columns.
fn settings(row: &Row<'_>) -> rusqlite::Result<Settings> {
    let (kind, settings): (String, String) = (row.get("kind")?, row.get("settings")?);
    serde_json::from_str(&settings)
        .and_then(|settings: serde_json::Value| {
            serde_json::from_value(serde_json::json!({"kind": kind, "settings": settings}))
        })
        .map_err(|error| column::unfit(row, "settings", error))
}

impl Entry for Workplace {
    fn id(&self) -> &str {
        self.id.as_str()
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
        self.first("read workplace", select!("WHERE id = ?1 OR name = ?1"), [which], workplace)?
            .ok_or_else(|| StoreError::not_found("workplace", which))
    }

    /// Workplaces, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn workplaces(&self, paging: &Paging) -> Result<List<Workplace>, StoreError> {
        let sql = select!("WHERE id > ?1 ORDER BY id LIMIT ?2");
        let parameters = params![paging.after_id(), paging.rows()];
        self.page("list workplaces", sql, parameters, workplace, paging)
    }
}

impl AuditedWriter<'_, '_> {
    /// Adds a workplace.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] `name_taken`.
    pub fn create_workplace(&mut self, new: NewWorkplace) -> Result<Workplace, StoreError> {
        self.check_workplace_name(&new.name)?;
        let now = column::now();
        let workplace = Workplace {
            id: WorkplaceId::new(),
            name: new.name,
            settings: new.settings,
            created_at: now.clone(),
            updated_at: now,
        };
        self.execute(
            "create workplace",
            "INSERT INTO workplaces (id, name, kind, settings, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                workplace.id.as_str(),
                workplace.name.as_str(),
                workplace.settings.kind().name(),
                stored(&workplace.settings),
                workplace.created_at,
                workplace.updated_at,
            ],
        )?;
        let name = Some(workplace.name.as_str());
        self.record(Action::WorkplaceCreate, workplace.id.as_str(), name, &[])?;
        Ok(workplace)
    }

    /// Changes a workplace. What is open goes on with what it read.
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
            self.check_workplace_name(&name)?;
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
        self.execute(
            "change workplace",
            "UPDATE workplaces SET name = ?2, settings = ?3, updated_at = ?4 WHERE id = ?1",
            params![
                id.as_str(),
                workplace.name.as_str(),
                stored(&workplace.settings),
                workplace.updated_at,
            ],
        )?;
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

impl Writer<'_> {
    fn check_workplace_name(&self, name: &AgentName) -> Result<(), StoreError> {
        match self.workplace(name.as_str()) {
            Ok(_) => Err(StoreError::conflict(
                Conflict::NameTaken,
                format!("a workplace is named {name} already"),
            )),
            Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The settings alone, as JSON.
fn stored(settings: &Settings) -> String {
    match settings {
        Settings::Local(settings) => column::to_json(settings),
        Settings::Ssh(settings) => column::to_json(settings),
        Settings::Docker(settings) => column::to_json(settings),
    }
}
