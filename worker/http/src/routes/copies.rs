//! `/api/v1/copies`: from one workplace to another.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use warp::{Filter, reply::Response};

use super::{Site, with};
use crate::{
    call::{Call, Verb, call, respond},
    event_stream,
    front::Routes,
    problem::{Answer, Problem, causes},
};
use evonic_domain::{Action, CopyEnd, NewCopy};
use evonic_store::StoreError;
use evonic_workplace::{Backend, Class, CopyError, Copying, WorkplaceError};

/// The most copies at once.
const AT_ONCE: usize = 4;

/// When to ask again for a copy that is still being let go.
const SOON: Duration = Duration::from_secs(1);

/// When to ask again for a seat.
const LATER: Duration = Duration::from_secs(5);

/// The copies that are under way. Shared by cloning.
#[derive(Clone, Debug, Default)]
pub(crate) struct Copies {
    running: Arc<Mutex<HashSet<String>>>,
}

/// A copy's seat among those under way, given back when it is dropped.
struct Seat {
    copies: Copies,
    id: String,
}

/// The one resource.
pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let path = warp::path!("api" / "v1" / "copies");
    path.and(call()).and(with(site)).then(copies).boxed()
}

async fn copies(call: Call, site: Arc<Site>) -> Response {
    let answer = match call.verb {
        Verb::Post => copy(call, &site).await,
        _ => Err(Problem::not_allowed("POST")),
    };
    respond("/api/v1/copies", answer)
}

/// Tells how far it is; `done` says whether it worked, or why not. It ends with its client; the
/// same request again goes on where it was.
async fn copy(call: Call, site: &Site) -> Answer {
    call.no_query()?;
    let origin = call.caller.origin();
    let new: NewCopy = call.json(&site.app.config.http).await?;
    let seat = site.copies.enter(identify(&new))?;
    let NewCopy { from, to, recursive } = new;
    let from_place = open(&from, "from.workplace", site).await?;
    // Only one that is the same object is known to be the same place.
    let is_same = (&from.workplace, &from.session) == (&to.workplace, &to.session);
    let to_place =
        if is_same { Arc::clone(&from_place) } else { open(&to, "to.workplace", site).await? };
    let between = format!("{} -> {}", from.workplace, to.workplace);
    site.record(origin, Action::CopyCreate, seat.id.clone(), Some(between)).await?;
    let copying = Copying {
        from: from_place,
        from_path: from.path,
        to: to_place,
        to_path: to.path,
        recursive,
        id: seat.id.clone(),
    };
    Ok(event_stream::tell(site, "progress", |told| async move {
        let done = outcome(copying.run(told, &CancellationToken::new()).await);
        drop(seat);
        done
    }))
}

fn outcome(copied: Result<(), CopyError>) -> Value {
    match copied {
        Ok(()) => json!({ "ok": true }),
        Err(error) => json!({ "ok": false, "error": causes(&error) }),
    }
}

async fn open(
    end: &CopyEnd,
    field: &'static str,
    site: &Site,
) -> Result<Arc<dyn Backend>, Problem> {
    let opened = site.app.workplaces.open(&end.workplace, end.session.as_ref()).await;
    opened.map_err(|error| match error {
        WorkplaceError::Exhausted(exhausted) => exhausted.into(),
        WorkplaceError::Unread { source: error @ StoreError::Closed, .. } => error.into(),
        error if error.class() == Class::Transient => {
            Problem::unavailable("unreachable", causes(&error), LATER).naming(field)
        }
        error => Problem::unusable(field, format!("field '{field}': {}", causes(&error))),
    })
}

/// Names a copy by what was asked for: who asks for the same goes on with it.
fn identify(new: &NewCopy) -> String {
    let text = serde_json::to_vec(new).expect("a request has string keys only");
    Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

impl Copies {
    /// # Errors
    /// 503 when there are too many, or the same one is under way.
    fn enter(&self, id: String) -> Result<Seat, Problem> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.contains(&id) {
            let detail = "the same copy is under way, or its client left just now";
            return Err(Problem::unavailable("copy_under_way", detail, SOON));
        }
        if running.len() == AT_ONCE {
            let detail = format!("{AT_ONCE} copies are under way already");
            return Err(Problem::unavailable("too_many_copies", detail, LATER));
        }
        running.insert(id.clone());
        Ok(Seat { copies: self.clone(), id })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut running = self.copies.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(&self.id);
    }
}
