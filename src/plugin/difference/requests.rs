//! Which requests change hands between two graphs. Each match of either is asked about with a request that stands for it, by
//! the functions that decide for the proxy: so a longer path, a regular expression or a precedence that takes requests from
//! another object is seen, wherever it is.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::{
    moved::{Field, How, Moved, Part},
    views::label,
    way::{Fate, Way},
    witness::{Witness, like, name},
};
use crate::{
    graph::{
        Graph, HostPattern, Member, Route,
        matching::RouteSet,
        path::canonical,
        why::of_member,
        wire::{
            ActionView, ConditionsView, MemberView, PathView, RouteView, TargetView, UpstreamView,
        },
    },
    plugin::{place::object_of, routes::percent},
};

/// A match that many Hosts serve is asked about for so many of their names.
const MAX_NAMES: usize = 16;

/// A match, and what is known of it.
#[derive(Default)]
struct Place<'g> {
    /// For each name, requests that may stand for it, with the route that they were made for.
    asked: Vec<(Vec<Witness>, &'g Arc<Route>)>,
    /// The route that has this match, where no request for it could be made.
    unasked: [Option<&'g Arc<Route>>; 2],
}

/// What was seen at one place, and through which way.
struct Seen {
    way: Way,
    request: String,
    /// None: the same as before.
    change: Option<Moved>,
    /// It follows from what its Host does before routes are asked.
    of_host: bool,
}

/// Both graphs, and what is known of pairs of their routes.
struct Comparison<'g> {
    before: &'g Graph,
    after: &'g Graph,
    ways: Vec<Way>,
    pairs: HashMap<[usize; 2], Option<Moved>>,
    /// Pairs that were seen at the place of a route.
    told: HashSet<[usize; 2]>,
}

/// All that moves, and how many matches lead where they led.
pub(super) fn moved(before: &Graph, after: &Graph) -> (Vec<Moved>, usize) {
    let mut ways = [Way::all(before), Way::all(after)].concat();
    ways.sort();
    ways.dedup();
    let mut comparison = Comparison {
        before,
        after,
        ways,
        pairs: HashMap::new(),
        told: HashSet::new(),
    };
    let mut all = Vec::new();
    let mut unchanged = 0;
    for (place, known) in places(before, after) {
        let seen = comparison.look(&known);
        unchanged += usize::from(!seen.is_empty() && seen.iter().all(|seen| seen.change.is_none()));
        all.extend(summed_up(&place, seen));
    }
    for (place, witness) in cells(before, after) {
        let seen = comparison.look_at_cell(&witness);
        all.extend(summed_up(&place, seen));
    }
    all.sort_by(|a, b| (&a.place, &a.through).cmp(&(&b.place, &b.through)));
    (all, unchanged)
}

/// The matches of both graphs.
fn places<'g>(before: &'g Graph, after: &'g Graph) -> BTreeMap<String, Place<'g>> {
    let mut places = BTreeMap::new();
    for (side, graph) in [before, after].into_iter().enumerate() {
        let hosts = graph
            .listeners
            .iter()
            .flat_map(|listener| listener.hosts.entries());
        for (names, host) in hosts {
            collect(names, &host.routes, side, &mut places);
        }
    }
    places
}

fn collect<'g>(
    host: &HostPattern,
    routes: &'g RouteSet,
    side: usize,
    places: &mut BTreeMap<String, Place<'g>>,
) {
    for region in routes.regions.iter() {
        let by_name = region.tables.entries().map(|(pattern, table)| {
            let asked = asked_name(host, pattern);
            (pattern.to_string(), asked, table)
        });
        let regex = region.regex_hosts.iter().map(|(pattern, table)| {
            let found = like(pattern).into_iter();
            let found = found.map(|name| (name, None));
            let own = Some(name(host)).filter(|(name, _)| pattern.regex.is_match(name));
            let asked = own.into_iter().chain(found);
            let asked = { asked }.find(|(name, port)| host.matches(name, *port));
            (format!("~{}", pattern.text), asked, table)
        });
        for (hostname, asked, table) in by_name.chain(regex) {
            let Some((name, port)) = asked else { continue };
            for route in table.iter() {
                let path = PathView::of(&route.path);
                let conditions = ConditionsView::of(&route.conditions);
                let place = places.entry(label(&hostname, &path, &conditions));
                let place: &mut Place<'g> = place.or_default();
                place.add(route, (&name, port), side);
            }
        }
    }
}

/// A name that both patterns cover, and the port that one of them asks for.
fn asked_name(host: &HostPattern, route: &HostPattern) -> Option<(String, Option<u16>)> {
    if !host.overlaps(route) {
        return None;
    }
    let (of_host, of_route) = (name(host), name(route));
    let port = of_host.1.or(of_route.1);
    let fits = |name: &String| host.matches(name, port) && route.matches(name, port);
    let found = [of_route.0, of_host.0].into_iter().find(fits)?;
    Some((found, port))
}

/// What claims cover: there a route may end at a wall that was not there.
fn cells(before: &Graph, after: &Graph) -> BTreeMap<String, Witness> {
    let mut cells = BTreeMap::new();
    let hosts = [before, after]
        .into_iter()
        .flat_map(|graph| &graph.listeners)
        .flat_map(|listener| listener.hosts.iter());
    for (cell, region) in hosts.flat_map(|host| host.routes.regions.cells()) {
        let (hostname, path) = cell.find('/').map_or((cell, "/"), |at| cell.split_at(at));
        let place = format!("{cell} (claim {})", region.name);
        if let Ok(pattern) = hostname.parse::<HostPattern>() {
            let (name, port) = name(&pattern);
            let witness = || Witness::below((&name, port), path);
            cells.entry(place).or_insert_with(witness);
        }
    }
    cells
}

// === impl Place ===

impl<'g> Place<'g> {
    fn add(&mut self, route: &'g Arc<Route>, name: (&str, Option<u16>), side: usize) {
        let witnesses = Witness::of(route, name);
        if witnesses.is_empty() {
            self.unasked[side] = Some(route);
        }
        let is_known = |(asked, of): &(Vec<Witness>, &Arc<Route>)| {
            *asked == witnesses && Arc::ptr_eq(of, route)
        };
        if !witnesses.is_empty() && self.asked.len() < MAX_NAMES && !self.asked.iter().any(is_known)
        {
            self.asked.push((witnesses, route));
        }
    }
}

// === impl Comparison ===

impl<'g> Comparison<'g> {
    fn look(&mut self, place: &Place<'g>) -> Vec<Seen> {
        let mut all = Vec::new();
        for way in self.ways.clone() {
            let mut own = Vec::new();
            let mut others = Vec::new();
            for (witnesses, route) in &place.asked {
                let mut asked = witnesses
                    .iter()
                    .map(|witness| (witness, self.fates(way, witness)));
                let is_own = |(_, fates): &(_, [Fate<'g>; 2])| {
                    let mut taken = fates.iter();
                    taken
                        .any(|fate| matches!(fate, Fate::Route(taken) if Arc::ptr_eq(taken, route)))
                };
                match asked.clone().find(is_own) {
                    Some(found) => own.push(found),
                    None => others.extend(asked.next()),
                }
            }
            // A request that another match takes before and after says nothing of this one, if there is one that says more.
            let asked = if own.is_empty() { others } else { own };
            for (witness, fates) in asked {
                if let [Fate::Route(before), Fate::Route(after)] = fates {
                    self.told.insert(pair(before, after));
                }
                all.extend(self.seen(way, witness, fates));
            }
        }
        if let ([], before, after) = (&*all, place.unasked[0], place.unasked[1])
            && let Some(way) = self.ways.first().copied()
        {
            let fate = |route: Option<&'g Arc<Route>>| route.map_or(Fate::Nothing, Fate::Route);
            let change = self.change([fate(before), fate(after)]);
            if before.or(after).is_some() {
                all.push(Seen {
                    way,
                    request: String::new(),
                    change,
                    of_host: false,
                });
            }
        }
        all
    }

    /// As the place of a route, unless the same was told there.
    fn look_at_cell(&mut self, witness: &Witness) -> Vec<Seen> {
        let mut all = Vec::new();
        for way in self.ways.clone() {
            let fates = self.fates(way, witness);
            let is_told = match fates {
                [Fate::Route(before), Fate::Route(after)] => {
                    self.told.contains(&pair(before, after))
                }
                _ => false,
            };
            if !is_told {
                all.extend(self.seen(way, witness, fates));
            }
        }
        all
    }

    fn fates(&self, way: Way, witness: &Witness) -> [Fate<'g>; 2] {
        [self.before, self.after].map(|graph| way.fate(graph, witness))
    }

    /// None where no route has it before or after.
    fn seen(&mut self, way: Way, witness: &Witness, fates: [Fate<'g>; 2]) -> Option<Seen> {
        if !fates.iter().any(|fate| matches!(fate, Fate::Route(_))) {
            return None;
        }
        let of_host = fates.iter().any(|fate| matches!(fate, Fate::Ended(_)));
        let change = self.change(fates);
        let change = change.map(|change| self.with_fields(change, fates, witness));
        let change =
            change.filter(|change| change.how != How::Changed || !change.fields.is_empty());
        Some(Seen {
            way,
            request: witness.to_string(),
            change,
            of_host,
        })
    }

    /// What is different, without what depends on the request.
    fn change(&mut self, fates: [Fate<'g>; 2]) -> Option<Moved> {
        if let [Fate::Route(before), Fate::Route(after)] = fates {
            let pair = pair(before, after);
            if let Some(known) = self.pairs.get(&pair) {
                return known.clone();
            }
            let change = change(fates);
            self.pairs.insert(pair, change.clone());
            return change;
        }
        change(fates)
    }

    fn with_fields(&self, change: Moved, fates: [Fate<'g>; 2], witness: &Witness) -> Moved {
        let [Fate::Route(before), Fate::Route(after)] = fates else {
            return change;
        };
        if matches!(change.how, How::Moved | How::Gained | How::Lost) {
            return change;
        }
        let fields = fields([(self.before, before), (self.after, after)], &witness.path);
        Moved { fields, ..change }
    }
}

fn pair(before: &Arc<Route>, after: &Arc<Route>) -> [usize; 2] {
    [before, after].map(|route| Arc::as_ptr(route).addr())
}

fn change(fates: [Fate<'_>; 2]) -> Option<Moved> {
    let [before, after] = fates.map(|fate| parts(&fate));
    let how = match (How::of(&before, &after), fates) {
        (Some(how), _) => how,
        (None, [Fate::Route(old), Fate::Route(new)]) if view(old) != view(new) => How::Changed,
        (None, _) => return None,
    };
    Some(Moved {
        place: String::new(),
        how,
        request: String::new(),
        through: Vec::new(),
        before,
        after,
        fields: Vec::new(),
    })
}

/// What is done with requests, as far as views tell.
fn view(route: &Route) -> (Vec<MemberView>, Vec<UpstreamView>, String) {
    let view = RouteView::of(route);
    let upstreams = route.upstreams().map(|upstream| UpstreamView::of(upstream));
    (view.members, upstreams.collect(), shadow(route))
}

fn parts(fate: &Fate<'_>) -> Vec<Part> {
    match fate {
        Fate::Nothing => Vec::new(),
        Fate::Ended(how) => vec![Part {
            object: String::new(),
            to: (*how).to_owned(),
            percent: 100,
        }],
        Fate::Route(route) => {
            let total = route.members.iter().map(|m| u64::from(m.share)).sum();
            let serving = route.members.iter().filter(|member| member.share > 0);
            let part = |member: &Member| Part {
                object: object_of(&member.id.to_string()),
                to: place_of(member),
                percent: percent(member.share, total),
            };
            serving.map(part).collect()
        }
    }
}

/// Where a member leads, without how it is gone there.
fn place_of(member: &Member) -> String {
    let action = MemberView::of(member).action;
    match (&member.action, &action) {
        (crate::graph::Action::Forward(forward), ActionView::Forward(view)) => {
            match UpstreamView::of(&forward.upstream).target {
                TargetView::Echo { stands_for, .. } => stands_for,
                _ => view
                    .upstream
                    .split(' ')
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            }
        }
        _ => action.summary(),
    }
}

fn shadow(route: &Route) -> String {
    route.shadow.as_ref().map_or_else(
        || "none".to_owned(),
        |shadow| {
            let to = &shadow.forward.upstream.id;
            format!(
                "{}% to {to} ({})",
                shadow.percent,
                object_of(&shadow.id.to_string())
            )
        },
    )
}

/// What is done with a request of this path, policy by policy, where that is not the same.
fn fields(sides: [(&Graph, &Arc<Route>); 2], path: &str) -> Vec<Field> {
    let mut all = Vec::new();
    let [(_, before), (_, after)] = sides;
    for old in &before.members {
        let Some(new) = after.members.iter().find(|new| new.id == old.id) else {
            continue;
        };
        let whose = if before.members.len() > 1 {
            format!(" of {}", object_of(&old.id.to_string()))
        } else {
            String::new()
        };
        let [olds, news] = [(sides[0].0, old), (sides[1].0, new)].map(|(graph, member)| {
            let path = canonical(path, graph.requests).ok()?;
            let told = of_member(member, 100, &path);
            let told = told.into_iter().map(|told| (told.policy, told.value));
            Some(told.collect::<BTreeMap<_, _>>())
        });
        let (olds, news) = (olds.unwrap_or_default(), news.unwrap_or_default());
        let policies = olds
            .keys()
            .chain(news.keys().filter(|p| !olds.contains_key(*p)));
        let found: Vec<_> = policies
            .filter_map(|policy| {
                let value = |all: &BTreeMap<_, String>| {
                    all.get(policy)
                        .map_or_else(|| "none".to_owned(), Clone::clone)
                };
                let field = format!("{}{whose}", policy.name());
                Field::between(&field, &value(&olds), &value(&news))
            })
            .collect();
        if found.is_empty() {
            all.extend(unnamed(old, new, &whose));
        }
        all.extend(found);
    }
    all.extend(Field::between("shadow", &shadow(before), &shadow(after)));
    all
}

/// What no policy tells, such as whose certificate an upstream must show: that it is another.
fn unnamed(old: &Member, new: &Member, whose: &str) -> Option<Field> {
    let [ActionView::Forward(old), ActionView::Forward(new)] =
        [old, new].map(|member| MemberView::of(member).action)
    else {
        return None;
    };
    if old.cors != new.cors {
        let field = format!("cors{whose}");
        return Field::between(&field, "some rules", "other rules");
    }
    Field::between(&format!("upstream{whose}"), &old.upstream, &new.upstream)
}

/// One for each thing that happens at a place, with the ways in which it does if it does not in all.
fn summed_up(place: &str, mut seen: Vec<Seen>) -> Vec<Moved> {
    if seen.iter().any(|seen| !seen.of_host) {
        // What the Host does is told of the Host.
        seen.retain(|seen| !seen.of_host);
    }
    let mut all: Vec<(Moved, Vec<Way>)> = Vec::new();
    let total: HashSet<_> = seen
        .iter()
        .map(|seen| (seen.way.port, seen.way.spoken as u8))
        .collect();
    for Seen {
        way,
        request,
        change,
        ..
    } in seen
    {
        let Some(change) = change else { continue };
        match all.iter_mut().find(|(other, _)| other.is_like(&change)) {
            Some((_, ways)) => ways.push(way),
            None => all.push((
                Moved {
                    place: place.to_owned(),
                    request,
                    ..change
                },
                vec![way],
            )),
        }
    }
    let finished = all.into_iter().map(|(moved, mut ways)| {
        ways.dedup();
        let everywhere = ways.len() >= total.len();
        let through = ways.iter().map(ToString::to_string);
        Moved {
            through: if everywhere {
                Vec::new()
            } else {
                through.collect()
            },
            ..moved
        }
    });
    finished.collect()
}
