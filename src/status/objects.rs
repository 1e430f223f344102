//! Objects in the API server: what their status says, and how it is changed.
//!
//! A status is read, changed and written back under the resource version that was read. So two installations that write to one
//! object at the same time cannot undo each other: the second one is refused, and reads again.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    sync::Arc,
};

use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::sync::watch;
use tracing::warn;

use super::{
    condition::{Installation, ObjectStatus, PROGRAMMED, Truth},
    elector::{self, Term},
    emissary::EmissaryStatus,
    name::FIELD_MANAGER,
    verdict::rfc3339,
};
use crate::{
    crd,
    resource::{Group, Kind, ObjectKey, key::KINDS},
};

/// The version of Emissary's API that has the fields written here.
const EMISSARY_VERSION: &str = "v3alpha1";

/// A conflict is read and tried again at once as often as this; then others have had their turn, and it waits.
const ATTEMPTS: u32 = 4;

const PAGE: u32 = 250;

/// The id of objects that every installation serves.
const AUTOMATIC: &str = "_automatic_";

/// What an object's status should say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wanted {
    /// The entry of the installation, without times.
    Entry(Installation),
    /// Emissary's kinds.
    State(EmissaryStatus),
    /// Nothing of this installation.
    Nothing,
}

/// An object as it was listed.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) key: ObjectKey,
    pub(super) uid: String,
    pub(super) generation: i64,
    /// What its status says of the installation.
    pub(super) says: Wanted,
    /// Whether the top level of the status is what follows from its list.
    pub(super) consistent: bool,
}

/// How an attempt to write ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Written,
    /// It said so already.
    Unchanged,
    /// The object is gone, or another one has its name.
    Gone,
    /// Others write to it all the time.
    Conflict,
    /// The API server does not take it, and will not later.
    Refused(String),
    /// The API server cannot be asked, or does not let us (yet).
    Unavailable(String),
}

/// The objects with a status, in the API server.
#[derive(Clone)]
pub(super) struct Objects {
    client: Client,
    terms: watch::Receiver<Term>,
    installation: Arc<str>,
    manager: String,
}

/// Whether objects of the kind have a status that we write.
pub(super) fn has_status(group: Group, kind: Kind) -> bool {
    match group {
        Group::Postern => true,
        Group::Emissary => matches!(kind, Kind::Mapping | Kind::Host),
        Group::Core | Group::Discovery | Group::Networking | Group::Gateway => false,
    }
}

/// Whether objects of the kind are in no namespace.
fn is_cluster_scoped(kind: Kind) -> bool {
    kind == Kind::RouteClaim
}

// === impl Wanted ===

impl Wanted {
    /// Tells two contents apart, for as long as the process runs. The uid is part of it: a new object has no status.
    pub(super) fn digest(&self, uid: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        (uid, self).hash(&mut hasher);
        hasher.finish()
    }

    /// The generation at which the status says that every ready replica serves the object.
    pub(super) fn programmed_at(&self) -> Option<i64> {
        let Self::Entry(entry) = self else {
            return None;
        };
        let condition = entry.condition(PROGRAMMED)?;
        (condition.status == Truth::True).then_some(condition.observed_generation)
    }

    fn read(kind: (Group, Kind), installation: &str, status: &Value) -> Self {
        match kind.0 {
            Group::Emissary => {
                EmissaryStatus::read(kind.1, status).map_or(Self::Nothing, Self::State)
            }
            _ => status_of(status)
                .installation(installation)
                .map_or(Self::Nothing, |entry| Self::Entry(entry.clone().timeless())),
        }
    }

    /// What `status` becomes, as a merge patch; none when it says so already.
    fn change(&self, status: &Value, installation: &str, now: &str) -> Option<Value> {
        let before = || status_of(status);
        match self {
            Self::State(wanted) => {
                let patch = wanted.patch();
                let differs = patch.as_object()?.iter().any(|(name, value)| {
                    status
                        .get(name)
                        .filter(|v| **v != "")
                        .unwrap_or(&Value::Null)
                        != value
                });
                differs.then_some(patch)
            }
            Self::Entry(entry) => {
                let after = before().with(entry.clone(), now);
                (after != before()).then(|| json!(after))
            }
            Self::Nothing => {
                before().installation(installation)?;
                let after = before().without(installation);
                let mut patch = json!(after);
                if after.installations.is_empty() {
                    patch = json!({"conditions": null, "installations": null, "observedGeneration": null, "addresses": null});
                }
                Some(patch)
            }
        }
    }
}

fn status_of(status: &Value) -> ObjectStatus {
    // What cannot be read was not written by us, and the schema does not let it in.
    serde_json::from_value(status.clone()).unwrap_or_default()
}

// === impl Outcome ===

impl Outcome {
    /// As a label of metrics.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Unchanged => "unchanged",
            Self::Gone => "gone",
            Self::Conflict => "conflict",
            Self::Refused(_) => "refused",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

// === impl Objects ===

impl Objects {
    pub(super) fn new(
        client: Client,
        terms: watch::Receiver<Term>,
        installation: Arc<str>,
        manager: String,
    ) -> Self {
        Self {
            client,
            terms,
            installation,
            manager,
        }
    }

    /// All objects with a status in these namespaces; in all if there are none. A kind that is not installed has no objects; one
    /// that may not be listed is passed over, and each of its objects read before it is written, as always.
    pub(super) async fn list(&self, namespaces: &[String]) -> kube::Result<Vec<Found>> {
        let mut found = Vec::new();
        for &(group, kind, _, _) in KINDS.iter().filter(|row| has_status(row.0, row.1)) {
            if namespaces.is_empty() || is_cluster_scoped(kind) {
                self.list_kind(group, kind, None, &mut found).await?;
                continue;
            }
            for namespace in namespaces {
                self.list_kind(group, kind, Some(namespace), &mut found)
                    .await?;
            }
        }
        Ok(found)
    }

    async fn list_kind(
        &self,
        group: Group,
        kind: Kind,
        namespace: Option<&str>,
        found: &mut Vec<Found>,
    ) -> kube::Result<()> {
        let api = self.api(group, kind, namespace);
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = match api.list(&params).await {
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
                Err(kube::Error::Api(status)) if status.code == 403 => {
                    warn!(kind = kind.name(), error = %status.message, "Objects may not be listed for their status");
                    return Ok(());
                }
                page => page?,
            };
            let items = page.items.into_iter();
            found.extend(items.filter_map(|object| self.found(group, kind, object)));
            let Some(token) = page.metadata.continue_.filter(|token| !token.is_empty()) else {
                return Ok(());
            };
            params = params.continue_token(&token);
        }
    }

    fn found(&self, group: Group, kind: Kind, object: DynamicObject) -> Option<Found> {
        let metadata = object.metadata;
        let namespace = metadata.namespace.unwrap_or_default();
        let status = object.data.get("status").unwrap_or(&Value::Null);
        Some(Found {
            key: ObjectKey::new(group, kind, &namespace, &metadata.name?),
            uid: metadata.uid?,
            generation: metadata.generation.unwrap_or_default(),
            says: Wanted::read((group, kind), &self.installation, status),
            consistent: group == Group::Emissary || status_of(status).is_consistent(),
        })
    }

    /// Brings the status of one object up to date: with nothing written if it says so already.
    pub(super) async fn write(&self, key: &ObjectKey, uid: &str, wanted: &Wanted) -> Outcome {
        for _ in 0..ATTEMPTS {
            match self.attempt(key, uid, wanted).await {
                Ok(Outcome::Conflict) => {}
                Ok(outcome) => return outcome,
                Err(error) => match outcome_of(error) {
                    Outcome::Conflict => {}
                    outcome => return outcome,
                },
            }
        }
        Outcome::Conflict
    }

    async fn attempt(&self, key: &ObjectKey, uid: &str, wanted: &Wanted) -> kube::Result<Outcome> {
        let api = self.api(key.group, key.kind, Some(&key.namespace));
        let object = api.get(&key.name).await?;
        let other = !uid.is_empty() && object.metadata.uid.as_deref() != Some(uid);
        if other {
            return Ok(Outcome::Gone);
        }
        if key.group == Group::Emissary && !self.speaks_for(&object) {
            return Ok(Outcome::Unchanged);
        }
        let status = object.data.get("status").unwrap_or(&Value::Null);
        let now = rfc3339(Timestamp::now());
        let Some(change) = wanted.change(status, &self.installation, &now) else {
            return Ok(Outcome::Unchanged);
        };
        // A process that was stopped between reading and writing may have been succeeded.
        if !elector::leads(&self.terms) {
            return Ok(Outcome::Unavailable("not leading any more".to_owned()));
        }
        let patch = Patch::Merge(json!({
            "metadata": { "resourceVersion": object.metadata.resource_version },
            "status": change,
        }));
        let params = PatchParams {
            field_manager: Some(self.manager.clone()),
            ..PatchParams::default()
        };
        api.patch_status(&key.name, &params, &patch).await?;
        Ok(Outcome::Written)
    }

    /// Whether this installation says the state of one of Emissary's objects, which has room for one state only: the first that the
    /// object names does. Where it names none but `_automatic_`, that is who said it first.
    fn speaks_for(&self, object: &DynamicObject) -> bool {
        let spec = object.data.get("spec");
        let ids = spec.and_then(|spec| {
            spec.get("ambassador_id")
                .or_else(|| spec.get("ambassadorId"))
        });
        let Some(ids) = ids.and_then(Value::as_array) else {
            return true;
        };
        let mut ids = ids.iter().filter_map(Value::as_str);
        if let Some(first) = ids.find(|id| *id != AUTOMATIC) {
            return first == &*self.installation;
        }
        let mut managers = object.metadata.managed_fields.iter().flatten();
        !managers.any(|managed| {
            let manager = managed.manager.as_deref().unwrap_or_default();
            managed.subresource.as_deref() == Some("status")
                && manager.starts_with(FIELD_MANAGER)
                && manager != self.manager
        })
    }

    fn api(&self, group: Group, kind: Kind, namespace: Option<&str>) -> Api<DynamicObject> {
        let row = KINDS.iter().find(|row| (row.0, row.1) == (group, kind));
        let (name, plural) = row.map_or(("", ""), |row| (row.2, row.3));
        let version = match group {
            Group::Emissary => EMISSARY_VERSION,
            _ => crd::VERSION,
        };
        let named = GroupVersionKind::gvk(group.name(), version, name);
        let resource = ApiResource::from_gvk_with_plural(&named, plural);
        match namespace.filter(|_| !is_cluster_scoped(kind)) {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }
}

fn outcome_of(error: kube::Error) -> Outcome {
    match error {
        kube::Error::Api(status) => match status.code {
            404 => Outcome::Gone,
            409 => Outcome::Conflict,
            400 | 413 | 415 | 422 => Outcome::Refused(status.message),
            _ => Outcome::Unavailable(status.message),
        },
        error => Outcome::Unavailable(error.to_string()),
    }
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objects")
            .field("installation", &self.installation)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
