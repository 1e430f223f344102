//! The bodies of Secrets: what [`Secrets`] decides is carried out here, and what goes wrong is said.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use tokio::{
    sync::Semaphore,
    task::{JoinError, JoinSet},
    time::Instant,
};
use tracing::{Instrument, warn};

use super::{
    found::{self, Event, Found},
    request::{self, Failure, Form},
    resource::{self, Resource},
    running::sentence,
    secrets::{Fetch, Holding, Outcome, Output, Place, Secrets},
};
use crate::{
    resource::{AnyObject, Kind, ObjectKey, SecretData},
    source::Change,
};

/// Bodies that are fetched at the same time.
const FETCHES: usize = 16;

/// The Secrets, and the requests for them that are on their way.
pub(super) struct Bodies {
    client: kube::Client,
    secrets: Secrets,
    fetches: JoinSet<Fetched>,
    permits: Arc<Semaphore>,
    /// Secrets whose bodies could not be fetched, and why.
    unread: HashMap<ObjectKey, String>,
    /// Of each body that was fetched, while it is wanted; none are kept where nobody asks for them.
    documents: Option<Documents>,
}

/// What is kept for the next process.
struct Documents {
    is_good: fn(&SecretData) -> bool,
    held: HashMap<ObjectKey, Document>,
}

/// The last document of a body.
struct Document {
    text: Arc<str>,
    is_good: bool,
    /// The last one that was good, if this is not.
    former: Option<Arc<str>>,
}

/// The end of a request. None: there is a Secret, and it cannot be decoded.
pub(super) type Fetched = (Fetch, Result<Option<Body>, Failure>);

/// A Secret, with its document where that is asked for.
type Body = (AnyObject, Option<Arc<str>>);

// === impl Bodies ===

impl Bodies {
    pub(super) fn new(client: kube::Client, is_good: Option<fn(&SecretData) -> bool>) -> Self {
        Self {
            client,
            secrets: Secrets::default(),
            fetches: JoinSet::new(),
            permits: Arc::new(Semaphore::new(FETCHES)),
            unread: HashMap::new(),
            documents: is_good.map(|is_good| Documents {
                is_good,
                held: HashMap::new(),
            }),
        }
    }

    pub(super) fn watch(&mut self, watch: &Arc<str>, place: Place) {
        self.secrets.watch(watch, place);
    }

    pub(super) fn list(
        &mut self,
        watch: &Arc<str>,
        found: Vec<Found>,
        version: Arc<str>,
    ) -> Vec<Change> {
        let output = self.secrets.list(watch, found, Instant::now());
        self.secrets.reached(watch, version);
        self.carry_out(output)
    }

    pub(super) fn change(
        &mut self,
        watch: &Arc<str>,
        events: Vec<Event>,
        version: Arc<str>,
    ) -> Vec<Change> {
        let output = self.secrets.change(watch, events, Instant::now());
        self.secrets.reached(watch, version);
        self.carry_out(output)
    }

    pub(super) fn denied(&mut self, watch: &Arc<str>) -> Vec<Change> {
        let output = self.secrets.denied(watch, Instant::now());
        self.carry_out(output)
    }

    pub(super) fn want(&mut self, wanted: &Arc<BTreeSet<ObjectKey>>) -> Vec<Change> {
        self.unread.retain(|key, _| wanted.contains(key));
        if let Some(documents) = &mut self.documents {
            documents.held.retain(|key, _| wanted.contains(key));
        }
        let output = self.secrets.want(wanted, Instant::now());
        self.carry_out(output)
    }

    pub(super) fn versions(&mut self) -> Vec<Change> {
        self.secrets.versions()
    }

    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.secrets.next_retry()
    }

    pub(super) fn retry(&mut self) -> Vec<Change> {
        let output = self.secrets.retry(Instant::now());
        self.carry_out(output)
    }

    /// The next request that ends; none while none is on its way.
    pub(super) async fn next(&mut self) -> Option<Result<Fetched, JoinError>> {
        self.fetches.join_next().await
    }

    /// Takes what [`Self::next`] gave.
    pub(super) fn fetched(&mut self, (fetch, result): Fetched) -> Vec<Change> {
        let key = &fetch.key;
        let outcome = match result {
            Ok(Some((object, document))) => {
                self.unread.remove(key);
                if let (Some(documents), Some(document)) = (&mut self.documents, document) {
                    documents.put(&object, document);
                }
                Outcome::Body(object)
            }
            Ok(None) => {
                self.complain(key, "it cannot be decoded".to_owned());
                Outcome::Nothing
            }
            Err(Failure::NotFound) => {
                self.unread.remove(key);
                Outcome::Nothing
            }
            Err(failure) => {
                self.complain(key, failure.to_string());
                match failure {
                    Failure::Forbidden(_) => Outcome::Forbidden,
                    _ => Outcome::Failed,
                }
            }
        };
        let output = self.secrets.fetched(&fetch, outcome, Instant::now());
        self.carry_out(output)
    }

    /// What is wrong, if anything is.
    pub(super) fn problem(&self) -> Option<String> {
        let (_, why) = self.unread.iter().min()?;
        let keys = sentence(self.unread.keys().map(ToString::to_string));
        Some(format!("cannot read {keys}: {why}"))
    }

    /// The documents of all Secrets that are wanted, and which of them do not exist; none while one is not known yet.
    pub(super) fn documents(&self) -> Option<(Vec<Arc<str>>, Vec<ObjectKey>)> {
        let (mut there, mut absent) = (Vec::new(), Vec::new());
        for (key, holding) in self.secrets.holdings() {
            match holding {
                Holding::Held => {
                    let document = self.documents.as_ref()?.held.get(key)?;
                    there.extend(document.former.clone());
                    there.push(document.text.clone());
                }
                Holding::Absent => absent.push(key.clone()),
                Holding::Unknown => return None,
            }
        }
        absent.sort_unstable();
        Some((there, absent))
    }

    fn carry_out(&mut self, output: Output) -> Vec<Change> {
        let kind = resource::built_in().find(|resource| resource.kind == Kind::Secret);
        for (fetch, resource) in output.fetches.into_iter().zip(kind.into_iter().cycle()) {
            let client = self.client.clone();
            let permits = self.permits.clone();
            let keeps = self.documents.is_some();
            let work = async move {
                let _permit = permits.acquire().await;
                let result = body(&client, &resource, &fetch.key, keeps).await;
                (fetch, result)
            };
            self.fetches.spawn(work.in_current_span());
        }
        if let Some(documents) = &mut self.documents {
            documents.forget(&output.changes);
        }
        output.changes
    }

    /// Says once why a Secret cannot be read, never what is in it.
    fn complain(&mut self, key: &ObjectKey, why: String) {
        if !self.secrets.is_wanted(key) {
            return;
        }
        if !self.unread.contains_key(key) {
            warn!(secret = %key, error = %why, "Cannot read a Secret, trying again");
        }
        self.unread.insert(key.clone(), why);
    }
}

// === impl Documents ===

impl Documents {
    fn put(&mut self, object: &AnyObject, text: Arc<str>) {
        let AnyObject::Secret(secret) = object else {
            return;
        };
        let is_good = (self.is_good)(&secret.spec);
        let before = self.held.remove(&secret.key);
        let former = before.and_then(|before| {
            if before.is_good {
                Some(before.text)
            } else {
                before.former
            }
        });
        let document = Document {
            text,
            is_good,
            former: former.filter(|_| !is_good),
        };
        self.held.insert(secret.key.clone(), document);
    }

    /// A Secret that is gone leaves nothing behind.
    fn forget(&mut self, changes: &[Change]) {
        for change in changes {
            if let Change::Delete(key) = change {
                self.held.remove(key);
            }
        }
    }
}

/// The Secret's body; none if it cannot be decoded.
async fn body(
    client: &kube::Client,
    resource: &Resource,
    key: &ObjectKey,
    keeps: bool,
) -> Result<Option<Body>, Failure> {
    // The name is of an object that was listed, and so can be in a path as it is.
    let uri = format!("{}/{}", resource.path(Some(&key.namespace)), key.name);
    let manifest = request::get(client, &uri, Form::Whole).await?;
    Ok(found::secret(resource, manifest, keeps))
}
