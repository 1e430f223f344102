//! A watch as the hub sees it, and what all of them together come to.

use std::{collections::BTreeMap, sync::Arc};

use tokio::task::AbortHandle;
use tracing::{debug, info, warn};

use super::{request::Failure, resource::Resource};

/// Names in a sentence, before the rest is only counted.
const NAMES: usize = 5;

/// A watch that runs.
pub(super) struct Running {
    pub(super) resource: Resource,
    pub(super) name: Arc<str>,
    pub(super) task: AbortHandle,
    /// Whether its list was there once, or can never be and is not waited for.
    pub(super) listed: bool,
    /// Whether everybody goes on without it.
    is_excused: bool,
    /// Whether the API server's last word was that there is no such kind.
    pub(super) is_unknown: bool,
    /// In a row.
    failures: u64,
    failure: Option<String>,
    /// Whether the log has it.
    is_told: bool,
}

/// All of them, by number.
pub(super) type Watches = BTreeMap<u64, Running>;

// === impl Running ===

impl Running {
    pub(super) fn new(resource: Resource, name: Arc<str>, task: AbortHandle) -> Self {
        Self {
            resource,
            name,
            task,
            listed: false,
            is_excused: false,
            is_unknown: false,
            failures: 0,
            failure: None,
            is_told: false,
        }
    }

    /// Whether it watches this kind, in whatever version.
    pub(super) fn is_of(&self, resource: &Resource) -> bool {
        (self.resource.group, self.resource.kind) == (resource.group, resource.kind)
    }

    pub(super) fn alive(&mut self) {
        if std::mem::take(&mut self.is_told) {
            info!(watch = %self.name, failures = self.failures, "Watching again");
        }
        self.failures = 0;
        self.is_excused = false;
        self.failure = None;
        self.is_unknown = false;
    }

    /// It is not waited for, and that it fails is no news any more.
    pub(super) fn excuse(&mut self) {
        self.listed = true;
        self.is_excused = true;
    }

    /// Says it once, and counts from then on. What another watch says in the same words is no news: an API server that is
    /// away is away for all of them.
    pub(super) fn failed(&mut self, failure: &Failure, is_news: bool) {
        self.failures += 1;
        if self.failures == 1 && is_news {
            self.is_told = true;
            warn!(watch = %self.name, error = %failure, "Cannot watch, trying again; what is known stays in use");
        } else {
            debug!(watch = %self.name, error = %failure, failures = self.failures, "Cannot watch");
        }
        self.failure = Some(failure.to_string());
        self.is_unknown = matches!(failure, Failure::NotFound);
    }
}

/// Whether no watch fails for this reason yet.
pub(super) fn is_news(watches: &Watches, failure: &Failure) -> bool {
    let why = failure.to_string();
    let mut failures = watches
        .values()
        .filter_map(|running| running.failure.as_ref());
    !failures.any(|failure| *failure == why)
}

/// What is waited for before everything is listed.
pub(super) fn waiting(watches: &Watches) -> String {
    let unlisted = || watches.values().filter(|running| !running.listed);
    let names = sentence(unlisted().map(|running| running.name.to_string()));
    let why = unlisted().find_map(|running| running.failure.as_ref());
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    format!("waiting for the first list of {names}{why}")
}

/// What cannot be watched now, if anything.
pub(super) fn problem(watches: &Watches) -> Option<String> {
    let failing = || {
        let failing = |running: &&Running| running.failure.is_some() && !running.is_excused;
        watches.values().filter(failing)
    };
    let why = failing().find_map(|running| running.failure.as_deref())?;
    let names = sentence(failing().map(|running| running.name.to_string()));
    Some(format!("cannot watch {names}: {why}"))
}

/// The first few names in their order, and how many there are besides.
pub(super) fn sentence(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    let shown: Vec<_> = names.iter().take(NAMES).map(String::as_str).collect();
    match names.len().saturating_sub(NAMES) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::kube::resource;

    #[tokio::test]
    async fn a_reason_is_news_once_and_again_when_it_was_over() {
        let task = tokio::spawn(async {}).abort_handle();
        let mut watches: Watches = (0..)
            .zip(resource::built_in())
            .map(|(id, kind)| (id, Running::new(kind, kind.watch_name(None), task.clone())))
            .collect();
        let away = Failure::Refused(503, "away".to_owned());
        let told: Vec<_> = (0..3)
            .map(|id| {
                let is_news = is_news(&watches, &away);
                let running = watches.get_mut(&id).unwrap();
                running.failed(&away, is_news);
                running.is_told
            })
            .collect();
        assert_eq!(told, [true, false, false]);
        let names = "namespaces, secrets, services";
        assert_eq!(
            problem(&watches).unwrap(),
            format!("cannot watch {names}: {away}")
        );
        assert!(is_news(&watches, &Failure::NotFound));
        for running in watches.values_mut() {
            running.alive();
        }
        assert!(is_news(&watches, &away));
        assert_eq!(problem(&watches), None);
    }

    #[test]
    fn a_sentence_names_a_few_in_their_order_and_counts_the_rest() {
        let of = |count: u32| sentence((0..count).rev().map(|n| format!("n{n}")));
        assert_eq!(of(2), "n0, n1");
        assert_eq!(of(5), "n0, n1, n2, n3, n4");
        assert_eq!(of(8), "n0, n1, n2, n3, n4 and 3 more");
    }
}
