//! Which kinds the API server serves: they are asked for again and again, because CRDs come and go.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep, sleep_until},
};

use super::{
    request::{self, Failure, Form},
    resource::{self, Resource, full_name},
};
use crate::resource::{Group, Kind, key::KINDS};

/// While something is missing, or about to be, and somebody is waiting for it.
const SOON: Duration = Duration::from_secs(1);
/// Otherwise: how long a CRD that is installed later may have to wait.
const LATER: Duration = Duration::from_secs(5);
/// However often somebody asks.
const LEAST: Duration = Duration::from_millis(200);
/// A kind is gone when as many answers in a row do not name it: one alone may come from a server that has just started.
const CONFIRMED: u32 = 2;

/// What the API server said about a group.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) group: Group,
    pub(super) result: Result<Vec<Resource>, Failure>,
}

/// What follows from an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A kind is there, or in another version than before.
    Watch(Resource),
    /// The kind is gone, and all objects of it.
    Drop(Resource),
}

/// The kinds that are there.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    /// Groups that have been asked for with success.
    groups: BTreeMap<Group, BTreeMap<&'static str, Known>>,
    /// Whether it serves without Postern's own kinds, too: in the place of another gateway.
    pub(super) spares_own_kinds: bool,
    /// Why the last question about a group failed.
    failures: BTreeMap<Group, String>,
}

#[derive(Debug)]
struct Known {
    resource: Resource,
    missed: u32,
}

// === impl Catalogue ===

impl Catalogue {
    /// Takes an answer in. One that failed changes nothing. A kind is gone only when its own watches have heard so as well.
    pub(super) fn take(
        &mut self,
        answer: Answer,
        is_unknown: impl Fn(&Resource) -> bool,
    ) -> Vec<Step> {
        let resources = match answer.result {
            Ok(resources) => resources,
            Err(failure) => {
                self.failures.insert(answer.group, failure.to_string());
                return Vec::new();
            }
        };
        self.failures.remove(&answer.group);
        let known = self.groups.entry(answer.group).or_default();
        let mut steps = Vec::new();
        for (_, gone) in known.extract_if(.., |plural, known| {
            let is_there = resources.iter().any(|found| found.plural == *plural);
            known.missed = if is_there {
                0
            } else {
                known.missed.saturating_add(1)
            };
            known.missed >= CONFIRMED && is_unknown(&known.resource)
        }) {
            steps.push(Step::Drop(gone.resource));
        }
        for resource in resources {
            let entry = Known {
                resource,
                missed: 0,
            };
            let before = known.insert(resource.plural, entry);
            if before.is_none_or(|before| before.resource != resource) {
                steps.push(Step::Watch(resource));
            }
        }
        steps
    }

    /// Whether a kind is there; none as long as nobody has said so.
    pub(super) fn serves(&self, group: Group, kind: Kind) -> Option<bool> {
        let mut known = self.groups.get(&group)?.values();
        Some(known.any(|known| known.resource.kind == kind))
    }

    /// What has to be there before anything can be served: what is missing of it, or was never asked for with success.
    pub(super) fn missing(&self) -> Option<String> {
        if let Some(group) = groups().find(|group| !self.groups.contains_key(group)) {
            let why = self.failures.get(&group).map(|why| format!(": {why}"));
            let why = why.unwrap_or_default();
            return Some(format!(
                "which kinds of {} there are is not known{why}",
                group.name()
            ));
        }
        if self.spares_own_kinds {
            return None;
        }
        let ours = self.groups.get(&Group::Postern);
        let missing: Vec<_> = KINDS
            .iter()
            .filter(|row| row.0 == Group::Postern)
            .filter(|row| ours.is_none_or(|ours| !ours.contains_key(row.3)))
            .map(|row| full_name(row.0, row.3))
            .collect();
        if missing.is_empty() {
            return None;
        }
        Some(format!(
            "CRDs are not installed: {}. Apply them with `kubectl apply -f crds/`",
            missing.join(", ")
        ))
    }

    fn is_settled(&self) -> bool {
        let stable = |known: &Known| known.missed == 0;
        self.failures.is_empty()
            && self.missing().is_none()
            && self.groups.values().flat_map(BTreeMap::values).all(stable)
    }

    /// When to ask again.
    pub(super) fn period(&self) -> Duration {
        if self.is_settled() { LATER } else { SOON }
    }
}

/// The groups that are asked for.
fn groups() -> impl Iterator<Item = Group> {
    Group::ALL
        .into_iter()
        .filter(|group| resource::is_installed(*group))
}

/// Asks for every group, again after the period that it is told, and sooner when somebody has a reason to.
pub(super) async fn ask(
    client: kube::Client,
    answers: mpsc::Sender<Vec<Answer>>,
    periods: tokio::sync::watch::Receiver<Duration>,
    nudge: Arc<Notify>,
) {
    loop {
        let asked = Instant::now();
        let mut round = Vec::new();
        for group in groups() {
            let result = group_resources(&client, group).await;
            round.push(Answer { group, result });
        }
        if answers.send(round).await.is_err() {
            return;
        }
        // Until the answer has been looked at, the period is the old one.
        sleep(LEAST).await;
        let mut periods = periods.clone();
        loop {
            let next = asked + *periods.borrow_and_update();
            tokio::select! {
                () = sleep_until(next) => break,
                () = nudge.notified() => break,
                changed = periods.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// The kinds of a group that can be watched. That a group or a version does not exist is an answer, too.
pub(super) async fn group_resources(
    client: &kube::Client,
    group: Group,
) -> Result<Vec<Resource>, Failure> {
    let mut lists = Vec::new();
    for version in resource::versions(group) {
        let path = resource::group_path(group, version);
        match request::get(client, &path, Form::Whole).await {
            Ok(list) => lists.push((*version, watchable(&list)?)),
            Err(Failure::NotFound) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(resource::served(group, &lists))
}

/// Plural name and whether it has namespaces, of all resources that can be listed and watched.
fn watchable(list: &Value) -> Result<Vec<(String, bool)>, Failure> {
    let resources = list
        .get("resources")
        .and_then(Value::as_array)
        .ok_or_else(|| Failure::Garbage("the list of resources has no resources".to_owned()))?;
    let row = |resource: &Value| {
        let verbs = resource.get("verbs")?.as_array()?;
        let can = |verb: &str| verbs.iter().any(|v| v == verb);
        let name = resource.get("name")?.as_str()?;
        let namespaced = resource.get("namespaced")?.as_bool()?;
        (can("list") && can("watch")).then(|| (name.to_owned(), namespaced))
    };
    Ok(resources.iter().filter_map(row).collect())
}

#[cfg(test)]
mod tests;
