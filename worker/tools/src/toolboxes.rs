//! Toolboxes for turns: the tools at the workplace of an agent, for a session.

use std::sync::Arc;

use evonic_shared::config::{self, Lost};

use super::{ToolSpec, Toolbox, catalogue::Tool};
use evonic_domain::SessionId;
use evonic_store::{Store, StoreError};
use evonic_workplace::{Backend, WorkplaceError, Workplaces};

/// Makes the toolbox of each turn. Shared by cloning.
#[derive(Clone, Debug)]
pub struct Toolboxes {
    workplaces: Workplaces,
    store: Store,
    settings: config::Tools,
}

/// Who works with a toolbox.
#[derive(Clone, Debug)]
pub struct User {
    /// For whose session a workplace is opened.
    pub session: SessionId,
    /// Names or identifiers of the workplaces beside its own that `copy` may read and write.
    pub others: Vec<String>,
}

impl Toolboxes {
    /// Toolboxes at these workplaces, whose names are in this database.
    #[must_use]
    pub fn new(workplaces: Workplaces, store: Store, settings: &config::Tools) -> Self {
        Self { workplaces, store, settings: settings.clone() }
    }

    /// The tools at a workplace, by its name or identifier. Connects to nothing.
    ///
    /// # Errors
    /// [`WorkplaceError`] when it is gone, or its settings cannot be used.
    pub async fn open(&self, workplace: &str, user: User) -> Result<Toolbox, WorkplaceError> {
        let place = self.workplaces.open(workplace, Some(&user.session)).await?;
        let reach = Reach { toolboxes: self.clone(), own: workplace.to_owned(), user };
        Ok(Toolbox::reaching(place, &self.settings, reach))
    }

    /// The named tools, every one when [`None`]; unknown names are passed over.
    #[must_use]
    pub fn specs(&self, names: Option<&[String]>) -> Vec<ToolSpec> {
        Toolbox::specs_of(names, &self.settings)
    }

    /// What the operator wants of a lost call of this tool; an unknown tool's is told.
    #[must_use]
    pub fn on_lost(&self, tool: &str) -> Lost {
        Tool::named(tool).map_or(Lost::Report, |tool| tool.on_lost(&self.settings.on_lost))
    }

    /// The longest that a call may run.
    #[must_use]
    pub fn longest(&self) -> std::time::Duration {
        self.settings.timeout
    }
}

/// What `copy` reaches beside the toolbox's own workplace.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    toolboxes: Toolboxes,
    own: String,
    user: User,
}

/// A workplace as it may be called.
struct Called {
    id: String,
    name: String,
}

impl Called {
    fn is(&self, called: &str) -> bool {
        self.id == called || self.name == called
    }
}

impl Reach {
    /// The workplace's own identifier, as far as this is known.
    pub(super) fn own(&self) -> &str {
        &self.own
    }

    /// Opens a workplace that the agent may use, by its name or identifier; [`None`] for its own.
    /// Also returns its identifier. `Err` says what is wrong, and what there is instead.
    pub(super) async fn open(
        &self,
        called: &str,
    ) -> Result<(Option<Arc<dyn Backend>>, String), String> {
        if self.called(&self.own).await?.is_some_and(|own| own.is(called)) {
            return Ok((None, self.own.clone()));
        }
        let mut names = Vec::new();
        for other in &self.user.others {
            let Some(other) = self.called(other).await? else { continue };
            if other.is(called) {
                let opened = self.toolboxes.workplaces.open(&other.id, Some(&self.user.session));
                let place = opened.await.map_err(|error| super::answer::sentence(&error))?;
                return Ok((Some(place), other.id));
            }
            names.push(other.name);
        }
        let there = match names.as_slice() {
            [] => "it may use no other".to_owned(),
            names => format!("it may use {}", names.join(", ")),
        };
        Err(format!(
            "this agent may use no workplace {called}; {there}. A path of its own workplace with a \
             colon in it is written ./PATH"
        ))
    }

    /// Identifier and name of a workplace; [`None`] when it is gone.
    async fn called(&self, which: &str) -> Result<Option<Called>, String> {
        if which == "local" {
            return Ok(Some(Called { id: which.to_owned(), name: which.to_owned() }));
        }
        let which = which.to_owned();
        match self.toolboxes.store.read(move |reader| reader.workplace(&which)).await {
            Ok(there) => {
                Ok(Some(Called { id: there.id.to_string(), name: there.name.to_string() }))
            }
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(format!("workplaces cannot be looked up: {error}")),
        }
    }
}
