//! All objects of an API server, read once, by somebody who may not be allowed to read them all.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use serde_json::Value;

use super::{
    catalogue,
    found::{self, Found},
    request::{self, Failure, Form},
    resource::{self, Resource, full_name},
};
use crate::resource::{Group, Kind, ObjectKey, ResourceSet, Unavailable};

/// Objects in one answer.
const PAGE: usize = 500;
/// Answers to one list: a bound for a server that never ends.
const MAX_PAGES: usize = 2000;

/// What was read, and what was not.
#[derive(Debug, Default)]
pub struct Once {
    pub set: ResourceSet,
    /// Kinds that the API server serves.
    pub served: BTreeSet<(Group, Kind)>,
    /// What the replicas say in the status of an object is wrong with it as it is now; empty when nothing is.
    pub said: BTreeMap<ObjectKey, String>,
    pub unread: Vec<Unread>,
}

/// An object that was read.
struct Listed {
    found: Found,
    /// What its status says is wrong with it as it is now; empty when nothing is.
    said: Option<String>,
}

/// Objects that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unread {
    pub kind: Kind,
    /// `secrets`, `mappings.postern.dev`.
    pub resource: String,
    /// Only in this namespace; otherwise everywhere.
    pub namespace: Option<String>,
    /// The namespaces in which it was read nevertheless.
    pub except: Vec<String>,
    /// Permission is missing; anything else is a failure.
    pub forbidden: bool,
    pub why: String,
}

/// Why nothing at all can be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read what the API server has: {0}")]
pub struct OnceError(String);

/// Reads every kind that Postern reads, but Secrets, and what this installation says of them. What may not be listed in all
/// namespaces is listed in these.
pub async fn read(
    client: &kube::Client,
    installation: &str,
    namespaces: &[String],
) -> Result<Once, OnceError> {
    let mut once = Once::default();
    let mut resources: Vec<_> = resource::built_in().collect();
    for group in Group::ALL
        .into_iter()
        .filter(|g| resource::is_installed(*g))
    {
        let found = catalogue::group_resources(client, group).await;
        resources.extend(found.map_err(|failure| OnceError(failure.to_string()))?);
    }
    once.served = resources.iter().map(|r| (r.group, r.kind)).collect();
    resources.retain(|resource| resource.kind != Kind::Secret);
    let lists = resources
        .iter()
        .map(|resource| list(client, resource, installation, namespaces));
    for (listed, unread) in join_all(lists).await {
        for listed in listed {
            once.insert(listed);
        }
        once.unread.extend(unread);
    }
    once.unread.sort();
    let grants = (Group::Gateway, Kind::ReferenceGrant);
    if !once.served.contains(&grants) {
        let why = Unavailable::NotInstalled;
        once.set.unavailable.insert(Kind::ReferenceGrant, why);
    }
    for unread in &once.unread {
        // A claim may be for any namespace with some labels, so that some of them are as good as none.
        let is_whole = unread.except.is_empty() || unread.kind == Kind::Namespace;
        if unread.forbidden && unread.namespace.is_none() && is_whole {
            once.set
                .unavailable
                .insert(unread.kind, Unavailable::Unasked);
        }
    }
    Ok(once)
}

impl Once {
    fn insert(&mut self, listed: Listed) {
        let Found::Object {
            object, carried, ..
        } = listed.found
        else {
            return;
        };
        if let Some(said) = listed.said {
            self.said.insert(object.key().clone(), said);
        }
        self.set.insert(object);
        for carried in carried {
            // A real object of the name goes before what an annotation carries.
            if self.set.meta(carried.object.key()).is_none() {
                self.set.insert(carried.object);
            }
        }
    }
}

/// Every object of Emissary-ingress and of Postern, and everything that can carry some or is referred to by name: as manifests.
/// What may not be read is an error, because what is made of them would be incomplete.
pub async fn manifests(client: &kube::Client) -> Result<Vec<Value>, OnceError> {
    let mut resources: Vec<_> = resource::built_in()
        .filter(|resource| matches!(resource.kind, Kind::Service | Kind::Ingress))
        .collect();
    for group in [Group::Postern, Group::Emissary] {
        let found = catalogue::group_resources(client, group).await;
        resources.extend(found.map_err(|failure| OnceError(failure.to_string()))?);
    }
    let mut manifests = Vec::new();
    for resource in &resources {
        let name = full_name(resource.group, resource.plural);
        let items = raw_pages(client, resource, None).await;
        let items = items.map_err(|failure| OnceError(format!("{name}: {failure}")))?;
        manifests.extend(items.into_iter().map(|mut item| {
            found::prepare(resource, &mut item);
            item
        }));
    }
    Ok(manifests)
}

/// Reads these Secrets: they are in the set afterwards, or absent, or unread.
pub async fn read_secrets(
    client: &kube::Client,
    wanted: &BTreeSet<ObjectKey>,
    set: &mut ResourceSet,
) -> Vec<Unread> {
    let Some(secret) = resource::built_in().find(|r| r.kind == Kind::Secret) else {
        return Vec::new();
    };
    let mut unread = Vec::new();
    for key in wanted {
        // Names in objects are checked by the schema, and a path is built of them.
        let uri = format!("{}/{}", secret.path(Some(&key.namespace)), key.name);
        match request::get(client, &uri, Form::Whole).await {
            Ok(manifest) => match found::secret(&secret, manifest, false) {
                Some((object, _)) => set.insert(object),
                None => unread.push(unread_secret(key, "it cannot be decoded".to_owned(), false)),
            },
            Err(Failure::NotFound) => drop(set.absent_secrets.insert(key.clone())),
            Err(failure) => {
                let forbidden = matches!(failure, Failure::Forbidden(_));
                unread.push(unread_secret(key, failure.to_string(), forbidden));
            }
        }
    }
    unread
}

fn unread_secret(key: &ObjectKey, why: String, forbidden: bool) -> Unread {
    Unread {
        kind: Kind::Secret,
        resource: format!("secrets/{}", key.name),
        namespace: Some(key.namespace.to_string()),
        except: Vec::new(),
        forbidden,
        why,
    }
}

/// What could be listed, and what could not.
async fn list(
    client: &kube::Client,
    resource: &Resource,
    installation: &str,
    namespaces: &[String],
) -> (Vec<Listed>, Vec<Unread>) {
    let unread = |namespace: Option<&str>, failure: &Failure| Unread {
        kind: resource.kind,
        resource: full_name(resource.group, resource.plural),
        namespace: namespace.map(str::to_owned),
        except: Vec::new(),
        forbidden: matches!(failure, Failure::Forbidden(_)),
        why: failure.to_string(),
    };
    let everywhere = match pages(client, resource, installation, None).await {
        Ok(listed) => return (listed, Vec::new()),
        Err(failure) => failure,
    };
    let mut missing = unread(None, &everywhere);
    let is_of_namespaces = resource.namespaced || resource.kind == Kind::Namespace;
    if !is_of_namespaces || !missing.forbidden {
        return (Vec::new(), vec![missing]);
    }
    let mut found = Vec::new();
    let mut gaps = Vec::new();
    for namespace in namespaces {
        let listed = if resource.namespaced {
            pages(client, resource, installation, Some(namespace)).await
        } else {
            itself(client, resource, namespace).await
        };
        match listed {
            Ok(listed) => {
                found.extend(listed);
                missing.except.push(namespace.clone());
            }
            Err(Failure::Forbidden(_)) => {}
            Err(failure) => gaps.push(unread(Some(namespace), &failure)),
        }
    }
    gaps.push(missing);
    (found, gaps)
}

/// The object of this name: whoever may look into a namespace may look at it, too.
async fn itself(
    client: &kube::Client,
    resource: &Resource,
    name: &str,
) -> Result<Vec<Listed>, Failure> {
    let uri = format!("{}/{name}", resource.path(None));
    match request::get(client, &uri, Form::Whole).await {
        Ok(manifest) => Ok(vec![Listed {
            found: Found::new(resource, manifest),
            said: None,
        }]),
        Err(Failure::NotFound) => Ok(Vec::new()),
        Err(failure) => Err(failure),
    }
}

async fn pages(
    client: &kube::Client,
    resource: &Resource,
    installation: &str,
    namespace: Option<&str>,
) -> Result<Vec<Listed>, Failure> {
    let items = raw_pages(client, resource, namespace).await?.into_iter();
    let listed = items.map(|item| Listed {
        said: said(&item, installation).map(str::to_owned),
        found: Found::new(resource, item),
    });
    Ok(listed.collect())
}

/// What the status says is wrong with an object as it is now, which begins with a code; empty when nothing is.
fn said<'m>(manifest: &'m Value, installation: &str) -> Option<&'m str> {
    let status = manifest.get("status")?;
    let text = match status.get("installations") {
        Some(entries) => {
            let generation = manifest.get("metadata")?.get("generation")?;
            let is_meant = |entry: &&Value| {
                entry.get("name").and_then(Value::as_str) == Some(installation)
                    && entry.get("observedGeneration") == Some(generation)
            };
            let entry = entries.as_array()?.iter().find(is_meant)?;
            let mut conditions = entry.get("conditions")?.as_array()?.iter();
            let accepted =
                conditions.find(|one| one.get("type").and_then(Value::as_str) == Some("Accepted"));
            accepted?.get("message")
        }
        // Of Emissary's kinds; their status has no generation.
        None => ["reason", "errorReason", "state"]
            .iter()
            .find_map(|name| status.get(name)),
    };
    let is_wrong = |text: &&str| text.starts_with("PST");
    Some(Some(text?.as_str()?).filter(is_wrong).unwrap_or_default())
}

/// The items of a list, as they come.
async fn raw_pages(
    client: &kube::Client,
    resource: &Resource,
    namespace: Option<&str>,
) -> Result<Vec<Value>, Failure> {
    let path = resource.path(namespace);
    let mut found = Vec::new();
    let mut next = String::new();
    for _ in 0..MAX_PAGES {
        let uri = format!("{path}?limit={PAGE}{next}");
        let mut page = request::get(client, &uri, Form::Whole).await?;
        if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
            found.extend(items);
        }
        let token = page
            .get("metadata")
            .and_then(|metadata| metadata.get("continue")?.as_str())
            .filter(|token| !token.is_empty());
        let Some(token) = token else {
            return Ok(found);
        };
        next = format!("&continue={}", escaped(token));
    }
    Err(Failure::TooLarge)
}

/// A token is base64 as a rule, whose `+`, `/` and `=` mean something in a query.
fn escaped(token: &str) -> String {
    token.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            text.push(char::from(byte));
        } else {
            use std::fmt::Write as _;
            write!(text, "%{byte:02X}").expect("writing to a string must succeed");
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::mock::{Reply, client},
        *,
    };

    fn resources(names: &[&str]) -> Reply {
        let row =
            |name: &&str| json!({"name": name, "namespaced": true, "verbs": ["list", "watch"]});
        Reply::Json(json!({"resources": names.iter().map(row).collect::<Vec<_>>()}))
    }

    fn mapping(namespace: &str, name: &str) -> Value {
        json!({"metadata": {"namespace": namespace, "name": name}, "spec": {"prefix": "/", "service": "a"}})
    }

    /// Mappings of `apps` may be read, in two pages; of the rest nothing but its names.
    fn server() -> kube::Client {
        client(|uri| {
            let query = uri.query().unwrap_or_default();
            match uri.path() {
                "/apis/postern.dev/v1alpha1" => resources(&["mappings"]),
                "/apis/postern.dev/v1alpha1/namespaces/apps/mappings" => {
                    if query.contains("continue=a%2Fb") {
                        Reply::Json(json!({"items": [mapping("apps", "two")]}))
                    } else {
                        let metadata = json!({"continue": "a/b"});
                        Reply::Json(
                            json!({"metadata": metadata, "items": [mapping("apps", "one")]}),
                        )
                    }
                }
                "/api/v1/namespaces/apps" => {
                    Reply::Json(json!({"metadata": {"name": "apps", "labels": {"team": "a"}}}))
                }
                "/api/v1/namespaces/apps/secrets/gone" => Reply::Status(404, "not found"),
                path if path.matches('/').count() > 3 || path.ends_with("namespaces") => {
                    Reply::Status(403, "no")
                }
                path if path.starts_with("/api/v1/") => Reply::Status(403, "no"),
                _ => Reply::Status(404, "not found"),
            }
        })
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_be_read_is_read_and_the_rest_is_named() {
        let namespaces = ["apps".to_owned(), "web".to_owned()];
        let once = read(&server(), "default", &namespaces).await.unwrap();
        let names: Vec<_> = once.set.mappings.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["Mapping apps/one", "Mapping apps/two"]);
        let mappings = once
            .unread
            .iter()
            .find(|u| u.kind == Kind::Mapping)
            .unwrap();
        assert_eq!(mappings.except, ["apps"]);
        assert!(mappings.forbidden && mappings.namespace.is_none());
        let unread = |kind| once.unread.iter().any(|u| u.kind == kind);
        assert!(
            unread(Kind::Service) && unread(Kind::Namespace),
            "{:?}",
            once.unread
        );
        assert!(!once.served.contains(&(Group::Postern, Kind::Host)));
        let own = once.set.namespaces.values().next().unwrap();
        assert_eq!(own.meta.labels.get("team").map(String::as_str), Some("a"));
        assert!(once.set.unavailable.contains_key(&Kind::Namespace));
    }

    #[test]
    fn a_status_is_heard_if_it_is_of_this_installation_and_of_the_object_as_it_is_now() {
        let entry = |name: &str, generation: i64, message: &str| {
            let ready = json!({"type": "Ready", "message": "PST3002: no"});
            let accepted = json!({"type": "Accepted", "message": message});
            json!({"name": name, "observedGeneration": generation, "conditions": [ready, accepted]})
        };
        let lost = "PST2007: it is not yours. Choose another.";
        for (status, heard) in [
            (
                json!({"installations": [entry("other", 3, "PST1001: no"), entry("own", 3, lost)]}),
                Some(lost),
            ),
            (json!({"installations": [entry("own", 2, lost)]}), None),
            (json!({"installations": [entry("other", 3, lost)]}), None),
            (
                json!({"installations": [entry("own", 3, "The object is valid.")]}),
                Some(""),
            ),
            (json!({"state": "Inactive", "reason": lost}), Some(lost)),
            (json!({"state": "Error", "errorReason": lost}), Some(lost)),
            (json!({"state": "Running"}), Some("")),
            (json!({"installations": "nonsense"}), None),
            (json!(null), None),
        ] {
            let manifest = json!({"metadata": {"generation": 3}, "status": status});
            assert_eq!(said(&manifest, "own"), heard, "{status}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_secret_is_there_or_absent_or_unread() {
        let key = |name| ObjectKey::new(Group::Core, Kind::Secret, "apps", name);
        let wanted = [key("gone"), key("hidden")].into();
        let mut set = ResourceSet::default();
        let unread = read_secrets(&server(), &wanted, &mut set).await;
        assert_eq!(set.absent_secrets, [key("gone")].into());
        assert_eq!(unread.len(), 1);
        assert_eq!(unread[0].resource, "secrets/hidden");
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_api_server_there_is_nothing() {
        let away = client(|_| Reply::Status(503, "away"));
        assert!(read(&away, "default", &[]).await.is_err());
    }
}
