//! Which tools there are.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use evonic_shared::config::{self, Lost};
use jsonschema::Validator;

use crate::{Effect, Ending, Tool, ToolSpec, builtin};

/// Every tool, in the order in which a model sees them.
#[derive(Clone, Debug)]
pub struct Registry {
    tools: Vec<Arc<Registered>>,
    /// The operator's policies by a tool's name: `[tools.on_lost]`.
    policies: BTreeMap<String, Lost>,
}

/// A tool, and what follows from its spec.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) tool: Arc<dyn Tool>,
    pub(crate) spec: ToolSpec,
    /// Made at the first call: whatever checks a schema stays in memory, and is no part of a
    /// worker's start.
    validator: OnceLock<Validator>,
    on_lost: Lost,
}

impl Registered {
    /// What checks the arguments of a call.
    pub(crate) fn validator(&self) -> &Validator {
        let made = || validator(&self.spec).expect("a registered tool has a valid schema");
        self.validator.get_or_init(made)
    }
}

/// # Errors
/// [`RegistryError::Schema`].
fn validator(spec: &ToolSpec) -> Result<Validator, RegistryError> {
    jsonschema::draft202012::new(&spec.schema)
        .map_err(|error| RegistryError::Schema { name: spec.name.clone(), source: Box::new(error) })
}

/// Why a tool cannot be registered.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The name is taken.
    #[error("there are two tools {0}")]
    Duplicate(String),
    /// The schema of its arguments is no JSON Schema.
    #[error("the schema of tool {name} cannot be used")]
    Schema {
        /// The tool's name.
        name: String,
        /// What is wrong with it.
        #[source]
        source: Box<jsonschema::ValidationError<'static>>,
    },
}

impl Registry {
    /// The tools that come with this crate.
    ///
    /// # Panics
    /// When two of them have the same name. That their schemas are valid is held by a test.
    #[must_use]
    pub fn new(settings: &config::Tools) -> Self {
        let empty = Self { tools: Vec::new(), policies: settings.on_lost.clone() };
        let mut tools = builtin::tools(settings).into_iter();
        tools
            .try_fold(empty, |registry, tool| registry.add(tool.spec(), tool, OnceLock::new()))
            .expect("built-in tools have names of their own")
    }

    /// The same with one more tool.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn with(self, tool: Arc<dyn Tool>) -> Result<Self, RegistryError> {
        let spec = tool.spec();
        let validator = validator(&spec)?;
        self.add(spec, tool, validator.into())
    }

    fn add(
        mut self,
        spec: ToolSpec,
        tool: Arc<dyn Tool>,
        validator: OnceLock<Validator>,
    ) -> Result<Self, RegistryError> {
        if self.get(&spec.name).is_some() {
            return Err(RegistryError::Duplicate(spec.name));
        }
        let on_lost = self.policies.get(&spec.name).copied().unwrap_or(default_policy(&spec));
        self.tools.push(Arc::new(Registered { tool, spec, validator, on_lost }));
        Ok(self)
    }

    /// The tools' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tools.iter().map(|tool| tool.spec.name.as_str())
    }

    /// The named tools, every one when [`None`]; unknown names are passed over.
    #[must_use]
    pub fn specs(&self, names: Option<&[String]>) -> Vec<ToolSpec> {
        let specs = self.tools.iter().map(|tool| &tool.spec);
        specs.filter(|spec| names.is_none_or(|names| names.contains(&spec.name))).cloned().collect()
    }

    /// A tool's spec.
    #[must_use]
    pub fn spec(&self, name: &str) -> Option<&ToolSpec> {
        self.get(name).map(|tool| &tool.spec)
    }

    /// What happens to a lost call of a tool: the operator's policy, else what its effect allows.
    /// An unknown tool's is reported.
    #[must_use]
    pub fn on_lost(&self, name: &str) -> Lost {
        self.get(name).map_or(Lost::Report, |tool| tool.on_lost)
    }

    /// Names in `[tools.on_lost]` that no tool has.
    pub(crate) fn unknown_policies(&self) -> impl Iterator<Item = &str> {
        self.policies.keys().map(String::as_str).filter(|name| self.get(name).is_none())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Registered> {
        self.tools.iter().find(|tool| tool.spec.name == name).map(AsRef::as_ref)
    }
}

/// What only reads, or continues where it was, may run again.
const fn default_policy(spec: &ToolSpec) -> Lost {
    match (spec.effect, spec.ending) {
        (Effect::Read, _) | (_, Ending::GoesOn) => Lost::Retry,
        (Effect::Change, Ending::Own | Ending::WithWorker) => Lost::Report,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schemas_of_the_built_in_tools_are_valid() {
        let folder = std::path::PathBuf::from("/nowhere");
        let config = config::Config::defaults(folder.clone(), folder);
        for registered in Registry::new(&config.tools).tools {
            let checked = registered.validator().is_valid(&serde_json::json!([]));
            assert!(!checked, "{} takes an object", registered.spec.name);
        }
    }
}
