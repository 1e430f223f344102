//! Resource versions: how far a watch has come.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use crate::resource::{ObjectKey, key::KINDS};

/// Resource versions by watch.
pub type Versions = BTreeMap<Arc<str>, Arc<str>>;

/// Compares two versions of one type of objects: as decimal numbers of any length, which Kubernetes promises since 1.35 and did
/// before. None when one of them is not a number.
pub fn compare(a: &str, b: &str) -> Option<Ordering> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.trim_start_matches('0').to_owned())
    };
    let (a, b) = (number(a)?, number(b)?);
    Some(a.len().cmp(&b.len()).then_with(|| a.cmp(&b)))
}

/// Whether `reached` is at or past `mark`. Versions that are not numbers tell nothing unless they are the same.
pub fn has_reached(reached: &str, mark: &str) -> bool {
    match compare(reached, mark) {
        Some(order) => order.is_ge(),
        None => reached == mark,
    }
}

/// The names under which a watch of the object's type may run: of its namespace alone, and of all.
fn watches(key: &ObjectKey) -> [String; 2] {
    let plural = KINDS
        .iter()
        .find(|row| (row.0, row.1) == (key.group, key.kind))
        .map_or("", |row| row.3);
    let group = key.group.name();
    let all = if group.is_empty() {
        plural.to_owned()
    } else {
        format!("{plural}.{group}")
    };
    [format!("{}/{all}", key.namespace), all]
}

/// How far the watch that covers the object has come.
pub fn of<'v>(versions: &'v Versions, key: &ObjectKey) -> Option<&'v Arc<str>> {
    watches(key)
        .iter()
        .find_map(|watch| versions.get(watch.as_str()))
}

/// The name of the watch that covers the object.
pub fn watch_of<'v>(versions: &'v Versions, key: &ObjectKey) -> Option<&'v Arc<str>> {
    watches(key).iter().find_map(|watch| {
        let (watch, _) = versions.get_key_value(watch.as_str())?;
        Some(watch)
    })
}

/// How far a watch has come; that of its type where the namespaces are not told apart.
pub fn in_watch<'v>(versions: &'v Versions, watch: &str) -> Option<&'v Arc<str>> {
    let kind = || watch.rsplit_once('/').map_or(watch, |(_, kind)| kind);
    versions.get(watch).or_else(|| versions.get(kind()))
}

/// The watches of single namespaces put together by type: as far as the slowest has come.
pub fn by_type(versions: &Versions) -> Versions {
    let mut together = Versions::new();
    for (watch, version) in versions {
        let kind = watch.rsplit_once('/').map_or(&**watch, |(_, kind)| kind);
        together
            .entry(kind.into())
            .and_modify(|lowest| {
                if compare(version, lowest) == Some(Ordering::Less) {
                    *lowest = version.clone();
                }
            })
            .or_insert_with(|| version.clone());
    }
    together
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Group, Kind};

    #[test]
    fn versions_are_compared_as_numbers_of_any_length() {
        for (reached, mark, expected) in [
            ("10", "9", true),
            ("9", "10", false),
            ("10", "10", true),
            ("010", "9", true),
            (
                "340282366920938463463374607431768211457",
                "340282366920938463463374607431768211456",
                true,
            ),
            ("opaque", "opaque", true),
            ("opaque", "9", false),
            ("9", "", false),
        ] {
            assert_eq!(has_reached(reached, mark), expected, "{reached} {mark}");
        }
    }

    #[test]
    fn the_watch_of_the_own_namespace_is_asked_first() {
        let key = ObjectKey::new(Group::Postern, Kind::Mapping, "apps", "quote");
        let mut versions = Versions::from([("mappings.postern.dev".into(), "5".into())]);
        assert_eq!(of(&versions, &key).map(|v| &**v), Some("5"));
        versions.insert("apps/mappings.postern.dev".into(), "7".into());
        assert_eq!(of(&versions, &key).map(|v| &**v), Some("7"));
        let watch = watch_of(&versions, &key).unwrap();
        assert_eq!(&**watch, "apps/mappings.postern.dev");
        for (watch, expected) in [(&**watch, Some("7")), ("b/mappings.postern.dev", Some("5"))] {
            assert_eq!(in_watch(&versions, watch).map(|v| &**v), expected);
        }
        let elsewhere = ObjectKey::new(Group::Emissary, Kind::Mapping, "apps", "quote");
        assert_eq!(of(&versions, &elsewhere), None);
    }

    #[test]
    fn namespaces_put_together_have_come_as_far_as_the_slowest() {
        let versions = Versions::from([
            ("a/mappings.postern.dev".into(), "12".into()),
            ("b/mappings.postern.dev".into(), "9".into()),
            ("services".into(), "30".into()),
        ]);
        let expected = Versions::from([
            ("mappings.postern.dev".into(), "9".into()),
            ("services".into(), "30".into()),
        ]);
        assert_eq!(by_type(&versions), expected);
    }
}
