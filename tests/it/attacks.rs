//! Attempts of a namespace with full rights on its own objects to take what belongs to others: each succeeds where nothing
//! defends, none in claimed space, and each that fails carries the code that says why.

pub(crate) mod plan;

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderName;
use postern::{
    compile::{Compiler, Environment, Options},
    graph::Graph,
    report::Report,
    resource::{AnyObject, ResourceSet},
    source::annotation,
};
use serde_json::Value;

use self::plan::{ATTACKER, Asked, Attack, Defence, attacks, futile, world};
use crate::ownership::asking::{Ask, connection, object};

/// What came of an attack.
#[derive(Debug)]
struct Outcome {
    /// What changed, if anything.
    success: Option<String>,
    /// The codes that the attacker's objects carry.
    codes: BTreeSet<String>,
}

fn options() -> Options {
    Options {
        namespace: "postern".into(),
        installation: "default".into(),
        own_ports: postern::compile::OWN_PORTS.to_vec(),
        environment: Environment::Cluster {
            domain: "cluster.local".into(),
            own_addresses: Vec::new(),
            echo: Some(([127, 0, 0, 1], 9).into()),
        },
    }
}

/// What the sources make of manifests.
fn read(documents: &[Value]) -> Vec<AnyObject> {
    let mut all: Vec<_> = documents.iter().map(object).collect();
    let carried: Vec<_> = all
        .iter()
        .flat_map(|object| annotation::objects(object).objects)
        .map(|(_, object)| object)
        .collect();
    all.extend(carried);
    all
}

impl Asked {
    fn ask(&self) -> Ask {
        let (scheme, rest) = self.url.split_once("://").unwrap();
        let (authority, path) = rest.split_at(rest.find('/').unwrap());
        let (path, query) = path
            .split_once('?')
            .map_or((path, None), |(path, query)| (path, Some(query)));
        let headers = self.headers.iter();
        let headers =
            headers.map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.clone()));
        Ask {
            tls: scheme == "https",
            authority: authority.to_owned(),
            path: path.to_owned(),
            query: query.map(str::to_owned),
            headers: headers.collect(),
            ..Ask::default()
        }
    }
}

impl Attack {
    fn answers(&self, graph: &Graph) -> Vec<String> {
        let asked = self.ask.iter();
        let done = asked.map(|asked| match asked.connection() {
            Some((port, name)) => connection(graph, port, name),
            None => asked.ask().done(graph).map(|done| done.whole),
        });
        done.map(Option::unwrap_or_default).collect()
    }

    /// What an answer must not hold: of a URL, its certificate.
    fn aim(&self, graph: &Graph) -> Option<String> {
        let aim = self.reaches.as_deref()?;
        if !aim.starts_with("https://") {
            return Some(aim.to_owned());
        }
        let asked = Asked {
            url: aim.to_owned(),
            headers: BTreeMap::new(),
        };
        let whole = asked.ask().done(graph)?.whole;
        let (digest, _) = whole.split_once(' ').unwrap();
        assert!(digest.len() > 20, "{whole}");
        Some(digest.to_owned())
    }

    fn run(&self, defence: Defence) -> Outcome {
        let mut compiler = Compiler::new(options());
        let mut set = ResourceSet::default();
        for object in read(&world(defence)) {
            set.insert(object);
        }
        let (before, _) = compiler.compile(&set);
        let hostile = read(&self.objects());
        let mut now = compiler.compile(&set);
        for _ in 0..if self.again { 3 } else { 1 } {
            for object in &hostile {
                set.remove(object.key());
            }
            now = compiler.compile(&set);
            assert_eq!(self.answers(&now.0), self.answers(&before), "{}", self.name);
            for object in &hostile {
                set.insert(object.clone());
            }
            now = compiler.compile(&set);
        }
        let (before, after) = (self.answers(&before), self.answers(&now.0));
        let success = match self.aim(&now.0) {
            Some(aim) => after.iter().any(|answer| answer.contains(&aim)),
            None => before != after,
        };
        Outcome {
            success: success.then(|| format!("{before:?} became {after:?}")),
            codes: codes(&now.1),
        }
    }

    /// What is not as it must be where something defends.
    fn fails(&self, defence: Defence, wanted: Option<&str>) -> Option<String> {
        let Outcome { success, codes } = self.run(defence);
        if let Some(success) = success {
            return Some(format!("{}: {success}", self.name));
        }
        let says = wanted.is_none_or(|code| codes.contains(code));
        (!says).then(|| format!("{}: the codes are {codes:?}, without {wanted:?}", self.name))
    }
}

fn codes(report: &Report) -> BTreeSet<String> {
    let own = report
        .objects
        .iter()
        .filter(|object| &*object.key.namespace == ATTACKER);
    own.flat_map(|object| &object.diagnostics)
        .map(|diagnostic| diagnostic.code.to_string())
        .collect()
}

#[test]
fn every_attack_succeeds_where_nothing_defends() {
    let attacks = attacks();
    assert!(attacks.len() >= 50, "{} attacks", attacks.len());
    let names: BTreeSet<_> = attacks.iter().map(|attack| &attack.name).collect();
    assert_eq!(names.len(), attacks.len(), "names must differ");
    let failed = attacks
        .iter()
        .filter(|attack| attack.run(Defence::None).success.is_none());
    let failed: Vec<_> = failed.map(|attack| &attack.name).collect();
    assert!(failed.is_empty(), "these are no attacks: {failed:?}");
}

#[test]
fn no_attack_succeeds_in_claimed_space() {
    let attacks = attacks();
    let wrong: Vec<_> = attacks
        .iter()
        .filter_map(|attack| attack.fails(Defence::Claims, attack.claimed.as_deref()))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn first_come_defends_pairs_and_hosts_and_nothing_else() {
    let wrong = attacks()
        .into_iter()
        .filter_map(|attack| match attack.first_come.as_deref() {
            Some("taken") => {
                let taken = attack.run(Defence::FirstCome).success.is_some();
                (!taken).then(|| format!("{}: it is defended", attack.name))
            }
            code => attack.fails(Defence::FirstCome, code),
        });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn some_attacks_succeed_nowhere() {
    let wrong = futile().into_iter().flat_map(|attack| {
        [Defence::None, Defence::FirstCome, Defence::Claims]
            .map(|defence| attack.fails(defence, attack.claimed.as_deref()))
    });
    let wrong: Vec<_> = wrong.flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
