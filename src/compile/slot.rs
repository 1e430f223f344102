//! Slots: all Mappings with the same hostname and path match. Each is linked on its own: who owns it, who shares a route
//! with whom, and what every member gets.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    MappingState,
    finding::Findings,
    mapping::{Lowered, NameMatch, PathKey},
    ownership::{self, Claimant},
    selector::Selector,
    settings::Settings,
    weight::{Share, shares},
};
use crate::{
    graph::{Action, Fail, HostPattern, Route, route::Pattern},
    report::Code,
    resource::ObjectKey,
};

/// The hostname part of a slot, in an order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SlotHost {
    Pattern(HostPattern),
    Regex(Arc<str>),
    /// The names of the Hosts with this selector.
    Selected(Arc<Selector>),
}

/// Names a slot.
pub(super) type SlotKey = (SlotHost, PathKey);

/// A linked slot.
#[derive(Debug, Default)]
pub(super) struct Linked {
    pub(super) routes: Vec<Placed>,
    /// What linking has to say about each member.
    pub(super) notes: BTreeMap<ObjectKey, Note>,
}

/// A route with what Hosts select it by.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) route: Arc<Route>,
    /// The labels of all its members (emissary.md, section 2.4); of equal keys the youngest member's.
    pub(super) labels: Arc<BTreeMap<String, String>>,
    /// For hostnames given by regular expression.
    pub(super) regex_host: Option<Pattern>,
}

/// What linking says about one Mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) findings: Findings,
    /// Whether it is part of a route.
    pub(super) placed: bool,
}

/// Links the members of one slot.
pub(super) fn link(members: &[&MappingState], settings: &Settings) -> Linked {
    let mut members = members.to_vec();
    members.sort_by_key(|member| super::age(&member.lowered.object));
    let claimants: Vec<_> = members
        .iter()
        .map(|member| Claimant {
            key: &member.lowered.object.key,
            age: super::age(&member.lowered.object),
        })
        .collect();
    let owner = ownership::unclaimed(settings.unclaimed, &claimants);
    let mut linked = Linked::default();
    let mut groups: BTreeMap<&str, Vec<&MappingState>> = BTreeMap::new();
    for member in members {
        let key = &member.lowered.object.key;
        let mut note = Note::default();
        let Some(matching) = &member.lowered.matching else {
            continue;
        };
        if owner.admits(key, &pair(&member.lowered), &mut note.findings) {
            groups.entry(&matching.group).or_default().push(member);
        }
        linked.notes.insert(key.clone(), note);
    }
    for group in groups.values() {
        linked.group(group, settings);
    }
    linked
}

/// Hostname and path as a person writes them.
pub(super) fn pair(lowered: &Lowered) -> String {
    let Some(matching) = &lowered.matching else {
        return String::new();
    };
    let name = match &matching.name {
        NameMatch::Unnamed => "*".to_owned(),
        other => other.to_string(),
    };
    format!("{name}{}", path_text(&matching.path_key))
}

/// A path match as a person writes it.
pub(super) fn path_text(path: &PathKey) -> String {
    let mark = if path.kind == "regex" { "~" } else { "" };
    format!("{mark}{}", path.text)
}

impl Linked {
    /// Members with the same match, the oldest first, become one route.
    fn group(&mut self, group: &[&MappingState], settings: &Settings) {
        let Some(matching) = group
            .first()
            .and_then(|first| first.lowered.matching.as_ref())
        else {
            return;
        };
        let fitting = self.mismatches(group);
        let weights: Vec<_> = fitting.iter().map(|member| member.lowered.weight).collect();
        let shares = shares(&weights);
        let nobody = !shares.iter().any(|share| matches!(share, Share::Of(_)));
        let mut members = Vec::with_capacity(group.len());
        let mut labels = BTreeMap::new();
        for member in group {
            let lowered = &member.lowered;
            let note = self.notes.entry(lowered.object.key.clone()).or_default();
            let share = fitting
                .iter()
                .position(|fits| std::ptr::eq(*fits, *member))
                .and_then(|position| shares.get(position));
            let (share, code) = match share {
                Some(Share::Of(share)) => (*share, None),
                Some(Share::Refused { sum }) => {
                    refuse_weight(lowered, *sum, &mut note.findings);
                    // Where nobody else answers, the refusal does.
                    (u32::from(nobody), Some(Code::InvalidWeight.number()))
                }
                None => (0, Some(Code::GroupMismatch.number())),
            };
            note.placed = true;
            labels.extend(lowered.object.meta.labels.clone());
            members.push((
                &lowered.object.key,
                crate::graph::route::Member {
                    id: lowered.id.clone(),
                    share,
                    action: action(member, code, settings),
                },
            ));
        }
        members.sort_by(|a, b| a.0.cmp(b.0));
        self.routes.push(Placed {
            route: Arc::new(Route {
                rank: matching.rank.clone(),
                path: matching.path.clone(),
                case_sensitive: matching.case_sensitive,
                conditions: matching.conditions.clone(),
                members: members.into_iter().map(|(_, member)| member).collect(),
            }),
            labels: Arc::new(labels),
            regex_host: match &matching.name {
                NameMatch::Regex(pattern) => Some(pattern.clone()),
                _ => None,
            },
        });
    }

    /// Those that can be served beside the oldest; the others are told why not.
    fn mismatches<'m>(&mut self, group: &[&'m MappingState]) -> Vec<&'m MappingState> {
        let mut fitting: Vec<&MappingState> = Vec::with_capacity(group.len());
        for member in group {
            let lowered = &member.lowered;
            let message = match fitting.first() {
                Some(first) if first.lowered.redirects() && lowered.redirects() => Some(format!(
                    "{} has the same match and redirects already",
                    first.lowered.object.key
                )),
                Some(first) if first.lowered.redirects() != lowered.redirects() => Some(format!(
                    "{} has the same match, and of the two one redirects and the other forwards",
                    first.lowered.object.key
                )),
                Some(_) | None => None,
            };
            match message {
                None => fitting.push(member),
                Some(message) => {
                    let note = self.notes.entry(lowered.object.key.clone()).or_default();
                    note.findings.push(
                        Code::GroupMismatch,
                        "spec.hostRedirect",
                        message,
                        "Give them different matches, or delete one",
                    );
                }
            }
        }
        fitting
    }
}

fn refuse_weight(lowered: &Lowered, sum: u32, findings: &mut Findings) {
    // A weight that is bad by itself has been reported where it was read.
    if let super::mapping::Weight::Percent(percent) = lowered.weight {
        findings.push(
            Code::InvalidWeight,
            "spec.weight",
            format!(
                "{percent} is more than is left: older Mappings with the same match have {sum}"
            ),
            "Write weights whose sum is at most 100, or leave one out",
        );
    }
}

fn action(member: &MappingState, refused: Option<u16>, settings: &Settings) -> Action {
    if settings.refusal.is_some() {
        return Action::Fail(Fail {
            code: Code::PolicyNotHonoured.number(),
        });
    }
    if let Action::Fail(fail) = &member.action {
        return Action::Fail(*fail);
    }
    match refused {
        Some(code) => Action::Fail(Fail { code }),
        None => member.action.clone(),
    }
}
