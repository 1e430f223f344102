//! What objects mean, read from their manifests one by one: slow, and written from the rules (emissary.md, section 2.7, and
//! design D4) instead of from the compiler.

use std::{
    cell::RefCell,
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use regex::Regex;
use serde_json::Value;

use super::asking::Ask;

/// A name as it is compared.
fn spelled(name: &str) -> String {
    let (name, port) = name
        .split_once(':')
        .map_or((name, None), |(name, port)| (name, Some(port)));
    let name = name.strip_suffix('.').unwrap_or(name).to_lowercase();
    let name = name.replace("bücher", "xn--bcher-kva");
    port.map_or(name.clone(), |port| format!("{name}:{port}"))
}

/// Whether a hostname with one `*` has a name, on whatever port.
fn has_name(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(""), _) => true,
        (Some(end), _) => name.len() > end.len() && name.ends_with(end),
        (_, Some(start)) => name.len() > start.len() && name.starts_with(start),
        _ => pattern == name,
    }
}

fn text<'v>(value: &'v Value, field: &str) -> Option<&'v str> {
    value[field].as_str()
}

fn list(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// What an older object has less of.
fn age(object: &Value) -> (Option<&str>, &str, &str) {
    let metadata = &object["metadata"];
    (
        text(metadata, "creationTimestamp"),
        text(metadata, "namespace").unwrap_or_default(),
        text(metadata, "name").unwrap_or_default(),
    )
}

fn name_of(object: &Value) -> &str {
    text(&object["metadata"], "name").unwrap_or_default()
}

fn namespace_of(object: &Value) -> &str {
    text(&object["metadata"], "namespace").unwrap_or_default()
}

/// Who came first: the least.
type Age<'w> = (Option<&'w str>, &'w str, &'w str);

/// A hostname with a path, and who has claimed it.
#[derive(Clone, Debug)]
pub(crate) struct Cell<'w> {
    host: String,
    /// Its segments.
    path: Vec<String>,
    age: Age<'w>,
    pub(crate) claim: &'w str,
    pub(crate) owners: BTreeSet<&'w str>,
}

/// Every slash as one, for claims.
fn unslashed(path: &str) -> String {
    let mut path = path.replace("%2F", "/").replace("%2f", "/");
    while path.contains("//") {
        path = path.replace("//", "/");
    }
    path
}

/// Objects, as far as requests are about them.
#[derive(Debug)]
pub(crate) struct World<'w> {
    cells: Vec<Cell<'w>>,
    /// That claims ask for, each with the age of the claim and its namespaces.
    ports: Vec<(u16, Age<'w>, BTreeSet<&'w str>)>,
    mappings: Vec<Mapping<'w>>,
    hosts: BTreeMap<String, &'w Value>,
    unclaimed: &'w str,
}

/// A Mapping with what can be read of it.
#[derive(Debug)]
pub(crate) struct Mapping<'w> {
    object: &'w Value,
    id: String,
    namespace: &'w str,
    name: Name,
    path: String,
    kind: Kind,
    case_sensitive: bool,
    headers: Vec<Condition>,
    query: Vec<Condition>,
    method: Option<String>,
    precedence: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Unnamed,
    Pattern(String),
    Regex(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Exact,
    Prefix,
    Regex,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Condition {
    name: String,
    value: String,
    regex: bool,
}

/// What a request comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The Mappings that share it.
    pub(crate) members: Vec<String>,
    /// Whether some other Mapping whose name and path fit has a longer path.
    pub(crate) is_longest: bool,
    /// Mappings of other namespaces that would have it, if it were not for these.
    pub(crate) losers: Vec<String>,
}

impl Cell<'_> {
    /// The greatest has a request.
    fn specificity(&self) -> impl Ord + '_ {
        let is_exact = !self.host.starts_with('*');
        (
            is_exact,
            self.host.len(),
            self.path.len(),
            Reverse(self.age),
        )
    }
}

impl<'w> World<'w> {
    pub(crate) fn new(documents: &'w [Value]) -> Self {
        let of = |kind: &'static str| {
            documents
                .iter()
                .filter(move |document| document["kind"] == kind)
        };
        let namespaces: Vec<_> = of("Namespace").collect();
        let settings =
            of("GatewaySettings").find(|settings| namespace_of(settings) == super::world::PLATFORM);
        let is_emissary = settings.is_some_and(|settings| settings["spec"]["preset"] == "emissary");
        let merges = settings
            .and_then(|settings| settings["spec"]["paths"]["mergeSlashes"].as_bool())
            .unwrap_or(!is_emissary);
        let hosts =
            of("Host").map(|host| (format!("{}/{}", namespace_of(host), name_of(host)), host));
        Self {
            cells: of("RouteClaim")
                .flat_map(|claim| cells(claim, &namespaces))
                .collect(),
            ports: of("RouteClaim")
                .flat_map(|claim| ports(claim, &namespaces))
                .collect(),
            mappings: of("Mapping")
                .filter_map(|object| Mapping::read(object, merges))
                .collect(),
            hosts: hosts.collect(),
            unclaimed: settings
                .and_then(|settings| settings["spec"]["ownership"]["unclaimed"].as_str())
                .unwrap_or(if is_emissary { "Shared" } else { "FirstCome" }),
        }
    }

    /// The cell that a request is in: the most specific hostname of those that have the path, the longest path on it, and of
    /// equal ones the oldest claim's.
    pub(crate) fn cell(&self, host: &str, path: &str) -> Option<&Cell<'w>> {
        let path = unslashed(path);
        let has = |cell: &&Cell<'_>| has_name(&cell.host, host) && has_path(&cell.path, &path);
        self.cells
            .iter()
            .filter(has)
            .max_by_key(|cell| cell.specificity())
    }

    /// Whether claims let a namespace decide about the Host of a name: it has all paths of a hostname that the name is of.
    pub(crate) fn has_say(&self, namespace: &str, host: &str) -> bool {
        let whole = self
            .cells
            .iter()
            .filter(|cell| cell.path.is_empty() && has_name(&cell.host, host));
        let mut oldest: BTreeMap<&str, &Cell<'_>> = BTreeMap::new();
        for cell in whole {
            let first = oldest.entry(&cell.host).or_insert(cell);
            if cell.age < first.age {
                *first = cell;
            }
        }
        oldest.values().any(|cell| cell.owners.contains(namespace))
    }

    /// The connections, by port and name, that claims give to others than a namespace. On the first of the ports there are no names.
    pub(crate) fn connections_of_others<'n>(
        &self,
        namespace: &str,
        ports: &[u16],
        names: &[&'n str],
    ) -> Vec<(u16, Option<&'n str>)> {
        let mut all = Vec::new();
        for port in ports {
            let mut asking: Vec<_> = self
                .ports
                .iter()
                .filter(|(asked, ..)| asked == port)
                .collect();
            asking.sort_by_key(|(_, age, _)| *age);
            let owners = asking.first().map(|(.., owners)| owners);
            let is_port = owners.is_some_and(|owners| !owners.contains(namespace));
            let is_own = owners.is_some() && !is_port;
            for name in names.iter().copied().map(Some).chain([None]) {
                let is_name = name.is_some_and(|name| self.is_of_others(namespace, name));
                // Where names are asked for, claims on names decide about them: who claims a port has the rest.
                let has_names = *port != ports[0];
                if is_port && !has_names || is_name && has_names && !is_own {
                    all.push((*port, name));
                }
            }
        }
        all
    }

    /// Whether claims give the connections to a name to others than a namespace: of the hostnames that it is of, the most specific
    /// one decides of which somebody has a path.
    pub(crate) fn is_of_others(&self, namespace: &str, name: &str) -> bool {
        let mut hosts: BTreeMap<_, BTreeMap<&[String], &Cell<'_>>> = BTreeMap::new();
        for cell in self.cells.iter().filter(|cell| has_name(&cell.host, name)) {
            let (is_exact, length) = (!cell.host.starts_with('*'), cell.host.len());
            let paths = hosts.entry(Reverse((is_exact, length, &cell.host)));
            let first = paths.or_default().entry(&cell.path).or_insert(cell);
            if cell.age < first.age {
                *first = cell;
            }
        }
        for cells in hosts.values() {
            if cells.values().any(|cell| !cell.owners.contains(namespace)) {
                return true;
            }
            if cells.contains_key(&[][..]) {
                return false;
            }
        }
        false
    }

    /// The route of a request that the virtual host with this id lets through.
    pub(crate) fn route(&self, host: &str, ask: &Ask, path: &str) -> Option<Found> {
        let selector = self
            .hosts
            .get(host)
            .and_then(|host| host["spec"]["mappingSelector"]["matchLabels"].as_object());
        let (name, port) = authority(&ask.authority);
        let cell = self.cell(&name, path);
        let eligible = self.mappings.iter().filter(|mapping| {
            let is_selected = mapping.name != Name::Unnamed
                || selector.is_some_and(|selector| has_labels(&labels(mapping.object), selector));
            is_selected
                && match cell {
                    Some(cell) => cell.owners.contains(mapping.namespace),
                    None => self.is_let(mapping, selector),
                }
        });
        let mut groups: BTreeMap<_, Vec<&Mapping<'_>>> = BTreeMap::new();
        for mapping in eligible {
            groups.entry(mapping.group()).or_default().push(mapping);
        }
        let fitting = groups.into_values().filter(|group| {
            let first = group[0];
            let mut by_age = group.clone();
            by_age.sort_by_key(|mapping| age(mapping.object));
            let merged = by_age
                .iter()
                .filter(|mapping| !mapping.is_shadow())
                .flat_map(|mapping| labels(mapping.object))
                .collect();
            let is_seen = first.name == Name::Unnamed
                || selector.is_none_or(|selector| has_labels(&merged, selector));
            is_seen && first.has_host(&name, port) && first.has_path(path)
        });
        let fitting: Vec<_> = fitting
            .filter(|group| group.iter().any(|mapping| !mapping.is_shadow()))
            .collect();
        let longest = fitting.iter().map(|group| group[0].path.len()).max();
        let holding: Vec<_> = fitting
            .into_iter()
            .filter(|group| group[0].holds(ask))
            .collect();
        let found = holding.iter().max_by_key(|group| group[0].rank())?;
        let losers = holding
            .iter()
            .flatten()
            .filter(|loser| loser.namespace != found[0].namespace && loser.is_comparable(found[0]));
        let losers = losers.filter(|loser| !self.is_stray(loser));
        let losers = losers.map(|loser| loser.id.clone()).collect();
        let served = found.iter().filter(|mapping| !mapping.is_shadow());
        let mut members: Vec<_> = served.map(|mapping| mapping.id.clone()).collect();
        members.sort();
        Some(Found {
            members,
            is_longest: Some(found[0].path.len()) == longest,
            losers,
        })
    }

    /// Whether first come decides about what nobody has claimed.
    pub(crate) fn is_first_come(&self) -> bool {
        self.unclaimed == "FirstCome"
    }

    /// Whether a Mapping may have what nobody has claimed.
    fn is_let(
        &self,
        mapping: &Mapping<'_>,
        selector: Option<&serde_json::Map<String, Value>>,
    ) -> bool {
        match self.unclaimed {
            "Deny" => false,
            "Shared" => true,
            _ => {
                let same = self.mappings.iter().filter(|other| {
                    other.pair() == mapping.pair()
                        && !self.is_claimed(other)
                        && (other.name != Name::Unnamed
                            || selector.is_some_and(|selector| {
                                has_labels(&labels(other.object), selector)
                            }))
                });
                let oldest = same.min_by_key(|other| age(other.object));
                oldest.is_none_or(|oldest| oldest.namespace == mapping.namespace)
            }
        }
    }

    /// Whether one cell has everything that a Mapping asks for.
    fn is_claimed(&self, mapping: &Mapping<'_>) -> bool {
        let mut cells = self.cells.iter();
        cells.any(|cell| cell.has_names_of(mapping) && mapping.is_below(&cell.path))
    }

    /// Whether a Mapping has outside of its own claim what only begins with the same letters.
    fn is_stray(&self, mapping: &Mapping<'_>) -> bool {
        let path = if mapping.case_sensitive {
            mapping.path.clone()
        } else {
            mapping.path.to_lowercase()
        };
        let path = unslashed(&path);
        let mut cells = self.cells.iter();
        mapping.kind == Kind::Prefix
            && cells.any(|cell| {
                let is_own = cell.owners.contains(mapping.namespace);
                let is_own = is_own && format!("/{}", cell.path.join("/")) == path;
                is_own && cell.has_names_of(mapping)
            })
    }
}

impl Cell<'_> {
    /// Whether every name of a Mapping is one of its hostname.
    fn has_names_of(&self, mapping: &Mapping<'_>) -> bool {
        match &mapping.name {
            Name::Pattern(pattern) => {
                let pattern = pattern.split(':').next().unwrap_or_default();
                let is_wild = pattern.starts_with('*');
                self.host == "*"
                    || self.host == pattern
                    || !pattern.ends_with('*') && !is_wild && has_name(&self.host, pattern)
                    || is_wild
                        && self.host.starts_with('*')
                        && pattern[1..].ends_with(&self.host[1..])
            }
            Name::Regex(_) | Name::Unnamed => self.host == "*",
        }
    }
}

fn owners<'w>(spec: &'w Value, namespaces: &[&'w Value]) -> BTreeSet<&'w str> {
    let mut owners: BTreeSet<_> = list(&spec["namespaces"]["names"]).into_iter().collect();
    if let Some(wanted) = spec["namespaces"]["selector"]["matchLabels"].as_object() {
        let having = namespaces
            .iter()
            .filter(|namespace| has_labels(&labels(namespace), wanted));
        owners.extend(having.map(|namespace| name_of(namespace)));
    }
    owners
}

fn ports<'w>(
    claim: &'w Value,
    namespaces: &[&'w Value],
) -> impl Iterator<Item = (u16, Age<'w>, BTreeSet<&'w str>)> {
    let spec = &claim["spec"];
    let asked = spec["ports"].as_array().into_iter().flatten();
    let asked = asked.map(|port| u16::try_from(port.as_u64().unwrap()).unwrap());
    asked.map(move |port| (port, age(claim), owners(spec, namespaces)))
}

fn cells<'w>(claim: &'w Value, namespaces: &[&'w Value]) -> Vec<Cell<'w>> {
    let spec = &claim["spec"];
    let owners = owners(spec, namespaces);
    let paths = match &spec["paths"] {
        Value::Null => vec!["/"],
        paths => list(paths),
    };
    let mut all = Vec::new();
    for host in list(&spec["hostnames"]) {
        for path in &paths {
            all.push(Cell {
                host: spelled(host),
                path: segments(&unslashed(&decoded(path))),
                age: age(claim),
                claim: name_of(claim),
                owners: owners.clone(),
            });
        }
    }
    all
}

fn segments(path: &str) -> Vec<String> {
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/').skip(1).map(str::to_owned).collect()
}

/// A claimed path holds itself and what follows it after a slash.
fn has_path(claimed: &[String], path: &str) -> bool {
    let asked: Vec<_> = path.split('/').skip(1).collect();
    asked.len() >= claimed.len() && claimed.iter().zip(asked).all(|(a, b)| a == b)
}

/// The only escape that manifests here have.
fn decoded(path: &str) -> String {
    path.replace("%61", "a")
}

fn labels(object: &Value) -> BTreeMap<String, Value> {
    let labels = object["metadata"]["labels"].as_object();
    labels
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn has_labels(labels: &BTreeMap<String, Value>, wanted: &serde_json::Map<String, Value>) -> bool {
    wanted
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}

/// Name and port of a Host header.
pub(crate) fn authority(text: &str) -> (String, Option<&str>) {
    let (name, port) = text
        .split_once(':')
        .map_or((text, None), |(name, port)| (name, Some(port)));
    (spelled(name), port)
}

impl<'w> Mapping<'w> {
    /// None for what cannot be read.
    fn read(object: &'w Value, merges: bool) -> Option<Self> {
        let spec = &object["spec"];
        let pattern = |name: &str| {
            let inner = name.trim_start_matches('*').trim_end_matches('*');
            (!inner.contains('*')).then(|| Name::Pattern(spelled(name)))
        };
        let mut headers = conditions(&spec["headers"], false);
        let named = headers
            .iter()
            .position(|condition| condition.name == ":authority");
        let named = named.map(|at| headers.remove(at).value);
        headers.extend(conditions(&spec["regexHeaders"], true));
        let name = match (text(spec, "hostname"), text(spec, "host"), named) {
            (Some(name), ..) => pattern(name)?,
            (_, Some(name), _) if spec["hostRegex"] == true => Name::Regex(name.to_owned()),
            (_, Some(name), _) => pattern(name)?,
            (_, _, Some(name)) => pattern(&name)?,
            _ => Name::Unnamed,
        };
        let kind = match (spec["prefixRegex"] == true, spec["prefixExact"] == true) {
            (true, _) => Kind::Regex,
            (_, true) => Kind::Exact,
            _ => Kind::Prefix,
        };
        let path = text(spec, "prefix")?;
        let is_plain = |path: &str| path.starts_with('/') && !(merges && path.contains("//"));
        if kind != Kind::Regex && !is_plain(path) {
            return None;
        }
        let case_sensitive = kind == Kind::Regex || spec["caseSensitive"] != false;
        let path = if kind == Kind::Regex {
            path.to_owned()
        } else {
            decoded(path)
        };
        Some(Self {
            id: format!("{}/{}", namespace_of(object), name_of(object)),
            namespace: namespace_of(object),
            object,
            name,
            path: if case_sensitive {
                path
            } else {
                path.to_ascii_lowercase()
            },
            kind,
            case_sensitive,
            headers,
            query: conditions(&spec["queryParameters"], false),
            method: text(spec, "method").map(str::to_owned),
            precedence: spec["precedence"].as_i64().unwrap_or_default(),
        })
    }

    /// Whether it can be told that two hostnames have names in common.
    fn is_comparable(&self, other: &Self) -> bool {
        match (&self.name, &other.name) {
            (Name::Unnamed, _) | (_, Name::Unnamed) => false,
            (Name::Regex(a), Name::Regex(b)) => a == b,
            (Name::Regex(_), Name::Pattern(name)) | (Name::Pattern(name), Name::Regex(_)) => {
                name == "*" || !name.contains('*')
            }
            (Name::Pattern(_), Name::Pattern(_)) => true,
        }
    }

    /// Whether it only gets copies.
    fn is_shadow(&self) -> bool {
        self.object["spec"]["shadow"] == true
    }

    fn has_host(&self, name: &str, port: Option<&str>) -> bool {
        match &self.name {
            Name::Unnamed => true,
            Name::Regex(regex) => is_whole(regex, name),
            Name::Pattern(pattern) => match pattern.split_once(':') {
                Some((pattern, wanted)) => has_name(pattern, name) && port == Some(wanted),
                None => has_name(pattern, name),
            },
        }
    }

    fn has_path(&self, path: &str) -> bool {
        let folded = path.to_ascii_lowercase();
        let path = if self.case_sensitive { path } else { &folded };
        match self.kind {
            Kind::Exact => path == self.path,
            Kind::Prefix => path.starts_with(&self.path),
            Kind::Regex => is_whole(&self.path, path),
        }
    }

    fn holds(&self, ask: &Ask) -> bool {
        let parameter = ask
            .query
            .as_deref()
            .and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("q=")));
        self.method
            .as_deref()
            .is_none_or(|method| method == ask.method.as_str())
            && self
                .headers
                .iter()
                .all(|condition| condition.fits(ask.team))
            && self.query.iter().all(|condition| condition.fits(parameter))
    }

    /// Whether every path of it is in a claimed one. What an expression begins with does not matter here: all that have the
    /// same text are in the same claim.
    fn is_below(&self, claimed: &[String]) -> bool {
        if claimed.is_empty() {
            return true;
        }
        let has_case = claimed
            .iter()
            .any(|segment| segment.bytes().any(|byte| byte.is_ascii_alphabetic()));
        let path = unslashed(&self.path);
        let whole: Vec<_> = path.split('/').skip(1).collect();
        let certain = match self.kind {
            Kind::Regex => return false,
            Kind::Exact => &whole[..],
            // The last segment of a prefix may go on.
            Kind::Prefix => &whole[..whole.len() - 1],
        };
        (self.case_sensitive || !has_case)
            && certain.len() >= claimed.len()
            && claimed.iter().zip(certain).all(|(a, b)| a == b)
    }

    /// Hostname and path: who has it in unclaimed space has it whatever the port, the case and the other conditions are.
    fn pair(&self) -> (Name, String, Kind) {
        let name = match &self.name {
            Name::Pattern(pattern) => {
                Name::Pattern(pattern.split(':').next().unwrap_or_default().to_owned())
            }
            other => other.clone(),
        };
        let path = if self.kind == Kind::Regex {
            self.path.clone()
        } else {
            self.path.to_ascii_lowercase()
        };
        (name, path, self.kind)
    }

    /// Equal for Mappings that share their traffic.
    fn group(&self) -> impl Ord + use<> {
        (
            (
                self.name.clone(),
                self.path.clone(),
                self.kind,
                self.case_sensitive,
            ),
            (
                self.precedence,
                self.method.clone(),
                self.headers.clone(),
                self.query.clone(),
            ),
        )
    }

    /// The greatest wins.
    fn rank(&self) -> impl Ord + use<> {
        let weight = |condition: &Condition| {
            condition.name.len() + condition.value.len() + usize::from(condition.regex)
        };
        let named = match &self.name {
            Name::Unnamed => None,
            Name::Pattern(text) => Some((text, false)),
            Name::Regex(text) => Some((text, true)),
        };
        let pseudo = |name: &str, value: &str, regex| Condition {
            name: name.to_owned(),
            value: value.to_owned(),
            regex,
        };
        let authority = named.map(|(text, regex)| pseudo(":authority", text, regex));
        let method = self
            .method
            .as_ref()
            .map(|text| pseudo(":method", text, false));
        let headers: Vec<_> = self
            .headers
            .iter()
            .cloned()
            .chain(authority)
            .chain(method)
            .collect();
        let key = |condition: &Condition| format!("{}-{}", condition.name, condition.value);
        let keys: Vec<_> = headers.iter().chain(&self.query).map(key).collect();
        let tie = named.map_or_else(String::new, |(text, regex)| {
            format!("{}{text}", if regex { "~" } else { "" })
        });
        let kind = match self.kind {
            Kind::Exact => "exact",
            Kind::Prefix => "prefix",
            Kind::Regex => "regex",
        };
        let case = if self.case_sensitive { "" } else { " i" };
        (
            (self.precedence, self.path.len(), self.kind == Kind::Exact),
            (
                headers.iter().map(weight).sum::<usize>(),
                self.query.iter().map(weight).sum::<usize>(),
            ),
            (
                self.path.clone(),
                self.method.clone().unwrap_or_else(|| "GET".to_owned()),
                keys,
            ),
            format!("{tie} {kind}{case}"),
        )
    }
}

impl Condition {
    fn fits(&self, value: Option<&str>) -> bool {
        value.is_some_and(|value| {
            if self.regex {
                is_whole(&self.value, value)
            } else {
                self.value == value
            }
        })
    }
}

fn conditions(fields: &Value, regex: bool) -> Vec<Condition> {
    let fields: BTreeMap<_, _> = fields.as_object().into_iter().flatten().collect();
    fields
        .into_iter()
        .map(|(name, value)| Condition {
            name: name.clone(),
            value: value.as_str().unwrap_or_default().to_owned(),
            regex,
        })
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "the expression is anchored here")]
fn is_whole(regex: &str, text: &str) -> bool {
    thread_local! {
        static READ: RefCell<BTreeMap<String, Option<Regex>>> = RefCell::default();
    }
    READ.with_borrow_mut(|read| {
        if !read.contains_key(regex) {
            let anchored = Regex::new(&format!("^(?:{regex})$"));
            read.insert(regex.to_owned(), anchored.ok());
        }
        let found = read[regex].as_ref();
        found.is_some_and(|regex| regex.is_match(text))
    })
}
