//! Every configured model, and which of them answers.

mod fallback;

use std::{collections::BTreeMap, sync::Arc};

use evonic_domain::{ModelFacts, Price};
use evonic_handles::Budget;
use evonic_net::{Authorities, TlsConnector, TlsError};
use evonic_shared::config;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    Delta, ModelError, Reply, Request, Runbook, check::Finding, facts::Facts, remote::Remote,
    request::Sink,
};

/// A model under its configured name.
#[derive(Debug)]
pub enum Model {
    /// The embedded default.
    Runbook(Runbook),
    /// An endpoint.
    Remote(Box<Remote>),
    /// An endpoint that cannot be set up, and why. It refuses each turn with that; the other
    /// models work on.
    Unusable(Arc<ModelError>),
}

impl Model {
    /// Asks for the next reply. Pieces of text go to `deltas` as they come; the channel is
    /// bounded, so a slow reader slows the model. Ends at once, with its connection closed, when
    /// `cancel` fires or the future is dropped.
    ///
    /// Retries the transient only, with pauses of two seconds in all at the most: a longer one is
    /// [`ModelError::Later`]. Holds at most one `model` permit.
    ///
    /// # Errors
    /// [`ModelError`].
    pub async fn reply(
        &self,
        request: Request,
        deltas: mpsc::Sender<Delta>,
        cancel: &CancellationToken,
    ) -> Result<Reply, ModelError> {
        let mut sink = Sink::new(&deltas);
        let reply = self.ask(&request, &mut sink);
        cancel.run_until_cancelled(reply).await.unwrap_or(Err(ModelError::Cancelled))
    }

    async fn ask(&self, request: &Request, sink: &mut Sink<'_>) -> Result<Reply, ModelError> {
        match self {
            Model::Runbook(model) => model.reply(request, sink).await,
            Model::Remote(model) => model.reply(request, sink).await,
            Model::Unusable(error) => Err(ModelError::Unusable(Arc::clone(error))),
        }
    }

    fn is_out_of_reach(&self) -> bool {
        self.remote().is_some_and(Remote::is_out_of_reach)
    }

    fn remote(&self) -> Option<&Remote> {
        match self {
            Model::Remote(model) => Some(model),
            Model::Runbook(_) | Model::Unusable(_) => None,
        }
    }

    /// What stands for its endpoint: the same for the same kind, address and model.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.remote().map_or(Runbook::NAME, Remote::endpoint)
    }

    /// Tokens of a request and its reply together: as configured, else as learnt.
    #[must_use]
    pub fn window(&self) -> Option<u64> {
        self.remote().and_then(Remote::window)
    }

    /// As [`Model::window`]; the endpoint is asked where nothing is known, and again from time to
    /// time, for at most five seconds.
    pub async fn find_window(&self, cancel: &CancellationToken) -> Option<u64> {
        let model = self.remote()?;
        cancel.run_until_cancelled(model.find_window()).await.flatten()
    }

    /// How many tokens of input the endpoint counts for a request, where it can be asked.
    pub async fn count_tokens(&self, request: &Request, cancel: &CancellationToken) -> Option<u64> {
        let model = self.remote()?;
        cancel.run_until_cancelled(model.count_tokens(request)).await.flatten()
    }

    /// The most tokens of a reply, where they are bounded.
    #[must_use]
    pub fn max_output_tokens(&self) -> Option<u32> {
        self.remote().and_then(Remote::max_output_tokens)
    }

    /// The model that summarises for this one, where that is not the agent's own.
    #[must_use]
    pub fn summary_model(&self) -> Option<&str> {
        self.remote()?.settings().summary_model.as_deref()
    }

    #[must_use]
    pub fn price(&self) -> Price {
        self.remote().map(Remote::price).unwrap_or_default()
    }

    /// Asks the endpoint for its window, whatever is known; [`Model::window`] has it then.
    pub(crate) async fn refresh_window(&self, cancel: &CancellationToken) {
        if let Some(model) = self.remote() {
            let _when_next = cancel.run_until_cancelled(model.refresh_window()).await;
        }
    }

    /// Where replies are asked for, where that is an endpoint.
    pub(crate) fn address(&self) -> Option<String> {
        self.remote().map(Remote::address)
    }

    /// Whether it takes images, as far as is known.
    #[must_use]
    pub fn eyes(&self) -> bool {
        self.remote().is_some_and(Remote::eyes)
    }

    /// Tries what a turn needs of it, and tells each finding as it is made. Whether turns will
    /// work. Takes its time: an endpoint may be slow.
    pub async fn check(&self, findings: mpsc::Sender<Finding>, cancel: &CancellationToken) -> bool {
        crate::check::check(self, &findings, cancel).await
    }

    /// Its settings, where it has some.
    #[must_use]
    pub fn settings(&self) -> Option<&config::Model> {
        self.remote().map(Remote::settings)
    }
}

/// Every configured model by name, and `runbook`.
#[derive(Clone, Debug)]
pub struct Models {
    models: Arc<BTreeMap<String, Model>>,
    /// For each model with a fallback, whom to ask: itself first, and each once.
    orders: Arc<BTreeMap<String, Vec<String>>>,
    facts: Facts,
}

impl Models {
    /// Makes every configured model; reads their keys, and the system's certificates if one of
    /// them is reached by `https`. Opens no connection and keeps no file open.
    ///
    /// A key that cannot be read, or certificates that are not installed, are logged and cost
    /// that model alone: a mistake in one entry does not stop the service.
    #[must_use]
    pub fn new(configured: &BTreeMap<String, config::Model>, budget: &Budget) -> Self {
        let mut models = BTreeMap::from([(Runbook::NAME.to_owned(), Model::Runbook(Runbook))]);
        let facts = Facts::new();
        // What the system trusts is read at most once, and only if an endpoint needs it.
        let mut trust = None;
        let mut tls = || -> Result<TlsConnector, TlsError> {
            match &trust {
                Some(tls) => Ok(TlsConnector::clone(tls)),
                None => {
                    let tls = evonic_net::client(Authorities::system()?, None)?;
                    Ok(trust.insert(tls).clone())
                }
            }
        };
        for (name, settings) in configured {
            let model = match Remote::new(name, settings, budget, facts.clone(), &mut tls) {
                Ok(model) => Model::Remote(Box::new(model)),
                Err(error) => {
                    let cause = &error as &dyn std::error::Error;
                    tracing::error!(model = name, error = cause, "model cannot be used");
                    Model::Unusable(Arc::new(error))
                }
            };
            models.insert(name.clone(), model);
        }
        let with_fallback = configured.iter().filter(|(_, model)| !model.fallback.is_empty());
        let orders =
            with_fallback.map(|(name, _)| (name.clone(), fallback::order(configured, name)));
        Self { orders: Arc::new(orders.collect()), models: Arc::new(models), facts }
    }

    /// A model by name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Model> {
        self.models.get(name)
    }

    /// Every name, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }

    /// As [`Model::reply`], of the model of this name or of those it falls back on, in order: when
    /// one cannot answer but another may, is out of reach, or would have it wait for longer than half
    /// a minute. One that was out of reach is asked last for a minute.
    ///
    /// # Errors
    /// [`ModelError`] of the model that was asked first; the shortest [`ModelError::Later`] where there is one.
    /// None when no model has this name.
    pub async fn reply(
        &self,
        name: &str,
        request: Request,
        deltas: mpsc::Sender<Delta>,
        cancel: &CancellationToken,
    ) -> Option<Result<Reply, ModelError>> {
        let first = self.models.get(name)?;
        let mut sink = Sink::new(&deltas);
        let asked = async {
            let Some(order) = self.orders.get(name) else {
                return first.ask(&request, &mut sink).await;
            };
            self.ask_in_order(order, request, &mut sink).await
        };
        Some(cancel.run_until_cancelled(asked).await.unwrap_or(Err(ModelError::Cancelled)))
    }

    /// What was learnt of each endpoint, by [`Model::endpoint`].
    #[must_use]
    pub fn facts(&self) -> Vec<(String, ModelFacts)> {
        self.facts.all()
    }

    /// Takes what was learnt in earlier processes.
    pub fn recall(&self, endpoint: &str, facts: ModelFacts) {
        self.facts.recall(endpoint, facts);
    }

    /// Counts changes of [`Models::facts`].
    #[must_use]
    pub fn facts_changed(&self) -> watch::Receiver<u64> {
        self.facts.changes()
    }
}
