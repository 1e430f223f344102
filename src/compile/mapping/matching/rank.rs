//! Where a match stands among others, and with which others it shares its traffic.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{Condition, NameMatch, PathKey, PathKind, Reader};
use crate::{compile::intern, crd::MappingSpec, graph::route::Rank};

impl Reader<'_> {
    pub(super) fn rank(&mut self, spec: &MappingSpec, name: &NameMatch, path: &PathKey) -> Rank {
        let pseudo = self.pseudo_headers(name);
        let headers = self.headers.iter().chain(&pseudo);
        let keys = match name {
            NameMatch::Pattern(hostname) if pseudo.len() == 1 && self.has_no_conditions() => {
                Arc::clone(&hostname.keys)
            }
            _ => headers
                .clone()
                .chain(&self.query)
                .map(|condition| format!("{}-{}", condition.name, condition.value))
                .collect(),
        };
        let tie = match name {
            NameMatch::Pattern(hostname) if path.case_sensitive => hostname.tie(path.kind),
            _ => {
                let case = if path.case_sensitive { "" } else { " i" };
                format!("{}{case}", intern::tie(name, path.kind)).into()
            }
        };
        let method = self.method.as_ref().map_or("GET", |(text, _)| text);
        Rank {
            precedence: spec.precedence.unwrap_or_default(),
            path_length: path.text.len(),
            exact: path.kind == PathKind::Exact,
            header_weight: headers.map(Condition::weight).sum(),
            query_weight: self.query.iter().map(Condition::weight).sum(),
            prefix: Arc::clone(&path.text),
            method: self.interner.text(method),
            keys,
            tie,
        }
    }

    fn has_no_conditions(&self) -> bool {
        self.headers.is_empty() && self.query.is_empty()
    }

    /// `:authority` and `:method`, which count among the headers.
    fn pseudo_headers<'n>(&self, name: &'n NameMatch) -> SmallVec<[Condition<'n>; 2]> {
        let authority = match name {
            NameMatch::Unnamed => None,
            NameMatch::Pattern(hostname) => Some(&hostname.text),
            NameMatch::Regex(pattern) => Some(&pattern.text),
        };
        let authority = authority.map(|text| Condition {
            name: ":authority".into(),
            value: (&**text).into(),
            regex: matches!(name, NameMatch::Regex(_)),
        });
        authority
            .into_iter()
            .chain(self.method_condition())
            .collect()
    }

    fn method_condition<'n>(&self) -> Option<Condition<'n>> {
        let (text, regex) = self.method.as_ref()?;
        Some(Condition {
            name: ":method".into(),
            value: text.clone().into(),
            regex: *regex,
        })
    }

    pub(super) fn group(&mut self, spec: &MappingSpec) -> Arc<str> {
        use std::fmt::Write as _;
        if self.has_no_conditions() && self.method.is_none() && spec.precedence.is_none() {
            return self.interner.text("0");
        }
        let mut group = spec.precedence.unwrap_or_default().to_string();
        let query = self.query.iter().map(|condition| ('?', condition));
        let method = self.method_condition();
        let headers = self.headers.iter().chain(&method);
        for (mark, condition) in headers.map(|condition| ('h', condition)).chain(query) {
            let Condition { name, value, regex } = condition;
            // Writing to a String cannot fail.
            let _ = write!(group, " {mark}{regex}{name:?}{value:?}");
        }
        self.interner.text(&group)
    }
}
