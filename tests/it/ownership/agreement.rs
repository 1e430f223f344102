//! `why`, a naive reading of the manifests and the real proxy say the same of every request.

use std::{collections::BTreeMap, io, net::SocketAddr};

use fastrand::Rng;
use http::Method;
use postern::{
    compile::{Options, compile},
    graph::{Authority, Graph},
    resource::ResourceSet,
    source::dir,
};
use serde_json::Value;

use super::{
    asking::{Ask, Done, options},
    naive::{self, World},
    world::{Drawer, Pool, STRANGER},
};
use crate::client::{Answer, Stream, tcp, tls};

/// Larger than what the properties look at: every request should find something to choose from.
pub(crate) const LARGE: Pool = Pool {
    claimed_names: &[
        "a.x.com",
        "b.x.com",
        "c.x.com",
        "d.y.com",
        "e.y.com",
        "*.x.com",
        "*.y.com",
        "*.z.com",
        "f.z.com",
        "bücher.com",
    ],
    names: &[
        "a.x.com",
        "b.x.com",
        "c.x.com",
        "d.y.com",
        "e.y.com",
        "f.z.com",
        "g.z.com",
        "*.x.com",
        "*.y.com",
        "*.z.com",
        "*",
        "*.com",
        "a.*",
        "*b.x.com",
        "bücher.com",
        "a.x.com:8080",
    ],
    claimed_paths: &["/", "/api", "/api/v1", "/shop/", "/%61pi/v2", "/static"],
    paths: &[
        "/",
        "/",
        "/",
        "/api/",
        "/api/",
        "/api/v1/",
        "/api/v1/users",
        "/api/v2/",
        "/shop/",
        "/shop/cart",
        "/static/",
        "/s",
        "/a",
        "/API/",
        "/shop/cart/items/",
    ],
    regexes: &[
        "/.*",
        "/api/.*",
        "/api/v[0-9]+/.*",
        "/shop/[a-z]+/?.*",
        ".*",
        "/(api|shop)/.*",
        "/static/.*[.]css",
    ],
    is_harsh: false,
};

const HOSTS: &[&str] = &[
    "a.x.com",
    "A.X.com",
    "b.x.com",
    "c.x.com.",
    "d.y.com",
    "e.y.com",
    "f.z.com",
    "g.z.com",
    "h.z.com",
    "q.x.com",
    "x.com",
    "other.org",
    "xn--bcher-kva.com",
    "a.x.com:8080",
    "a.org",
];
const PATHS: &[&str] = &[
    "/",
    "/api",
    "/api/",
    "/api/v1/users",
    "/api/v1/users/1",
    "/api//v1/./users",
    "/%61pi/v2/x",
    "/api/v3/x",
    "/API/x",
    "/shop/",
    "/shop/cart",
    "/shop/cart/items/2",
    "/static/a.css",
    "/static/../api/v1/x",
    "/sale",
    "/about",
    "/shop%2Fcart",
    "/api/v1",
];

/// How many requests there were, and of what kind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) asked: u32,
    pub(crate) routed: u32,
    /// Won by another than the longest path among those that fit host and path.
    pub(crate) not_longest: u32,
    pub(crate) in_claims: u32,
}

/// Objects, what they compile to, and what they mean.
pub(crate) struct Scene {
    pub(crate) manifests: String,
    documents: Vec<Value>,
    graph: std::sync::Arc<Graph>,
}

/// Connections that are kept, by the name that they were made for; empty for cleartext.
pub(crate) struct Client {
    cleartext: SocketAddr,
    tls: SocketAddr,
    kept: BTreeMap<String, Box<dyn Stream>>,
}

impl Scene {
    pub(crate) fn new(seed: u64) -> Self {
        let mut drawer = Drawer::new(seed, &LARGE);
        let mut documents = drawer.platform(12);
        documents.extend(drawer.teams("", 240, 3));
        documents.extend(drawer.hostile(STRANGER, 10));
        // Nothing is denied and no Mapping is closed as a whole: most requests should find something.
        documents.retain(|object| {
            !matches!(
                object["kind"].as_str(),
                Some("AuthService" | "Module" | "Listener")
            )
        });
        for object in &mut documents {
            if object["kind"] == "GatewaySettings"
                && object["spec"]["ownership"]["unclaimed"] == "Deny"
            {
                object["spec"]["ownership"]["unclaimed"] = "FirstCome".into();
            }
            if object["kind"] == "GatewaySettings" {
                object["spec"]["defaultHost"] = "Always".into();
            }
        }
        let manifests: Vec<_> = documents.iter().map(ToString::to_string).collect();
        let manifests = manifests.join("\n---\n");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("all.yaml"), &manifests).unwrap();
        let set = dir::load(&[folder.path().to_owned()], "default").unwrap();
        Self {
            graph: compiled(&set, &options()),
            manifests,
            documents,
        }
    }

    /// A request, with what is asked more often among what is worth asking.
    pub(crate) fn draw(random: &mut Rng) -> Ask {
        let mut one = |of: &[&'static str]| of[random.usize(..of.len())];
        let (authority, path) = (one(HOSTS).to_owned(), one(PATHS).to_owned());
        Ask {
            tls: random.u8(..16) == 0,
            authority,
            path,
            query: [None, None, Some("q=1"), Some("p&q=2")][random.usize(..4)].map(str::to_owned),
            method: if random.u8(..4) == 0 {
                Method::POST
            } else {
                Method::GET
            },
            team: [Some("one"), Some("two"), Some("three"), None][random.usize(..4)],
            headers: Vec::new(),
        }
    }

    /// Asks all three; an error is what they do not agree about.
    pub(crate) fn compare(
        &self,
        world: &World<'_>,
        ask: &Ask,
        client: &mut Client,
        tally: &mut Tally,
    ) -> Result<(), String> {
        tally.asked += 1;
        let why = ask.done(&self.graph);
        let path = ask.canonical(&self.graph);
        if let (Some(done), Some(path)) = (&why, &path) {
            Self::read(world, ask, path, done, tally)?;
        }
        let answer = client.send(ask);
        let expected = self.expected(ask, why.as_ref());
        let found = found(ask, answer)?;
        if expected.contains(&found) {
            return Ok(());
        }
        Err(format!(
            "the proxy says {found:?} to {ask:?}, and why says {expected:?}: {why:?}"
        ))
    }

    /// Whether the manifests say what `why` says.
    fn read(
        world: &World<'_>,
        ask: &Ask,
        path: &str,
        done: &Done,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let Some(host) = done
            .host
            .as_deref()
            .filter(|host| done.region.is_some() && *host != "claimed")
        else {
            return Ok(());
        };
        let (name, _) = naive::authority(&ask.authority);
        tally.in_claims += u32::from(world.cell(&name, path).is_some());
        let expected = world.route(host, ask, path);
        let members = done.members.as_ref();
        let found =
            members.map(|members| members.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>());
        tally.routed += u32::from(found.is_some());
        tally.not_longest += u32::from(expected.as_ref().is_some_and(|found| !found.is_longest));
        let expected = expected.map(|found| found.members);
        if found == expected {
            return Ok(());
        }
        Err(format!(
            "why says {found:?} of {ask:?}, and the manifests {expected:?}"
        ))
    }

    /// What the proxy may answer: a status, or who answers.
    fn expected(&self, ask: &Ask, why: Option<&Done>) -> Vec<String> {
        let status = |status: &str| vec![status.to_owned()];
        let Some(done) = why else {
            return status("400");
        };
        // A digest, or a word that says why there is none.
        let digest = done.whole.split(' ').next().unwrap_or_default();
        if ask.tls && digest.len() <= 20 {
            return status("no handshake");
        }
        let Some(members) = &done.members else {
            return status(if done.whole.contains("redirected") {
                "301"
            } else {
                "404"
            });
        };
        let path = ask.canonical(&self.graph).unwrap_or_default();
        if path.contains("%2F") && !self.graph.requests.allow_escaped_slashes {
            // A Mapping with an error of its own says so first, and so does one that nobody takes a share of.
            return ["400", "404", "503"].map(str::to_owned).into();
        }
        let chosen = members.iter().filter(|(_, share)| *share > 0);
        let mut all: Vec<_> = chosen.map(|(id, _)| self.answered_by(id)).collect();
        if all.is_empty() {
            // Nobody takes a share.
            all = status("404");
        }
        all
    }

    /// What an answer of this Mapping says.
    fn answered_by(&self, id: &str) -> String {
        let (namespace, name) = id.split_once('/').unwrap();
        let object = self.documents.iter().find(|object| {
            object["kind"] == "Mapping"
                && object["metadata"]["namespace"] == namespace
                && object["metadata"]["name"] == name
        });
        let spec = &object.unwrap()["spec"];
        let is_spoilt = spec["service"] != name
            || spec["rewrite"] != ""
            || !spec["nonsense"].is_null()
            || spec["weight"].is_string();
        if is_spoilt {
            "503".to_owned()
        } else {
            format!("{namespace}/{name}:80")
        }
    }
}

fn compiled(set: &ResourceSet, options: &Options) -> std::sync::Arc<Graph> {
    compile(set, options).0
}

/// Who answered, or the status of what the proxy said itself.
fn found(ask: &Ask, answer: io::Result<Answer>) -> Result<String, String> {
    match answer {
        Ok(answer) if answer.status == 200 => {
            let told: Value =
                serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
            Ok(told["service"].as_str().unwrap_or_default().to_owned())
        }
        Ok(answer) => Ok(answer.status.to_string()),
        Err(_) if ask.tls => Ok("no handshake".to_owned()),
        Err(error) => Err(format!("{ask:?}: {error}")),
    }
}

impl Client {
    pub(crate) fn new(cleartext: SocketAddr, tls: SocketAddr) -> Self {
        Self {
            cleartext,
            tls,
            kept: BTreeMap::new(),
        }
    }

    /// Sends one request on the connection for its name, and on a new one if that had been ended.
    fn send(&mut self, ask: &Ask) -> io::Result<Answer> {
        let name = match Authority::parse(&ask.authority) {
            Ok(authority) if ask.tls => authority.host().to_owned(),
            _ => String::new(),
        };
        if let Some(mut kept) = self.kept.remove(&name)
            && let Ok(answer) = exchange(&mut *kept, ask)
        {
            self.keep(name, kept, &answer);
            return Ok(answer);
        }
        let mut fresh: Box<dyn Stream> = if ask.tls {
            Box::new(tls(self.tls, &name)?)
        } else {
            Box::new(tcp(self.cleartext)?)
        };
        let answer = exchange(&mut *fresh, ask)?;
        self.keep(name, fresh, &answer);
        Ok(answer)
    }

    fn keep(&mut self, name: String, stream: Box<dyn Stream>, answer: &Answer) {
        let ends = answer
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if !ends {
            self.kept.insert(name, stream);
        }
    }
}

fn exchange(stream: &mut dyn Stream, ask: &Ask) -> io::Result<Answer> {
    let mut head = format!("{} {}", ask.method, ask.path);
    if let Some(query) = &ask.query {
        head = format!("{head}?{query}");
    }
    head = format!("{head} HTTP/1.1\r\nhost: {}\r\n", ask.authority);
    if let Some(team) = ask.team {
        head = format!("{head}x-team: {team}\r\n");
    }
    if ask.method == Method::POST {
        head += "content-length: 0\r\n";
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    Answer::read(stream, ask.method.as_str())
}

/// Compares so many requests, spread over worlds of which each has a gateway; `start` gives the addresses of one.
pub(crate) fn agree<G>(
    requests: u32,
    worlds: u32,
    mut start: impl FnMut(&str) -> (G, SocketAddr, SocketAddr),
) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let mut random = Rng::with_seed(u64::from(requests));
    for number in 0..worlds {
        let scene = Scene::new(u64::from(number));
        let (_gateway, cleartext, tls) = start(&scene.manifests);
        let world = World::new(&scene.documents);
        let mut client = Client::new(cleartext, tls);
        for _ in 0..requests / worlds {
            let ask = Scene::draw(&mut random);
            scene
                .compare(&world, &ask, &mut client, &mut tally)
                .map_err(|why| format!("world {number}: {why}"))?;
        }
    }
    Ok(tally)
}

impl Tally {
    /// Whether the requests were worth asking.
    pub(crate) fn is_worth(&self) -> bool {
        100 * self.routed >= 60 * self.asked && 100 * self.not_longest >= 20 * self.asked
    }
}
