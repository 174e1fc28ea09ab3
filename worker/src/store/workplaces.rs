//! Workplaces, and what this installation is called.

use rusqlite::{Row, params, types::Type};

use crate::{
    domain::{AgentName, NewWorkplace, Settings, Workplace, WorkplaceChange, WorkplaceId},
    store::{List, Paging, Reader, StoreError, Writer, column},
};

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT id, name, kind, settings, created_at, updated_at FROM workplaces ", $rest)
    };
}

fn workplace(row: &Row<'_>) -> rusqlite::Result<Workplace> {
    Ok(Workplace {
        id: column::parsed(row, 0)?,
        name: column::parsed(row, 1)?,
        settings: settings(row)?,
        created_at: row.get(4)?,
        updated_at: row.get(5)?,
    })
}

/// The settings are stored as on the wire, in two columns.
fn settings(row: &Row<'_>) -> rusqlite::Result<Settings> {
    let (kind, settings): (String, String) = (row.get(2)?, row.get(3)?);
    serde_json::from_str(&settings)
        .and_then(|settings: serde_json::Value| {
            serde_json::from_value(serde_json::json!({"kind": kind, "settings": settings}))
        })
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(3, Type::Text, error.into()))
}

impl Reader<'_> {
    /// What this installation is called in labels and spools: 32 hexadecimal digits.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn instance(&self) -> Result<String, StoreError> {
        self.one("read instance", "SELECT id FROM instance", [], |row| row.get(0))
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
        let rows =
            self.all("list workplaces", sql, params![paging.after_id(), paging.rows()], workplace)?;
        Ok(List::new(rows, paging, |workplace| workplace.id.as_str()))
    }
}

impl Writer<'_> {
    /// Adds a workplace.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] `name_taken`.
    pub fn create_workplace(&mut self, new: NewWorkplace) -> Result<Workplace, StoreError> {
        let _ = new;
        todo!("the workplaces API room")
    }

    /// Changes a workplace. What is open goes on with what it read.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`] `name_taken`, and `built_in` for the name
    /// of `local`.
    pub fn change_workplace(
        &mut self,
        id: &WorkplaceId,
        name: Option<AgentName>,
        settings: Option<Settings>,
    ) -> Result<Workplace, StoreError> {
        let _: (_, _, _, Option<WorkplaceChange>) = (id, name, settings, None);
        todo!("the workplaces API room")
    }

    /// Deletes a workplace.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`] `built_in` for `local`,
    /// `workplace_in_use` while an agent names it.
    pub fn delete_workplace(&mut self, id: &WorkplaceId) -> Result<(), StoreError> {
        let _ = id;
        todo!("the workplaces API room")
    }
}
