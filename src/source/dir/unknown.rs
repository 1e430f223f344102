//! Kinds and versions that Postern does not read: whether one is a mistake, and what was probably meant.

use crate::{
    crd::schema::nearest,
    resource::{Group, decode, key},
};

/// Groups whose objects are for Postern alone.
const OURS: [Group; 2] = [Group::Postern, Group::Emissary];
/// What is quoted of a name, in characters.
const MAX_QUOTE: usize = 64;

/// What is wrong, if it was meant for Postern. Folders hold Deployments and much else that was not.
pub(super) fn mistake(api: &str, kind: &str) -> Option<String> {
    let written = api.split_once('/').map_or(api, |(group, _)| group);
    let own = OURS.into_iter().find(|group| group.name() == written);
    let (group, meant) = match own {
        Some(group) => (group, nearest(kind, kinds(group))),
        None => foreign(written, kind)?,
    };
    let said = format!(
        "Postern reads no kind `{}` of `{}`",
        shown(kind),
        shown(api)
    );
    let right = format!("{}/{}", group.name(), decode::newest(group));
    let advice = match meant {
        // Of Emissary's group more than one version is right.
        Some(meant) if meant != kind && (own.is_none() || !is_version(group, api)) => {
            format!("; did you mean `{meant}` of `{right}`?")
        }
        Some(meant) if meant != kind => format!("; did you mean `{meant}`?"),
        Some(_) => format!("; did you mean `{right}`?"),
        None => {
            let kinds: Vec<_> = kinds(group).collect();
            format!("; of that group it reads {}", kinds.join(", "))
        }
    };
    Some(said + &advice)
}

/// The group and the kind that were meant by one of another group: its name is near, or has no dot, and the kind is nearly one.
fn foreign(written: &str, kind: &str) -> Option<(Group, Option<&'static str>)> {
    let near = nearest(written, OURS.iter().map(|group| group.name()));
    let group = match near {
        Some(near) => OURS.into_iter().find(|group| group.name() == near)?,
        // As in annotations of long ago.
        None if written == "ambassador" => Group::Emissary,
        None if !written.contains('.') => Group::Postern,
        None => return None,
    };
    let is_near = |name: &&str| strsim::levenshtein(name, kind) <= 1;
    let of = |group| kinds(group).find(is_near);
    of(group)
        .map(|meant| (group, Some(meant)))
        .or_else(|| Some((Group::Emissary, Some(of(Group::Emissary)?))))
}

fn kinds(of: Group) -> impl Iterator<Item = &'static str> {
    key::all()
        .filter(move |(group, ..)| *group == of)
        .map(|(_, _, name)| name)
}

fn is_version(group: Group, api: &str) -> bool {
    api.split_once('/')
        .is_some_and(|(_, version)| decode::is_read(group, version))
}

fn shown(text: &str) -> String {
    text.chars().take(MAX_QUOTE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_misspelt_is_told_with_what_was_meant() {
        for (api, kind, meant) in [
            (
                "postern.dev/v1alpha1",
                "Maping",
                "; did you mean `Mapping`?",
            ),
            (
                "postern.dev/v1beta9",
                "Mapping",
                "; did you mean `postern.dev/v1alpha1`?",
            ),
            (
                "postern.dev",
                "Host",
                "; did you mean `postern.dev/v1alpha1`?",
            ),
            (
                "postern.dev/v1",
                "Hots",
                "; did you mean `Host` of `postern.dev/v1alpha1`?",
            ),
            (
                "postern.io/v1alpha1",
                "Host",
                "; did you mean `postern.dev/v1alpha1`?",
            ),
            (
                "postern/v1alpha1",
                "Mappings",
                "; did you mean `Mapping` of `postern.dev/v1alpha1`?",
            ),
            ("getambassador.io/v2", "Mappin", "; did you mean `Mapping`?"),
            (
                "getambassador.io/v4",
                "Mapping",
                "; did you mean `getambassador.io/v3alpha1`?",
            ),
            (
                "ambassador/v1",
                "Mapping",
                "; did you mean `getambassador.io/v3alpha1`?",
            ),
            (
                "v1",
                "DevPortal",
                "; did you mean `getambassador.io/v3alpha1`?",
            ),
        ] {
            let told = mistake(api, kind).unwrap_or_default();
            assert_eq!(
                told,
                format!("Postern reads no kind `{kind}` of `{api}`{meant}")
            );
        }
        let told = mistake("getambassador.io/v3alpha1", "FilterPolicy").unwrap();
        assert!(
            told.contains("; of that group it reads Mapping, Host, "),
            "{told}"
        );
    }

    #[test]
    fn what_was_meant_for_others_is_passed_over() {
        for (api, kind) in [
            ("v1", "ConfigMapp"),
            ("apps/v1", "Deployment"),
            ("gateway.networking.k8s.io/v1", "Listener"),
            ("networking.istio.io/v1", "Gateway"),
            ("x.getambassador.io/v3alpha1", "AmbassadorMapping"),
            ("", ""),
        ] {
            assert_eq!(mistake(api, kind), None, "{kind} of {api}");
        }
    }
}
