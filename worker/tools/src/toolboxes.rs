//! Toolboxes for turns: the tools at the workplace of an agent, for a session.

use std::sync::Arc;

use crate::{Registry, Toolbox, User, reach::Reach};
use evonic_store::Store;
use evonic_workplace::{WorkplaceError, Workplaces};

/// Makes the toolbox of each turn. Shared by cloning.
#[derive(Clone, Debug)]
pub struct Toolboxes {
    workplaces: Workplaces,
    store: Store,
    registry: Registry,
}

impl Toolboxes {
    /// Toolboxes with these tools at these workplaces, whose names are in this database. Warns
    /// of policies for tools that there are not.
    #[must_use]
    pub fn new(workplaces: Workplaces, store: Store, registry: Registry) -> Self {
        for tool in registry.unknown_policies() {
            tracing::warn!(tool, "tools.on_lost names a tool that does not exist");
        }
        Self { workplaces, store, registry }
    }

    /// The tools at a workplace, by its name or identifier. Connects to nothing.
    ///
    /// # Errors
    /// [`WorkplaceError`] when it is gone, or its settings cannot be used.
    pub async fn open(&self, workplace: &str, user: User) -> Result<Toolbox, WorkplaceError> {
        let backend = self.workplaces.open(workplace, Some(&user.session)).await?;
        let reach = Reach {
            workplaces: self.workplaces.clone(),
            store: self.store.clone(),
            own: workplace.to_owned(),
            user,
        };
        let mut toolbox = Toolbox::new(self.registry.clone(), backend);
        toolbox.reach = Some(Arc::new(reach));
        Ok(toolbox)
    }

    /// The tools.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }
}
