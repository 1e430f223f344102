//! The black-box cases with their resources in the API server, against the binary with the shipped roles.
//!
//! One replica serves one case after the other: the objects of the last one are deleted, those of the next are created, and
//! what they must be answered with is asked until it is so, or nobody has patience any more.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use postern::resource::{Kind, key::KINDS};
use serde_json::{Map, Value, json};

use super::{
    installation::{Installation, figure},
    platform::own,
    server::{ADMIN_TOKEN, Server},
};
use crate::{
    cases::{Case, all_of, files, reported_name},
    corpus,
    gateway::Gateway,
    migrate,
};

/// Of the installation itself, as in a folder without `--namespace`.
const OWN: &str = "default";
/// What became of the cases.
#[derive(Debug, Default)]
struct Tally {
    answered: u32,
    refused: u32,
    folder_only: Vec<String>,
}

/// Objects in the API server, deleted when they are not needed any more.
struct Stored<'s> {
    server: &'s Server,
    paths: Vec<String>,
    /// Namespaces, and the labels that they have in the case.
    labelled: Vec<(String, Map<String, Value>)>,
    /// The highest resource version of each watch that has objects here.
    versions: BTreeMap<String, u64>,
    /// What the API server refused, and what it said.
    refused: BTreeMap<String, String>,
}

#[test]
fn every_case_is_answered_in_a_cluster_as_it_says() {
    let server = own();
    let files = files();
    let namespaces = namespaces(files.iter().map(|file| Case::read(file)));
    let teams: Vec<_> = namespaces.iter().map(String::as_str).collect();
    let installation = Installation::new(&server, OWN, &teams);
    clear(&server, &teams);
    let gateway = installation.replica("cases");
    let mut tally = Tally::default();
    all_of(&files, |file| {
        let case = Case::read(file);
        if let Some(why) = &case.folder {
            let name = file.file_stem().unwrap().to_string_lossy();
            tally.folder_only.push(format!("{name}: {why}"));
            return Vec::new();
        }
        let stored = Stored::all_of(&server, &case);
        if stored.refused.is_empty() && case.refused.is_empty() {
            tally.answered += 1;
            return answers(&installation, &gateway, &case, &stored);
        }
        tally.refused += 1;
        refusals(&case, &stored)
    });
    figure(format_args!(
        "of {} cases {} were answered in a cluster, {} have objects that the API server refuses, {} are for folders: {:#?}",
        files.len(),
        tally.answered,
        tally.refused,
        tally.folder_only.len(),
        tally.folder_only,
    ));
    assert!(
        tally.answered > 50,
        "{tally:?}: most cases must run in a cluster too"
    );
}

#[test]
fn the_corpus_is_answered_in_a_cluster_as_in_a_folder() {
    let server = own();
    let steps = corpus::steps();
    let namespaces = namespaces(steps.iter().map(corpus::Step::in_cluster));
    let teams: Vec<_> = namespaces.iter().map(String::as_str).collect();
    let installation = Installation::new(&server, OWN, &teams);
    clear(&server, &teams);
    let gateway = installation.replica("corpus");
    let mut wrong = Vec::new();
    let mut answered = 0;
    for step in &steps {
        let case = step.in_cluster();
        if case.folder.is_some() {
            continue;
        }
        let stored = Stored::all_of(&server, &case);
        if step.name == "path" {
            migrates(&server);
        }
        let found = if stored.refused.is_empty() {
            answered += step.requests();
            answers(&installation, &gateway, &case, &stored)
        } else {
            refusals(&case, &stored)
        };
        wrong.extend(found.iter().map(|w| format!("{}: {w}", step.name)));
    }
    figure(format_args!(
        "{answered} requests of the corpus were answered in a cluster"
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(answered > 200, "only {answered} requests");
}

/// The objects of a cluster are converted as those of a folder.
fn migrates(server: &Server) {
    let kubeconfig = server.kubeconfig(ADMIN_TOKEN, OWN);
    let (code, manifests, report) =
        migrate::run(&["--cluster", "--kubeconfig", kubeconfig.to_str().unwrap()]);
    assert_eq!(code, 0, "{report}");
    assert!(manifests.contains("name: path-00-m0"), "{manifests}");
    assert!(!manifests.contains("getambassador.io"), "{manifests}");
    assert!(!manifests.contains("resourceVersion"), "{manifests}");
}

/// What is not as the case says, once the gateway has seen all of its objects.
fn answers(
    installation: &Installation<'_>,
    shared: &Gateway,
    case: &Case,
    stored: &Stored<'_>,
) -> Vec<String> {
    let own: Option<Gateway> = (!case.flags.is_empty()).then(|| {
        let mut flags = vec!["--echo"];
        flags.extend(case.flags.iter().map(String::as_str));
        installation.with_flags("cases-with-flags", &flags)
    });
    let gateway = own.as_ref().unwrap_or(shared);
    let run = gateway.eventually(|| {
        stored.is_seen_by(gateway, case)?;
        let wrong = case.wrong(gateway);
        if wrong.is_empty() {
            return Ok(());
        }
        Err(wrong.join("\n  "))
    });
    run.err().into_iter().collect()
}

/// What the API server refused and the case does not say so, or the other way round.
fn refusals(case: &Case, stored: &Stored<'_>) -> Vec<String> {
    let unsaid = stored.refused.iter().filter(|(name, said)| {
        let part = case.refused.get(*name);
        part.is_none_or(|part| !said.contains(part.as_str()))
    });
    let unsaid = unsaid.map(|(name, said)| format!("{name} was refused: {said}"));
    let taken = case.refused.keys();
    let taken = taken.filter(|name| !stored.refused.contains_key(*name));
    unsaid
        .chain(taken.map(|name| format!("{name} was not refused")))
        .collect()
}

// === impl Stored ===

impl<'s> Stored<'s> {
    /// The resources of a case, with the Services that a folder's echo server would stand in for unseen.
    fn all_of(server: &'s Server, case: &Case) -> Self {
        let mut stored = Self {
            server,
            paths: Vec::new(),
            labelled: Vec::new(),
            versions: BTreeMap::new(),
            refused: BTreeMap::new(),
        };
        for object in services(&case.resources).iter().chain(&case.resources) {
            stored.create(object);
        }
        stored
    }

    fn create(&mut self, object: &Value) {
        let (place, watch) = place(object);
        let metadata = &object["metadata"];
        let path = format!("{place}/{}", metadata["name"].as_str().unwrap());
        // Namespaces are all there, and cannot go: nobody in the test cluster finishes the deletion of one.
        let made = if object["kind"] == "Namespace" {
            let labels = metadata["labels"].as_object().cloned().unwrap_or_default();
            self.labelled.push((path.clone(), labels.clone()));
            self.server
                .patch(&path, &json!({"metadata": {"labels": labels}}))
        } else {
            self.server.create(&place, object)
        };
        match made {
            Ok(made) => {
                if object["kind"] != "Namespace" {
                    self.paths.push(path);
                }
                let version = made["metadata"]["resourceVersion"].as_str().unwrap();
                let reached = self.versions.entry(watch).or_default();
                *reached = version.parse::<u64>().unwrap().max(*reached);
            }
            Err(said) => {
                self.refused.insert(name_of(object), said);
            }
        }
    }

    /// Whether the gateway has compiled all of these objects and none of an earlier case.
    fn is_seen_by(&self, gateway: &Gateway, case: &Case) -> Result<(), String> {
        let reached = &gateway.ask("/digest")["versions"];
        for (watch, version) in &self.versions {
            let seen = reached[watch].as_str().and_then(|text| text.parse().ok());
            if seen.unwrap_or(0) < *version {
                return Err(format!("{watch} is at {seen:?}, not {version}"));
            }
        }
        let report = gateway.ask("/report");
        let objects = report["objects"].as_array().unwrap();
        let ours: BTreeSet<_> = case.resources.iter().map(name_of).collect();
        // What an annotation carries goes with its carrier.
        let carrier = |object: &Value| {
            let origin = object["origin"].as_str()?.strip_prefix("annotation of ")?;
            Some(origin.split_once(',')?.0.to_owned())
        };
        let names = objects
            .iter()
            .map(|object| carrier(object).unwrap_or_else(|| reported_name(object)));
        let other = { names }.find(|name| !ours.contains(name));
        other.map_or(Ok(()), |name| Err(format!("{name} is still there")))
    }
}

impl Drop for Stored<'_> {
    fn drop(&mut self) {
        for path in &self.paths {
            // A failure shows in the next case, whose report has an object too many.
            let _gone = self.server.delete(path);
        }
        for (path, labels) in &self.labelled {
            let none: Map<_, _> = labels
                .keys()
                .map(|name| (name.clone(), Value::Null))
                .collect();
            let _gone = self
                .server
                .patch(path, &json!({"metadata": {"labels": none}}));
        }
    }
}

// === objects ===

/// Those that cases have objects in, beside the installation's own.
fn namespaces(cases: impl Iterator<Item = Case>) -> BTreeSet<String> {
    let objects = cases.flat_map(|case| case.resources);
    let names = objects.filter_map(|object| {
        let metadata = &object["metadata"];
        let namespace = match object["kind"].as_str() {
            Some("Namespace") => &metadata["name"],
            _ => &metadata["namespace"],
        };
        namespace.as_str().map(str::to_owned)
    });
    names.filter(|name| name != OWN).collect()
}

/// Deletes what other tests have left in the namespaces of the cases, and what is in none.
fn clear(server: &Server, teams: &[&str]) {
    for row in KINDS {
        let Some(version) = version(row.0.name()) else {
            continue;
        };
        let root = format!("/apis/{}/{version}", row.0.name());
        if row.1 == Kind::RouteClaim {
            server.delete(&format!("{root}/{}", row.3)).unwrap();
            continue;
        }
        for namespace in teams.iter().chain([&OWN]) {
            let path = format!("{root}/namespaces/{namespace}/{}", row.3);
            server.delete(&path).unwrap();
        }
    }
}

/// The version of a group whose objects the report is about.
fn version(group: &str) -> Option<&'static str> {
    match group {
        "postern.dev" => Some("v1alpha1"),
        "getambassador.io" => Some("v3alpha1"),
        _ => None,
    }
}

fn name_of(object: &Value) -> String {
    let metadata = &object["metadata"];
    let (namespace, name) = (&metadata["namespace"], &metadata["name"]);
    reported_name(&json!({"kind": object["kind"], "namespace": namespace, "name": name}))
}

/// Where the objects of a manifest's kind are, and the watch that tells of them.
fn place(manifest: &Value) -> (String, String) {
    let api = manifest["apiVersion"].as_str().unwrap();
    let (group, _) = api.split_once('/').unwrap_or(("", api));
    let row = KINDS
        .iter()
        .find(|row| row.0.name() == group && manifest["kind"] == row.2)
        .unwrap_or_else(|| panic!("there is no kind like that of {manifest}"));
    let (root, dot) = if group.is_empty() {
        ("api", "")
    } else {
        ("apis", ".")
    };
    let watch = format!("{}{dot}{group}", row.3);
    match manifest["metadata"]["namespace"].as_str() {
        Some(namespace) => (
            format!("/{root}/{api}/namespaces/{namespace}/{}", row.3),
            format!("{namespace}/{watch}"),
        ),
        None => (format!("/{root}/{api}/{}", row.3), watch),
    }
}

/// Those that Mappings name and the case does not have itself. A name with dots is external, or another namespace's and then
/// among the resources; what is no name at all has none.
fn services(resources: &[Value]) -> Vec<Value> {
    let there: BTreeSet<_> = resources.iter().map(name_of).collect();
    let mappings = resources.iter().filter(|o| o["kind"] == "Mapping");
    let named: BTreeSet<_> = mappings
        .filter_map(|mapping| {
            let text = mapping["spec"]["service"].as_str()?;
            let text = text.rsplit_once("//").map_or(text, |(_, rest)| rest);
            let name = text.strip_suffix(":80").unwrap_or(text);
            let is_label = |c: char| c.is_ascii_alphanumeric() || c == '-';
            let namespace = mapping["metadata"]["namespace"].as_str()?;
            name.chars().all(is_label).then_some((namespace, name))
        })
        .collect();
    let services = named.into_iter().map(|(namespace, name)| {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"ports": [{"name": "http", "port": 80}, {"name": "https", "port": 443}]},
        })
    });
    services
        .filter(|service| !there.contains(&name_of(service)))
        .collect()
}

/// The files themselves: what a case says of clusters must have a reason.
#[test]
fn whoever_is_for_folders_only_says_why() {
    for file in files() {
        let case = Case::read(Path::new(&file));
        let reason = case.folder.as_deref().unwrap_or("it runs in a cluster");
        assert!(reason.len() > 15, "{}: {reason:?}", file.display());
    }
}
