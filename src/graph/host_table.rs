//! Tables keyed by hostname pattern. A look-up costs a few hashes, however many patterns there are; only suffixes and
//! prefixes that end within a label (`*example.com`, `api-*`) are tried one by one.

use std::{
    cmp::{Ordering, Reverse},
    collections::HashMap,
    sync::Arc,
};

use super::{HostPattern, host::NamePattern};

/// As many values as share an allocation: about the root of the largest tables, so that replacing one value copies little.
const CHUNK: usize = 64;

/// Values keyed by hostname pattern. Clones share everything.
#[derive(Debug)]
pub struct HostTable<T> {
    names: Arc<Names>,
    /// By the position of their pattern; each of these but the last holds as many as fit.
    values: Arc<[Arc<[T]>]>,
}

/// The patterns, and how they are found.
#[derive(Debug, Default)]
struct Names {
    /// The most specific first.
    patterns: Vec<HostPattern>,
    exact: Index,
    suffixes: Affixes,
    prefixes: Affixes,
    any: Slot,
}

/// Seeded per process: tenants choose the keys.
type Index = HashMap<Arc<str>, Slot, foldhash::fast::RandomState>;

/// The entries that have the same name part, as positions in `patterns`.
#[derive(Clone, Debug, Default)]
struct Slot {
    any_port: Option<usize>,
    ports: Vec<(u16, usize)>,
}

/// The name parts with a wildcard at the same end.
#[derive(Debug, Default)]
struct Affixes {
    /// Those that are cut at a dot.
    at_label: Index,
    /// The others, the longest first.
    within_label: Vec<(Arc<str>, Slot)>,
    /// Length of the longest in `at_label`.
    longest: usize,
}

/// What a port must be for an entry to count.
#[derive(Clone, Copy)]
enum Ports {
    Request(Option<u16>),
    /// SNI has no port: every entry of the name counts.
    Ignored,
}

impl<T> Clone for HostTable<T> {
    fn clone(&self) -> Self {
        Self {
            names: Arc::clone(&self.names),
            values: Arc::clone(&self.values),
        }
    }
}

impl<T> Default for HostTable<T> {
    fn default() -> Self {
        std::iter::empty().collect()
    }
}

impl<T> FromIterator<(HostPattern, T)> for HostTable<T> {
    /// Of equal patterns the first counts.
    fn from_iter<I: IntoIterator<Item = (HostPattern, T)>>(entries: I) -> Self {
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_by(|(a, _), (b, _)| order(a, b));
        entries.dedup_by(|later, first| later.0 == first.0);
        let (patterns, values): (_, Vec<_>) = entries.into_iter().unzip();
        let mut values = values.into_iter();
        let chunks = std::iter::from_fn(|| {
            let chunk: Arc<[T]> = values.by_ref().take(CHUNK).collect();
            (!chunk.is_empty()).then_some(chunk)
        });
        Self {
            values: chunks.collect(),
            names: Arc::new(Names::new(patterns)),
        }
    }
}

/// The most specific first; the patterns themselves part those of equal length, so that the order says nothing about the
/// input's.
fn order(a: &HostPattern, b: &HostPattern) -> Ordering {
    let key = |pattern: &HostPattern| Reverse(pattern.specificity());
    key(a).cmp(&key(b)).then_with(|| a.cmp(b))
}

impl Names {
    fn new(patterns: Vec<HostPattern>) -> Self {
        let mut names = Self::default();
        for (position, pattern) in patterns.iter().enumerate() {
            let slot = match &pattern.name {
                NamePattern::Exact(name) => names.exact.entry(Arc::clone(name)).or_default(),
                NamePattern::Suffix(text) => names.suffixes.slot(text, text.starts_with('.')),
                NamePattern::Prefix(text) => names.prefixes.slot(text, text.ends_with('.')),
                NamePattern::Any => &mut names.any,
            };
            match pattern.port {
                Some(port) => slot.ports.push((port, position)),
                None => slot.any_port = Some(position),
            }
        }
        names.patterns = patterns;
        names
    }
}

impl<T> HostTable<T> {
    /// The value of the most specific pattern that fits: exact, longest suffix, longest prefix, any; with a port first.
    pub fn best(&self, host: &str, port: Option<u16>) -> Option<&T> {
        self.first(host, Ports::Request(port))
    }

    /// The same for a name that has no port, as in SNI: ports of patterns do not count.
    pub fn best_by_name(&self, host: &str) -> Option<&T> {
        self.first(host, Ports::Ignored)
    }

    /// The value of `*`: for a connection that names nobody.
    pub fn any(&self) -> Option<&T> {
        let mut found = None;
        self.names.any.visit(Ports::Ignored, &mut |position| {
            found.get_or_insert(position);
            true
        });
        found.map(|position| self.value(position))
    }

    /// Calls with the value of every pattern that fits, the most specific first.
    pub fn each<'t>(&'t self, host: &str, port: Option<u16>, mut found: impl FnMut(&'t T)) {
        self.walk(host, Ports::Request(port), &mut |position| {
            found(self.value(position));
            true
        });
    }

    /// The first answer of the patterns that fit a host on any port, the most specific first.
    pub fn find_map<R>(&self, host: &str, mut look: impl FnMut(&T) -> Option<R>) -> Option<R> {
        let mut found = None;
        self.walk(host, Ports::Ignored, &mut |position| {
            found = look(self.value(position));
            found.is_none()
        });
        found
    }

    /// All values, the most specific pattern first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.values.iter().flat_map(|chunk| chunk.iter())
    }

    /// All patterns with their values, the most specific first.
    pub fn entries(&self) -> impl Iterator<Item = (&HostPattern, &T)> {
        self.names.patterns.iter().zip(self.iter())
    }

    pub fn len(&self) -> usize {
        self.names.patterns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.patterns.is_empty()
    }

    /// The same table with other values for some patterns, sharing all the rest; None when it does not have one of them.
    pub fn replaced<'p>(
        &self,
        changes: impl IntoIterator<Item = (&'p HostPattern, T)>,
    ) -> Option<Self>
    where
        T: Clone,
    {
        let patterns = &self.names.patterns;
        let mut values = Arc::clone(&self.values);
        for (pattern, value) in changes {
            let position = patterns.binary_search_by(|at| order(at, pattern)).ok()?;
            let chunk = Arc::make_mut(&mut values).get_mut(position / CHUNK)?;
            *Arc::make_mut(chunk).get_mut(position % CHUNK)? = value;
        }
        Some(Self {
            names: Arc::clone(&self.names),
            values,
        })
    }

    fn value(&self, position: usize) -> &T {
        &self.values[position / CHUNK][position % CHUNK]
    }

    fn first(&self, host: &str, ports: Ports) -> Option<&T> {
        let mut first = None;
        self.walk(host, ports, &mut |position| {
            first = Some(position);
            false
        });
        first.map(|position| self.value(position))
    }

    /// Visits the positions of the entries that fit, the most specific first, until told to stop.
    fn walk(&self, host: &str, ports: Ports, visit: &mut impl FnMut(usize) -> bool) -> bool {
        let names = &*self.names;
        let exact = names.exact.get(host);
        if exact.is_some_and(|slot| !slot.visit(ports, visit)) {
            return false;
        }
        let ends = host.match_indices('.').filter(|(at, _)| *at > 0);
        let starts = host
            .rmatch_indices('.')
            .filter(|(at, _)| at + 1 < host.len());
        names.suffixes.visit(
            ends.map(|(at, _)| &host[at..]),
            |text| host.len() > text.len() && host.ends_with(text),
            &mut |slot| slot.visit(ports, visit),
        ) && names.prefixes.visit(
            starts.map(|(at, _)| &host[..=at]),
            |text| host.len() > text.len() && host.starts_with(text),
            &mut |slot| slot.visit(ports, visit),
        ) && names.any.visit(ports, visit)
    }
}

impl Affixes {
    /// Called with the longest text first.
    fn slot(&mut self, text: &Arc<str>, at_label: bool) -> &mut Slot {
        if at_label {
            self.longest = self.longest.max(text.len());
            return self.at_label.entry(Arc::clone(text)).or_default();
        }
        if self
            .within_label
            .last()
            .is_none_or(|(last, _)| last != text)
        {
            self.within_label.push((Arc::clone(text), Slot::default()));
        }
        let last = self.within_label.last_mut();
        &mut last.expect("the list must have what was pushed").1
    }

    /// `cuts` are the parts of the host that end at a dot, the longest first.
    fn visit<'h>(
        &self,
        cuts: impl Iterator<Item = &'h str>,
        fits: impl Fn(&str) -> bool,
        visit: &mut impl FnMut(&Slot) -> bool,
    ) -> bool {
        let mut others = self
            .within_label
            .iter()
            .filter(|(text, _)| fits(text))
            .peekable();
        if !self.at_label.is_empty() {
            for cut in cuts.filter(|cut| cut.len() <= self.longest) {
                let Some(slot) = self.at_label.get(cut) else {
                    continue;
                };
                while let Some((_, other)) = others.next_if(|(text, _)| text.len() > cut.len()) {
                    if !visit(other) {
                        return false;
                    }
                }
                if !visit(slot) {
                    return false;
                }
            }
        }
        others.all(|(_, slot)| visit(slot))
    }
}

impl Slot {
    fn visit(&self, ports: Ports, visit: &mut impl FnMut(usize) -> bool) -> bool {
        let with_port = self.ports.iter().filter(|(port, _)| match ports {
            Ports::Request(request) => request == Some(*port),
            Ports::Ignored => true,
        });
        let by_port = with_port.map(|(_, position)| *position);
        match ports {
            Ports::Request(_) => by_port.chain(self.any_port).all(visit),
            Ports::Ignored => self.any_port.into_iter().chain(by_port).all(visit),
        }
    }
}

#[cfg(test)]
mod tests;
