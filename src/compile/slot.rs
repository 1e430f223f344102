//! Slots: all Mappings with the same hostname and path match, whatever its case. Each is linked on its own: who owns it, who
//! shares a route with whom, and what every member gets.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use smallvec::SmallVec;

use super::{
    MappingState,
    claim::RegionKey,
    finding::Findings,
    mapping::{self, Lowered, Match, NameMatch, PathKey, PathKind, Weight},
    ownership,
    selector::Selector,
    weight::{Share, shares},
};
use crate::{
    crd::gateway_settings::Unclaimed,
    graph::{Action, Fail, HostPattern, Route, route::Pattern, shadow::Shadow},
    report::{Asked, Code, Diagnostic},
    resource::{Mapping, ObjectKey, Strings},
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
pub(super) type SlotKey = (RegionKey, SlotHost, PathKey);

/// A slot, linked.
#[derive(Debug, Default)]
pub(super) struct Linked {
    pub(super) routes: SmallVec<[Placed; 1]>,
    /// Everybody in it, in the order of their keys.
    pub(super) members: SmallVec<[Noted; 1]>,
    /// The first who came.
    pub(super) oldest: Option<Arc<Mapping>>,
    /// Who takes requests from its routes, where that is looked for.
    pub(super) taken: Option<Box<Diagnostic>>,
}

/// A member of a slot, and what linking has to say about it.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) key: ObjectKey,
    pub(super) note: Note,
}

/// A route with what Hosts select it by.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) route: Arc<Route>,
    /// The labels of all its members (emissary.md, section 2.4); of equal keys the youngest member's.
    pub(super) labels: Strings,
    /// For hostnames given by regular expression.
    pub(super) regex_host: Option<Arc<Pattern>>,
}

/// What linking says about one Mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) findings: Findings,
    /// Whether it is part of a route.
    pub(super) placed: bool,
}

/// A member while its slot is linked.
struct Member<'m> {
    state: &'m MappingState,
    matching: &'m Match,
    note: Note,
}

/// How the slots of a region are linked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// Who owns a pair.
    pub(super) owner: Unclaimed,
    /// Whether no Mapping may be served.
    pub(super) is_refused: bool,
}

/// Positions in a list of members.
type Positions = SmallVec<[usize; 4]>;

/// Links the members of one slot by a rule for who owns it. `elsewhere` is the oldest Mapping for the same path of the same name on another port:
/// ports do not make another pair.
pub(super) fn link<'m>(
    members: impl Iterator<Item = &'m MappingState>,
    elsewhere: Option<&Arc<Mapping>>,
    rule: Rule,
) -> Linked {
    let members = members.filter_map(|state| {
        Some(Member {
            state,
            matching: state.lowered.matching.as_ref()?,
            note: Note::default(),
        })
    });
    let mut members: SmallVec<[_; 1]> = members.collect();
    members.sort_by_key(|member| super::age(&member.state.lowered.object));
    let first = members.first().map(|first| &first.state.lowered.object);
    let oldest = [first, elsewhere].into_iter().flatten();
    let oldest = oldest.min_by_key(|object| super::age(object));
    let owner = ownership::unclaimed(rule.owner, oldest.map(|oldest| &oldest.key));
    // Those with the same match, the oldest first.
    let mut admitted: SmallVec<[((&PathKey, &str), usize); 2]> = SmallVec::new();
    for (position, member) in members.iter_mut().enumerate() {
        let lowered = &member.state.lowered;
        let pair = || pair(lowered);
        let is_part = member.state.placement.regions.len() > 1;
        if owner.admits(
            &lowered.object.key,
            pair,
            is_part,
            &mut member.note.findings,
        ) {
            let matching = member.matching;
            admitted.push(((&matching.path_key, &matching.group), position));
        } else if member.state.placement.is_stray {
            // What else begins with the letters of its own path it hardly means.
            member.note.findings = Findings::default();
        }
    }
    admitted.sort_unstable();
    let groups = admitted.chunk_by(|a, b| a.0 == b.0);
    let routes = groups
        .filter_map(|group| {
            let group: Positions = group.iter().map(|(_, position)| *position).collect();
            route(&group, &mut members, rule)
        })
        .collect();
    let oldest = first.map(Arc::clone);
    let noted = members.into_iter().map(|member| Noted {
        key: member.state.lowered.object.key.clone(),
        note: member.note,
    });
    let mut members: SmallVec<[_; 1]> = noted.collect();
    members.sort_by(|a, b| a.key.cmp(&b.key));
    Linked {
        routes,
        members,
        oldest,
        taken: None,
    }
}

/// The place that a Mapping asks for, if its match can be read.
pub(super) fn asked(lowered: &Lowered) -> Option<Asked> {
    let matching = lowered.matching.as_ref()?;
    Some(Asked {
        hostname: match &matching.name {
            NameMatch::Unnamed => "*".to_owned(),
            NameMatch::Pattern(hostname) => hostname.text.to_string(),
            NameMatch::Regex(pattern) => format!("~{}", pattern.text),
        },
        path: path_text(&matching.path_key).into_owned(),
        exact: matching.path_key.kind == PathKind::Exact,
    })
}

/// Hostname and path as a person writes them.
pub(super) fn pair(lowered: &Lowered) -> String {
    lowered.matching.as_ref().map(pair_of).unwrap_or_default()
}

/// The same of a match.
pub(super) fn pair_of(matching: &Match) -> String {
    let path = &matching.path_key;
    match &matching.name {
        NameMatch::Unnamed => format!("*{}", path_text(path)),
        NameMatch::Pattern(hostname) => [&*hostname.text, &path_text(path)].concat(),
        NameMatch::Regex(pattern) => format!("~{}{}", pattern.text, path_text(path)),
    }
}

/// A path match as a person writes it.
pub(super) fn path_text(path: &PathKey) -> Cow<'_, str> {
    match path.kind {
        PathKind::Regex => format!("~{}", path.text).into(),
        PathKind::Exact | PathKind::Prefix => (&*path.text).into(),
    }
}

impl Linked {
    /// Adds a member, of which nothing is known until the slot is linked.
    pub(super) fn insert(&mut self, key: &ObjectKey) {
        if let Err(free) = self.position(key) {
            let (key, note) = (key.clone(), Note::default());
            self.members.insert(free, Noted { key, note });
        }
    }

    pub(super) fn note(&self, key: &ObjectKey) -> Option<&Note> {
        let at = self.position(key).ok()?;
        Some(&self.members.get(at)?.note)
    }

    fn position(&self, key: &ObjectKey) -> Result<usize, usize> {
        self.members.binary_search_by(|member| member.key.cmp(key))
    }
}

/// Members with the same match, given by their positions and the oldest first, become one route.
fn route(group: &[usize], members: &mut [Member<'_>], rule: Rule) -> Option<Placed> {
    let (shadows, group): (Positions, Positions) = group
        .iter()
        .copied()
        .partition(|position| matches!(members[*position].state.lowered.weight, Weight::Shadow(_)));
    let Some(first) = group.first() else {
        for position in shadows {
            alone(&mut members[position].note.findings);
        }
        return None;
    };
    let matching = members[*first].matching;
    let shadow = shadow(&shadows, members, rule);
    let group = &*group;
    let fitting = fitting(group, members);
    let weights: SmallVec<[_; 4]> = fitting
        .iter()
        .map(|position| members[*position].state.lowered.weight)
        .collect();
    let shares = shares(&weights);
    let is_of_one = is_of_one_namespace(group, members);
    let nobody = !shares.iter().any(|share| matches!(share, Share::Of(_)));
    let mut placed: SmallVec<[(&ObjectKey, _); 1]> = SmallVec::new();
    let mut labels = BTreeMap::new();
    for position in group {
        let member = &mut members[*position];
        let lowered = &member.state.lowered;
        let share = fitting.iter().position(|fits| fits == position);
        let (share, code) = match share.and_then(|share| shares.get(share)) {
            Some(Share::Of(share)) => (*share, None),
            Some(Share::Refused { sum }) => {
                let sum = is_of_one.then_some(*sum);
                refuse_weight(lowered, sum, &mut member.note.findings);
                // Where nobody else answers, the refusal does.
                (u32::from(nobody), Some(Code::InvalidWeight.number()))
            }
            None => (0, Some(Code::GroupMismatch.number())),
        };
        member.note.placed = true;
        let own = lowered.object.meta.labels.iter();
        labels.extend(own.map(|(name, value)| (name.clone(), value.clone())));
        placed.push((
            &lowered.object.key,
            crate::graph::route::Member {
                id: mapping::id(&lowered.object),
                share,
                action: action(member.state, code, rule),
            },
        ));
    }
    placed.sort_by(|a, b| a.0.cmp(b.0));
    Some(Placed {
        route: Arc::new(Route {
            rank: Arc::clone(&matching.rank),
            path: matching.path.clone(),
            case_sensitive: matching.path_key.case_sensitive,
            conditions: Arc::clone(&matching.conditions),
            members: placed.into_iter().map(|(_, member)| member).collect(),
            shadow,
        }),
        labels: labels.into(),
        regex_host: match &matching.name {
            NameMatch::Regex(pattern) => Some(Arc::clone(pattern)),
            _ => None,
        },
    })
}

fn is_of_one_namespace(group: &[usize], members: &[Member<'_>]) -> bool {
    let namespaces = group
        .iter()
        .filter_map(|position| Some(&members.get(*position)?.state.lowered.object.key.namespace));
    let mut namespaces = namespaces.peekable();
    let first = namespaces.peek().copied();
    namespaces.all(|namespace| Some(namespace) == first)
}

/// The one that gets copies: the oldest that asks for it, if it can.
fn shadow(shadows: &[usize], members: &mut [Member<'_>], rule: Rule) -> Option<Arc<Shadow>> {
    let (first, rest) = shadows.split_first()?;
    let winner = members[*first].state.lowered.object.key.clone();
    for position in rest {
        members[*position].note.findings.push(
            Code::GroupMismatch,
            "spec.shadow",
            format!("{winner} has the same match and gets its copies already"),
            "Delete one of the two",
        );
    }
    let member = &mut members[*first];
    let lowered = &member.state.lowered;
    match (lowered.weight, action(member.state, None, rule)) {
        (Weight::Shadow(percent), Action::Forward(forward)) => {
            member.note.placed = true;
            Some(Arc::new(Shadow {
                id: mapping::id(&lowered.object),
                percent,
                forward,
            }))
        }
        // What is wrong with it has been said, and is nothing to the requests.
        _ => None,
    }
}

/// One with nobody to get copies from.
fn alone(findings: &mut Findings) {
    findings.push(
        Code::GroupMismatch,
        "spec.shadow",
        "No other Mapping has the same match, so there are no requests to copy",
        "Give it the match of the Mapping whose requests it is to get",
    );
}

/// Those that can be served beside the oldest; the others are told why not.
fn fitting(group: &[usize], members: &mut [Member<'_>]) -> Positions {
    let mut fitting = Positions::new();
    for position in group {
        let first = fitting.first().map(|first| &members[*first].state.lowered);
        let lowered = &members[*position].state.lowered;
        let message = match first {
            Some(first) if first.redirects() && lowered.redirects() => Some(format!(
                "{} has the same match and redirects already",
                first.object.key
            )),
            Some(first) if first.redirects() != lowered.redirects() => Some(format!(
                "{} has the same match, and of the two one redirects and the other forwards",
                first.object.key
            )),
            Some(_) | None => None,
        };
        let Some(message) = message else {
            fitting.push(*position);
            continue;
        };
        members[*position].note.findings.push(
            Code::GroupMismatch,
            "spec.hostRedirect",
            message,
            "Give them different matches, or delete one",
        );
    }
    fitting
}

/// What the weights of others are is theirs to know.
fn refuse_weight(lowered: &Lowered, sum: Option<u32>, findings: &mut Findings) {
    // A weight that is bad by itself has been reported where it was read.
    if let Weight::Percent(percent) = lowered.weight {
        let taken = match sum {
            Some(sum) => format!("older Mappings with the same match have {sum}"),
            None => "older Mappings with the same match have the rest".to_owned(),
        };
        findings.push(
            Code::InvalidWeight,
            "spec.weight",
            format!("{percent} is more than is left: {taken}"),
            "Write weights whose sum is at most 100, or leave one out",
        );
    }
}

fn action(member: &MappingState, refused: Option<u16>, rule: Rule) -> Action {
    if rule.is_refused {
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
