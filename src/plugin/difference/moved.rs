//! What becomes of the requests of one match, before and after.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// In one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::plugin) enum How {
    /// Nobody has served them.
    Gained,
    /// Nobody would serve them any more.
    Lost,
    /// They would go to somebody else.
    Moved,
    /// They would go where they go, in other shares.
    Shares,
    /// They would go where they go, and something else would be done with them.
    Changed,
}

/// Requests of one match to which something would happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::plugin) struct Moved {
    pub(super) place: String,
    pub(super) how: How,
    /// One of them, as it was asked about.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) request: String,
    /// Only those that come in there; empty: wherever they come in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) through: Vec<String>,
    /// Empty: nobody serves them.
    pub(super) before: Vec<Part>,
    /// Empty: nobody would serve them any more.
    pub(super) after: Vec<Part>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) fields: Vec<Field>,
}

/// What one Mapping does with its share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(in crate::plugin) struct Part {
    /// `Mapping shop/cart`; empty for what no object of its own answers.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) object: String,
    pub(super) to: String,
    pub(super) percent: u64,
}

/// Something that is done with requests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(in crate::plugin) struct Field {
    #[serde(rename = "field")]
    pub(super) name: String,
    pub(super) before: String,
    pub(super) after: String,
}

/// What clients notice: where requests go, and in which shares.
pub(super) fn sent(parts: &[Part]) -> BTreeMap<&str, u64> {
    let mut sent = BTreeMap::new();
    for part in parts {
        *sent.entry(&*part.to).or_default() += part.percent;
    }
    sent
}

/// Whose they are.
fn objects(parts: &[Part]) -> BTreeSet<&str> {
    let objects = parts.iter().map(|part| &*part.object);
    objects.filter(|object| !object.is_empty()).collect()
}

impl How {
    /// None when requests go where they went, in the same shares and through the same objects.
    pub(super) fn of(before: &[Part], after: &[Part]) -> Option<Self> {
        let (old, new) = (sent(before), sent(after));
        match (before.is_empty(), after.is_empty()) {
            (true, true) => None,
            (true, false) => Some(Self::Gained),
            (false, true) => Some(Self::Lost),
            (false, false) if !old.keys().eq(new.keys()) => Some(Self::Moved),
            (false, false) if old != new => Some(Self::Shares),
            (false, false) => (objects(before) != objects(after)).then_some(Self::Moved),
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Gained => "gained",
            Self::Lost => "lost",
            Self::Moved => "moved",
            Self::Shares => "shares",
            Self::Changed => "changed",
        }
    }
}

impl Field {
    /// None when it is the same.
    pub(super) fn between(name: &str, before: &str, after: &str) -> Option<Self> {
        (before != after).then(|| Self {
            name: name.to_owned(),
            before: before.to_owned(),
            after: after.to_owned(),
        })
    }
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} -> {}", self.name, self.before, self.after)
    }
}

impl Moved {
    /// Without what tells only where it was seen.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.how == other.how
            && self.before == other.before
            && self.after == other.after
            && self.fields == other.fields
    }

    /// For people.
    pub(super) fn line(&self) -> String {
        let through = match &*self.through {
            [] => String::new(),
            places => format!(" ({})", places.join(", ")),
        };
        format!(
            "{:<12}{}{through}   {}",
            self.how.word(),
            self.place,
            self.change()
        )
    }

    pub(super) fn change(&self) -> String {
        let (before, after) = (sent(&self.before), sent(&self.after));
        match self.how {
            How::Changed => {
                let fields = self.fields.iter().map(ToString::to_string);
                fields.collect::<Vec<_>>().join("; ")
            }
            How::Shares => {
                let shares = before.iter().map(|(to, old)| match after.get(to) {
                    Some(new) if new != old => format!("{to} {old}% -> {new}%"),
                    _ => format!("{to} {old}%"),
                });
                shares.collect::<Vec<_>>().join(", ")
            }
            How::Gained | How::Lost | How::Moved => {
                let whose = objects(&self.before) != objects(&self.after);
                format!(
                    "{} -> {}",
                    told(&self.before, whose),
                    told(&self.after, whose)
                )
            }
        }
    }
}

fn told(parts: &[Part], whose: bool) -> String {
    if parts.is_empty() {
        return "nothing".to_owned();
    }
    let sent = sent(parts);
    let only = sent.len() == 1;
    let places = sent.iter().map(|(to, percent)| {
        if only {
            (*to).to_owned()
        } else {
            format!("{to} {percent}%")
        }
    });
    let places = places.collect::<Vec<_>>().join(", ");
    let objects = objects(parts);
    if whose && !objects.is_empty() {
        let objects: Vec<_> = objects.into_iter().collect();
        format!("{places} ({})", objects.join(", "))
    } else {
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_shares_are_told_as_rates_and_other_places_as_a_move() {
        let part = |object: &str, to: &str, percent| Part {
            object: format!("Mapping shop/{object}"),
            to: to.to_owned(),
            percent,
        };
        let cart = || part("cart", "cart", 100);
        for (before, after, how, change) in [
            (
                vec![part("cart", "cart", 90), part("next", "next", 10)],
                vec![part("cart", "cart", 50), part("next", "next", 50)],
                How::Shares,
                "cart 90% -> 50%, next 10% -> 50%",
            ),
            (
                vec![cart()],
                vec![part("cart", "next", 100)],
                How::Moved,
                "cart -> next",
            ),
            (
                vec![cart()],
                vec![part("steal", "cart", 100)],
                How::Moved,
                "cart (Mapping shop/cart) -> cart (Mapping shop/steal)",
            ),
            (
                vec![cart()],
                vec![part("cart", "cart", 90), part("next", "next", 10)],
                How::Moved,
                "cart (Mapping shop/cart) -> cart 90%, next 10% (Mapping shop/cart, Mapping shop/next)",
            ),
            (
                vec![],
                vec![cart()],
                How::Gained,
                "nothing -> cart (Mapping shop/cart)",
            ),
            (
                vec![cart()],
                vec![],
                How::Lost,
                "cart (Mapping shop/cart) -> nothing",
            ),
        ] {
            assert_eq!(How::of(&before, &after), Some(how));
            let moved = Moved {
                place: String::new(),
                how,
                request: String::new(),
                through: Vec::new(),
                before,
                after,
                fields: Vec::new(),
            };
            assert_eq!(moved.change(), change);
        }
        assert_eq!(How::of(&[cart()], &[cart()]), None);
    }
}
