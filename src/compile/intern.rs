//! What many Mappings say in the same words: kept once, and read once.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    hash::Hash,
    sync::Arc,
};

use super::{
    mapping::{DialPlan, ForwardPlan, PathKind},
    service::{ServiceError, ServiceText},
};
use crate::graph::{ForwardTerms, HostPattern, host::HostPatternError, route::Conditions};

/// Texts and hostnames that were seen before. Seeded per process, because tenants choose them.
#[derive(Debug, Default)]
pub(super) struct Interner {
    texts: HashSet<Arc<str>, foldhash::fast::RandomState>,
    hostnames: HashMap<Box<str>, Arc<Hostname>, foldhash::fast::RandomState>,
    services: HashMap<Box<str>, Arc<ServiceText>, foldhash::fast::RandomState>,
    plans: Known<ForwardPlan>,
    dials: Known<DialPlan>,
    terms: Known<ForwardTerms>,
    no_conditions: Arc<Conditions>,
}

type Known<T> = HashSet<Arc<T>, foldhash::fast::RandomState>;

/// A hostname pattern, with what follows from it for every Mapping that names it.
#[derive(Debug)]
pub(super) struct Hostname {
    pub(super) pattern: HostPattern,
    /// The pattern as it is shown.
    pub(super) text: Arc<str>,
    /// The `keys` of a rank that has no other condition.
    pub(super) keys: Arc<[String]>,
    /// The `tie` of a rank, where case counts, by kind of path match.
    ties: [Arc<str>; 3],
}

impl Interner {
    pub(super) fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        let text: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&text));
        text
    }

    pub(super) fn hostname(&mut self, text: &str) -> Result<Arc<Hostname>, HostPatternError> {
        if let Some(known) = self.hostnames.get(text) {
            return Ok(Arc::clone(known));
        }
        let hostname = Arc::new(Hostname::new(text.parse()?));
        self.hostnames.insert(text.into(), Arc::clone(&hostname));
        Ok(hostname)
    }

    pub(super) fn service(&mut self, text: &str) -> Result<Arc<ServiceText>, ServiceError> {
        if let Some(known) = self.services.get(text) {
            return Ok(Arc::clone(known));
        }
        let service: Arc<ServiceText> = Arc::new(text.parse()?);
        self.services.insert(text.into(), Arc::clone(&service));
        Ok(service)
    }

    pub(super) fn terms(&mut self, terms: ForwardTerms) -> Arc<ForwardTerms> {
        known(&mut self.terms, terms)
    }

    pub(super) fn plan(&mut self, plan: ForwardPlan) -> Arc<ForwardPlan> {
        known(&mut self.plans, plan)
    }

    pub(super) fn dial(&mut self, plan: DialPlan) -> Arc<DialPlan> {
        known(&mut self.dials, plan)
    }

    pub(super) fn conditions(&self, conditions: Conditions) -> Arc<Conditions> {
        if conditions.is_empty() {
            Arc::clone(&self.no_conditions)
        } else {
            Arc::new(conditions)
        }
    }

    /// Forgets what nobody says any more, when there is more than `most` of it.
    pub(super) fn trim(&mut self, most: usize) {
        if self.texts.len() > most {
            self.texts.retain(|text| Arc::strong_count(text) > 1);
        }
        if self.hostnames.len() > most {
            self.hostnames
                .retain(|_, hostname| Arc::strong_count(hostname) > 1);
        }
        if self.plans.len() > most {
            self.plans.retain(|plan| Arc::strong_count(plan) > 1);
        }
        if self.dials.len() > most {
            self.dials.retain(|plan| Arc::strong_count(plan) > 1);
        }
        if self.services.len() > most {
            self.services
                .retain(|_, service| Arc::strong_count(service) > 1);
        }
        if self.terms.len() > most {
            self.terms.retain(|terms| Arc::strong_count(terms) > 1);
        }
    }
}

fn known<T: Eq + Hash>(known: &mut Known<T>, value: T) -> Arc<T> {
    if let Some(known) = known.get(&value) {
        return Arc::clone(known);
    }
    let value = Arc::new(value);
    known.insert(Arc::clone(&value));
    value
}

impl Hostname {
    fn new(pattern: HostPattern) -> Self {
        let text: Arc<str> = pattern.to_string().into();
        let kinds = [PathKind::Exact, PathKind::Prefix, PathKind::Regex];
        Self {
            keys: [format!(":authority-{text}")].into(),
            ties: kinds.map(|kind| tie(&*text, kind).into()),
            pattern,
            text,
        }
    }

    pub(super) fn tie(&self, kind: PathKind) -> Arc<str> {
        let [exact, prefix, regex] = &self.ties;
        Arc::clone(match kind {
            PathKind::Exact => exact,
            PathKind::Prefix => prefix,
            PathKind::Regex => regex,
        })
    }
}

/// What tells routes apart where everything before it is equal.
pub(super) fn tie(hostname: impl fmt::Display, kind: PathKind) -> String {
    format!("{hostname} {}", kind.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_before_is_shared_as_long_as_somebody_says_it() {
        let mut interner = Interner::default();
        let (text, name) = (interner.text("a"), interner.hostname("X.com").unwrap());
        assert!(Arc::ptr_eq(&text, &interner.text("a")));
        assert!(Arc::ptr_eq(&name, &interner.hostname("X.com").unwrap()));
        assert_eq!(name.pattern, "x.com".parse().unwrap());
        assert!(interner.hostname("a.*.b").is_err());

        let terms = interner.terms(ForwardTerms::default());
        assert!(Arc::ptr_eq(
            &terms,
            &interner.terms(ForwardTerms::default())
        ));
        let others = ForwardTerms {
            allow_escaped_slashes: true,
            ..ForwardTerms::default()
        };
        assert!(!Arc::ptr_eq(&terms, &interner.terms(others)));

        interner.text("b");
        interner.hostname("y.com").unwrap();
        interner.trim(1);
        assert_eq!((interner.texts.len(), interner.hostnames.len()), (1, 1));
        assert_eq!(interner.terms.len(), 1);
        assert!(Arc::ptr_eq(&text, &interner.text("a")));
    }
}
