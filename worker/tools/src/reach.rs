//! The workplaces that a call may use beside its own.

use std::sync::Arc;

use evonic_domain::SessionId;
use evonic_shared::error_chain::ErrorChain;
use evonic_store::{Store, StoreError};
use evonic_workplace::{Backend, Workplaces};

/// Who works with a toolbox.
#[derive(Clone, Debug)]
pub struct User {
    /// For whose session a workplace is opened.
    pub session: SessionId,
    /// Names or identifiers of the workplaces beside its own that `copy` may read and write.
    pub others: Vec<String>,
}

/// The workplaces that a turn's agent may use, its own among them.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    pub(crate) workplaces: Workplaces,
    pub(crate) store: Store,
    /// Identifier of the toolbox's own workplace.
    pub(crate) own: String,
    pub(crate) user: User,
}

impl Reach {
    /// Opens a workplace that the agent may use, by its name or identifier; [`None`] for its own.
    /// Also returns its identifier. `Err` says what is wrong, and what there is instead.
    pub(crate) async fn open(
        &self,
        called: &str,
    ) -> Result<(Option<Arc<dyn Backend>>, String), String> {
        if self.find(&self.own).await?.is_some_and(|own| own.iter().any(|own| own == called)) {
            return Ok((None, self.own.clone()));
        }
        let mut names = Vec::new();
        for other in &self.user.others {
            let Some([id, name]) = self.find(other).await? else { continue };
            if id == called || name == called {
                let opened = self.workplaces.open(&id, Some(&self.user.session));
                let backend = opened.await.map_err(|error| ErrorChain(&error).to_string())?;
                return Ok((Some(backend), id));
            }
            names.push(name);
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
    async fn find(&self, which: &str) -> Result<Option<[String; 2]>, String> {
        if which == "local" {
            return Ok(Some([which.to_owned(), which.to_owned()]));
        }
        let which = which.to_owned();
        match self.store.read(move |reader| reader.workplace(&which)).await {
            Ok(there) => Ok(Some([there.id.into(), there.name.into()])),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(format!("workplaces cannot be looked up: {error}")),
        }
    }
}
