//! Toolboxes for turns: the tools at the workplace of an agent, for a session.

use evonic_shared::config::Lost;

use crate::{Registry, ToolSpec, Toolbox, User, reach::Reach};
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
        Ok(Toolbox::new(self.registry.clone(), backend).reaching(reach))
    }

    /// The named tools, every one when [`None`]; unknown names are passed over.
    #[must_use]
    pub fn specs(&self, names: Option<&[String]>) -> Vec<ToolSpec> {
        self.registry.specs(names)
    }

    /// A tool's spec.
    #[must_use]
    pub fn spec(&self, name: &str) -> Option<&ToolSpec> {
        self.registry.spec(name)
    }

    /// What happens to a lost call of a tool; an unknown tool's is reported.
    #[must_use]
    pub fn on_lost(&self, tool: &str) -> Lost {
        self.registry.on_lost(tool)
    }
}
