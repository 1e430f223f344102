//! A kind as the API server serves it.

use std::sync::Arc;

use serde_json::Value;

use crate::resource::{Group, Kind, ObjectKey, key::KINDS};

/// A kind with the version and the scope in which the API server serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Resource {
    pub(super) group: Group,
    pub(super) kind: Kind,
    pub(super) kind_name: &'static str,
    pub(super) plural: &'static str,
    pub(super) version: &'static str,
    pub(super) namespaced: bool,
}

/// The versions of a group that Postern reads, the preferred one first.
pub(super) const fn versions(group: Group) -> &'static [&'static str] {
    match group {
        Group::Postern => &["v1alpha1"],
        Group::Emissary => &["v3alpha1"],
        Group::Core | Group::Discovery | Group::Networking => &["v1"],
        Group::Gateway => &["v1", "v1beta1"],
    }
}

/// Whether the group's kinds are there only when somebody has installed them.
pub(super) const fn is_installed(group: Group) -> bool {
    matches!(group, Group::Postern | Group::Emissary | Group::Gateway)
}

/// The kinds that every API server has.
pub(super) fn built_in() -> impl Iterator<Item = Resource> {
    KINDS
        .iter()
        .filter(|row| !is_installed(row.0))
        .map(|&(group, kind, kind_name, plural)| Resource {
            group,
            kind,
            kind_name,
            plural,
            version: versions(group).first().copied().unwrap_or("v1"),
            namespaced: kind != Kind::Namespace,
        })
}

/// The kinds of a group, by the plural names that its versions serve: `list` tells for one version which resources there
/// are, and whether each has namespaces.
pub(super) fn served(group: Group, list: &[(&'static str, Vec<(String, bool)>)]) -> Vec<Resource> {
    let rows = KINDS.iter().filter(|row| row.0 == group);
    rows.filter_map(|&(group, kind, kind_name, plural)| {
        let (version, namespaced) = list.iter().find_map(|(version, resources)| {
            let (_, namespaced) = resources.iter().find(|(name, _)| name == plural)?;
            Some((*version, *namespaced))
        })?;
        Some(Resource {
            group,
            kind,
            kind_name,
            plural,
            version,
            namespaced,
        })
    })
    .collect()
}

/// The kind of a manifest that says what it is, in a version that is read.
pub(super) fn of(manifest: &Value) -> Option<Resource> {
    let text = |name: &str| manifest.get(name)?.as_str();
    let (group_name, said) = match text("apiVersion")?.split_once('/') {
        Some(parts) => parts,
        None => ("", text("apiVersion")?),
    };
    let kind_said = text("kind")?;
    let &(group, kind, kind_name, plural) = KINDS
        .iter()
        .find(|row| row.0.name() == group_name && row.2 == kind_said)?;
    let version = versions(group).iter().find(|version| **version == said)?;
    Some(Resource {
        group,
        kind,
        kind_name,
        plural,
        version,
        namespaced: manifest.pointer("/metadata/namespace").is_some(),
    })
}

/// The name of a kind as CRDs and roles have it: `mappings.postern.dev`, `services`.
pub(super) fn full_name(group: Group, plural: &str) -> String {
    match group {
        Group::Core => plural.to_owned(),
        _ => format!("{plural}.{}", group.name()),
    }
}

// === impl Resource ===

impl Resource {
    /// `mappings.postern.dev`, or in one namespace `apps/mappings.postern.dev`: the name of a watch.
    pub(super) fn watch_name(&self, namespace: Option<&str>) -> Arc<str> {
        let name = full_name(self.group, self.plural);
        match namespace {
            Some(namespace) => format!("{namespace}/{name}").into(),
            None => name.into(),
        }
    }

    pub(super) fn api_version(&self) -> String {
        match self.group {
            Group::Core => self.version.to_owned(),
            group => format!("{}/{}", group.name(), self.version),
        }
    }

    /// Where the objects are listed and watched.
    pub(super) fn path(&self, namespace: Option<&str>) -> String {
        let version = group_path(self.group, self.version);
        match namespace {
            Some(namespace) => format!("{version}/namespaces/{namespace}/{}", self.plural),
            None => format!("{version}/{}", self.plural),
        }
    }

    /// The key of an object from its manifest, if it has a name.
    pub(super) fn key(&self, manifest: &Value) -> Option<ObjectKey> {
        let metadata = manifest.get("metadata")?;
        let name = metadata.get("name")?.as_str()?;
        let namespace = metadata.get("namespace").and_then(Value::as_str);
        let namespace = namespace.filter(|_| self.namespaced).unwrap_or_default();
        Some(ObjectKey::new(self.group, self.kind, namespace, name))
    }
}

/// Where a version of a group describes itself.
pub(super) fn group_path(group: Group, version: &str) -> String {
    match group {
        Group::Core => format!("/api/{version}"),
        _ => format!("/apis/{}/{version}", group.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built_in_kind(kind: Kind) -> Resource {
        built_in().find(|resource| resource.kind == kind).unwrap()
    }

    #[test]
    fn names_and_paths_are_those_of_the_api() {
        let services = built_in_kind(Kind::Service);
        assert_eq!(services.path(None), "/api/v1/services");
        assert_eq!(
            services.path(Some("apps")),
            "/api/v1/namespaces/apps/services"
        );
        assert_eq!(&*services.watch_name(None), "services");
        assert_eq!(services.api_version(), "v1");
        let slices = built_in_kind(Kind::EndpointSlice);
        assert_eq!(
            slices.path(None),
            "/apis/discovery.k8s.io/v1/endpointslices"
        );
        assert_eq!(
            &*slices.watch_name(Some("apps")),
            "apps/endpointslices.discovery.k8s.io"
        );
        assert!(!built_in_kind(Kind::Namespace).namespaced);
    }

    #[test]
    fn the_preferred_version_that_has_the_kind_is_taken() {
        let old = ("v1beta1", vec![("referencegrants".to_owned(), true)]);
        let without = ("v1", vec![("gateways".to_owned(), true)]);
        let with = ("v1", vec![("referencegrants".to_owned(), true)]);
        let version = |list: &[_]| {
            served(Group::Gateway, list)
                .first()
                .map(|resource| resource.version)
        };
        assert_eq!(version(&[without, old.clone()]), Some("v1beta1"));
        assert_eq!(version(&[with, old]), Some("v1"));
        assert_eq!(version(&[]), None);
    }

    #[test]
    fn a_manifest_tells_its_kind_or_none() {
        let manifest = |version: &str, kind: &str| {
            let metadata = serde_json::json!({"namespace": "apps", "name": "a"});
            serde_json::json!({"apiVersion": version, "kind": kind, "metadata": metadata})
        };
        let found = of(&manifest("postern.dev/v1alpha1", "Mapping")).unwrap();
        assert_eq!(&*found.watch_name(None), "mappings.postern.dev");
        assert_eq!(
            of(&manifest("v1", "Service")),
            Some(built_in_kind(Kind::Service))
        );
        assert_eq!(of(&manifest("postern.dev/v9", "Mapping")), None);
        assert_eq!(of(&manifest("v1", "Mapping")), None);
        assert_eq!(of(&Value::Null), None);
    }
}
