//! The attacks of `tests/attacks/` in a real API server: written by a user with full rights on Postern's kinds in one namespace
//! and nothing else, and judged by real requests to a real gateway.

#[path = "siege/connection.rs"]
mod connection;

use std::{
    cell::Cell, collections::BTreeSet, fmt::Write as _, net::SocketAddr, path::Path, thread,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::server::{Server, TEAM_TOKEN, TEAM_USER};
use crate::{
    attacks::plan::{self, ATTACKER, Asked, Attack, Defence},
    client::{self, Request},
};

/// For anything that should come soon.
const PATIENCE: Duration = Duration::from_mins(1);
/// Requests until an attack that takes a share must have had one: of 1 %, chance alone misses so many once in 20,000 times.
const TRIES: usize = 1000;
/// The same where none must succeed.
const DOUBTS: usize = 5;

/// How many namespaces, routes and claims there are beside the world of the attacks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) namespaces: usize,
    pub(crate) routes: usize,
    pub(crate) claims: usize,
}

/// A gateway, and the API server that it reads.
pub(crate) struct Siege<'s> {
    pub(crate) server: &'s Server,
    pub(crate) cleartext: SocketAddr,
    pub(crate) tls: SocketAddr,
    /// Of the port of TCP.
    pub(crate) orders: SocketAddr,
    /// Its access log, which says who has a connection.
    pub(crate) log: &'s Path,
    pub(crate) diagnostics: SocketAddr,
    /// Of every so many attacks the status is waited for, because it is written at leisure.
    pub(crate) listens: usize,
    /// How often [`Siege::until_served`] was asked.
    pub(crate) marks: Cell<usize>,
}

/// What came of an attack.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    /// What changed, if anything.
    pub(crate) success: Option<String>,
    /// The codes that the attacker's objects carry.
    pub(crate) codes: BTreeSet<String>,
    /// What the status of the first object says about `Ready`, if that was waited for.
    pub(crate) told: Option<String>,
    /// What the API server said to those that it did not take.
    pub(crate) refused: Vec<String>,
}

/// What came of an attack with each defence.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) attack: Attack,
    pub(crate) undefended: Verdict,
    pub(crate) first_come: Verdict,
    pub(crate) claimed: Verdict,
}

/// Where objects of this kind and namespace are.
fn place(object: &Value) -> String {
    let version = object["apiVersion"].as_str().unwrap();
    let root = if version == "v1" { "/api" } else { "/apis" };
    let kind = object["kind"].as_str().unwrap().to_lowercase();
    let plural = if kind.ends_with('s') {
        kind
    } else {
        kind + "s"
    };
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{root}/{version}/namespaces/{namespace}/{plural}"),
        None => format!("{root}/{version}/{plural}"),
    }
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

/// A name that is claimed whatever defends the others: no attack changes who answers for it.
const MARKED: &str = "mark.example.org";

/// Makes it served.
fn marked() -> Value {
    json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": "RouteClaim", "metadata": { "name": "attacked-mark" },
        "spec": { "hostnames": [MARKED], "namespaces": { "names": ["web"] } },
    })
}

/// What an API server takes of it.
fn plain(object: &Value) -> Value {
    let mut object = object.clone();
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.remove("creationTimestamp");
    if metadata.get("labels").is_some_and(Value::is_null) {
        metadata.remove("labels");
    }
    object
}

// === the world ===

/// What stands around the attacks: teams with routes and claims of their own. Every document of a `kubectl create`.
pub(crate) fn surroundings(size: Size) -> Vec<Value> {
    let mut all = Vec::new();
    let team = |number: usize| format!("team-{number:03}");
    for number in 0..size.namespaces {
        let labels = json!({ "tier": format!("t{}", number % 7) });
        all.push(json!({ "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": team(number), "labels": labels } }));
        all.push(service(&team(number)));
    }
    for number in 0..size.routes {
        let (owner, path) = (number % size.namespaces, number / size.namespaces);
        all.push(json!({
            "apiVersion": "postern.dev/v1alpha1", "kind": "Mapping",
            "metadata": { "namespace": team(owner), "name": format!("route-{path}") },
            "spec": { "hostname": format!("{}.example.org", team(owner)), "prefix": format!("/p{path}/"), "service": "own" },
        }));
    }
    for number in 0..size.claims {
        let (owner, part) = (number % size.namespaces, number / size.namespaces);
        let path = if part == 0 {
            "/".to_owned()
        } else {
            format!("/p{part}")
        };
        all.push(json!({
            "apiVersion": "postern.dev/v1alpha1", "kind": "RouteClaim",
            "metadata": { "name": format!("claim-{number}") },
            "spec": {
                "hostnames": [format!("{}.example.org", team(owner))], "paths": [path],
                "namespaces": { "names": [team(owner)] },
            },
        }));
    }
    all
}

fn service(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "namespace": namespace, "name": "own" },
        "spec": { "ports": [{ "name": "http", "port": 80 }] },
    })
}

/// The rights of the attacker: everything with Postern's kinds in its own namespace.
fn rights() -> [Value; 2] {
    let metadata = json!({ "namespace": ATTACKER, "name": "attacker" });
    [
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata,
            "rules": [{ "apiGroups": ["postern.dev"], "resources": ["*"], "verbs": ["*"] }],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "attacker" },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": TEAM_USER }],
        }),
    ]
}

/// Makes those who are attacked, without a claim.
pub(crate) fn populate(server: &Server) {
    let world = plan::world(Defence::FirstCome);
    for object in world.iter().chain(&rights()).chain([&marked()]) {
        let made = server.create(&place(object), &plain(object));
        assert!(
            made.is_ok() || object["kind"] == "Namespace",
            "{object}: {made:?}"
        );
    }
    for namespace in plan::world(Defence::FirstCome) {
        // One may have been there before, without its labels.
        if namespace["kind"] == "Namespace" {
            let path = format!("/api/v1/namespaces/{}", name(&namespace));
            let labels = json!({ "metadata": { "labels": namespace["metadata"]["labels"] } });
            server.patch(&path, &labels).unwrap();
        }
    }
}

// === impl Siege ===

impl Siege<'_> {
    /// Runs all attacks with each defence in turn.
    pub(crate) fn run(&self, attacks: &[Attack]) -> Vec<Row> {
        let settings = plan::settings(Defence::None).unwrap();
        self.server.create(&place(&settings), &settings).unwrap();
        self.until_settled(&settings);
        self.until_served();
        let undefended: Vec<_> = attacks
            .iter()
            .map(|attack| self.attack(attack, TRIES, None))
            .collect();
        let path = format!("{}/{}", place(&settings), name(&settings));
        self.server.delete(&path).unwrap();
        self.until_gone(&settings);
        self.until_served();
        let first_come: Vec<_> = attacks
            .iter()
            .map(|attack| self.attack(attack, DOUBTS, None))
            .collect();
        for claim in claims() {
            self.server.create(&place(&claim), &plain(&claim)).unwrap();
            self.until_settled(&claim);
        }
        self.until_served();
        let claimed = attacks.iter().enumerate().map(|(number, attack)| {
            let listen = number.is_multiple_of(self.listens).then_some(());
            self.attack(attack, DOUBTS, listen)
        });
        let claimed: Vec<_> = claimed.collect();
        let rows = attacks.iter().zip(undefended).zip(first_come).zip(claimed);
        rows.map(|(((attack, undefended), first_come), claimed)| Row {
            attack: attack.clone(),
            undefended,
            first_come,
            claimed,
        })
        .collect()
    }

    /// Writes the attack's objects, asks, and takes them away.
    pub(crate) fn attack(&self, attack: &Attack, tries: usize, listen: Option<()>) -> Verdict {
        let before = self.answers(&attack.ask);
        let mut verdict = Verdict::default();
        let objects = attack.objects();
        let mut written = self.write(&objects, &mut verdict);
        for _ in 0..if attack.again { 3 } else { 0 } {
            self.remove(&written);
            written = self.write(&objects, &mut verdict);
        }
        for object in written.iter().take(3).chain(written.last()) {
            verdict.codes.extend(self.until_settled(object));
        }
        self.until_served();
        verdict.told = listen.and_then(|()| Some(self.told(written.first()?)));
        let aim = attack.reaches.as_deref().map(|aim| self.aim(aim));
        let answers = std::iter::repeat_with(|| self.answers(&attack.ask));
        verdict.success = answers.take(tries).find_map(|after| {
            let success = match &aim {
                Some(aim) => after.iter().any(|answer| answer.contains(aim)),
                None => after != before,
            };
            success.then(|| format!("{before:?} became {after:?}"))
        });
        self.remove(&written);
        self.until_served();
        let after = self.answers(&attack.ask);
        assert_eq!(before, after, "{} must leave nothing behind", attack.name);
        verdict
    }

    /// Waits until the workers serve all that the gateway has read so far: what is written later.
    fn until_served(&self) {
        let number = self.marks.replace(self.marks.get() + 1);
        let mark = json!({
            "apiVersion": "postern.dev/v1alpha1", "kind": "Mapping",
            "metadata": { "namespace": "web", "name": format!("mark-{number}") },
            "spec": { "hostname": MARKED, "prefix": format!("/{number}/"), "service": "own" },
        });
        self.server.create(&place(&mark), &mark).unwrap();
        let request = Request::get(&format!("http://{MARKED}/{number}/"));
        let deadline = Instant::now() + PATIENCE;
        while request.try_send(self.cleartext).unwrap().status != 200 {
            assert!(Instant::now() < deadline, "{mark} is not served");
        }
        let path = format!("{}/{}", place(&mark), name(&mark));
        self.server.delete(&path).unwrap();
    }

    /// Writes what the API server takes from the attacker; returns those objects.
    fn write<'o>(&self, objects: &'o [Value], verdict: &mut Verdict) -> Vec<&'o Value> {
        let written = objects.iter().filter(|object| {
            let path = place(object);
            match self
                .server
                .send_as(TEAM_TOKEN, "POST", &path, &plain(object))
            {
                Ok(_) => true,
                Err(message) => {
                    verdict.refused.push(message);
                    false
                }
            }
        });
        written.collect()
    }

    fn remove(&self, objects: &[&Value]) {
        for object in objects {
            let path = format!("{}/{}", place(object), name(object));
            self.server
                .send_as(TEAM_TOKEN, "DELETE", &path, &Value::Null)
                .unwrap();
        }
        for object in objects {
            self.until_gone(object);
        }
    }

    fn aim(&self, aim: &str) -> String {
        if aim.starts_with("https://") {
            return self.certificate(aim);
        }
        aim.to_owned()
    }

    fn answers(&self, asked: &[Asked]) -> Vec<String> {
        asked.iter().map(|asked| self.answer(asked)).collect()
    }

    /// Everything about an answer that somebody could want to change: certificate, status, where to, and who answered.
    fn answer(&self, asked: &Asked) -> String {
        if let Some((port, name)) = asked.connection() {
            return self.connection(port, name);
        }
        let mut request = Request::get(&asked.url);
        for (name, value) in &asked.headers {
            request = request.header(name, value);
        }
        let tls = asked.url.starts_with("https://");
        let mut text = if tls {
            self.certificate(&asked.url)
        } else {
            String::new()
        };
        let address = if tls { self.tls } else { self.cleartext };
        match request.try_send(address) {
            Ok(answer) => {
                let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                let location = answer.header("location").unwrap_or_default();
                let service = told["service"].as_str().unwrap_or_default();
                let _ = write!(text, " {} {location} {service}", answer.status);
            }
            Err(error) if tls => {
                let _ = write!(text, " {error}");
            }
            Err(error) => panic!("{asked:?}: {error}"),
        }
        text
    }

    /// What is shown to a client that asks for the host of a URL.
    fn certificate(&self, url: &str) -> String {
        let host = url
            .trim_start_matches("https://")
            .split('/')
            .next()
            .unwrap();
        match client::tls(self.tls, host) {
            Ok(stream) => {
                let chain = stream.conn.peer_certificates().unwrap_or_default();
                format!("{:?}", chain.first())
            }
            Err(error) => error.to_string(),
        }
    }

    /// Waits until the gateway has read an object as the API server has it; returns its codes.
    fn until_settled(&self, object: &Value) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.reported(object) {
                let diagnostics = found["diagnostics"].as_array();
                let codes = diagnostics.into_iter().flatten();
                return codes
                    .filter_map(|found| Some(found["code"].as_str()?.to_owned()))
                    .collect();
            }
            assert!(
                Instant::now() < deadline,
                "the gateway does not see {object}"
            );
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until the status of an object is about it as it is; returns what it says.
    fn told(&self, object: &Value) -> String {
        let deadline = Instant::now() + PATIENCE;
        let path = format!("{}/{}", place(object), name(object));
        loop {
            let found = self.server.get(&path).unwrap();
            let status = &found["status"];
            if status["observedGeneration"] == found["metadata"]["generation"] {
                let conditions = status["conditions"].as_array().into_iter().flatten();
                let mut ready = conditions.filter(|condition| condition["type"] == "Ready");
                let message = ready.next().and_then(|ready| ready["message"].as_str());
                return message.unwrap_or_default().to_owned();
            }
            assert!(Instant::now() < deadline, "nothing is said about {object}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn until_gone(&self, object: &Value) {
        let deadline = Instant::now() + PATIENCE;
        while self.reported(object).is_some() {
            assert!(Instant::now() < deadline, "the gateway still sees {object}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn reported(&self, object: &Value) -> Option<Value> {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let url = format!(
            "http://localhost/report?object={namespace}/{}",
            name(object)
        );
        let answer = Request::get(&url).try_send(self.diagnostics).unwrap();
        let report: Value = serde_json::from_slice(&answer.body).unwrap();
        let mut found = report["objects"].as_array().into_iter().flatten();
        found.find(|found| found["kind"] == object["kind"]).cloned()
    }

    /// Attempts that only RBAC stands against, and what the API server says to them.
    pub(crate) fn forbidden(&self) -> Vec<(&'static str, Result<Value, String>)> {
        let claim = json!({
            "apiVersion": "postern.dev/v1alpha1", "kind": "RouteClaim", "metadata": { "name": "mine" },
            "spec": { "hostnames": ["shop.example.com"], "namespaces": { "names": [ATTACKER] } },
        });
        let label = json!({ "metadata": { "labels": { "team": "cart" } } });
        let weight = json!({ "spec": { "weight": 0 } });
        let claims = "/apis/postern.dev/v1alpha1/routeclaims";
        let mappings = "/apis/postern.dev/v1alpha1/namespaces";
        let attempts = [
            ("a claim of one's own", "POST", claims.to_owned(), &claim),
            (
                "a change of a claim",
                "PATCH",
                format!("{claims}/attacked-shop"),
                &claim,
            ),
            (
                "a label on one's own namespace",
                "PATCH",
                format!("/api/v1/namespaces/{ATTACKER}"),
                &label,
            ),
            (
                "a change of another's Mapping",
                "PATCH",
                format!("{mappings}/shop/mappings/root"),
                &weight,
            ),
            (
                "an object in another's namespace",
                "POST",
                format!("{mappings}/shop/mappings"),
                &weight,
            ),
            (
                "the settings",
                "POST",
                format!("{mappings}/postern/gatewaysettings"),
                &weight,
            ),
        ];
        attempts
            .map(|(what, method, path, body)| {
                (what, self.server.send_as(TEAM_TOKEN, method, &path, body))
            })
            .into()
    }
}

fn claims() -> Vec<Value> {
    let mut all = plan::world(Defence::Claims);
    all.retain(|object| object["kind"] == "RouteClaim");
    all
}

/// Takes the claims away again, for those who share the server.
pub(crate) fn lift(server: &Server) {
    for claim in claims().into_iter().chain([marked()]) {
        // A test that failed before may not have made it.
        let _gone = server.delete(&format!("{}/{}", place(&claim), name(&claim)));
    }
}

// === impl Row ===

impl Row {
    /// What is not as it must be.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let attack = &self.attack;
        let mut wrong = Vec::new();
        let is_refused = attack.elsewhere && !self.claimed.refused.is_empty();
        // The API server says itself how old an object is, and who may write which kind.
        let must_succeed = !attack.old && !attack.elsewhere;
        if must_succeed && self.undefended.success.is_none() {
            wrong.push(format!("{}: no attack: {:?}", attack.name, self.undefended));
        }
        if let Some(success) = &self.claimed.success {
            wrong.push(format!("{}: succeeds: {success}", attack.name));
        }
        let says = attack
            .claimed
            .as_ref()
            .is_none_or(|code| self.claimed.codes.contains(code));
        if !says && !is_refused && !attack.old {
            wrong.push(format!(
                "{}: {:?} without {:?}",
                attack.name, self.claimed, attack.claimed
            ));
        }
        // A warning is told by the condition that it is about.
        let code = attack.claimed.as_ref().filter(|code| *code != "PST2013");
        let told = self.claimed.told.as_ref();
        let is_told = code.is_none_or(|code| told.is_none_or(|told| told.contains(code)));
        if !is_told && !is_refused {
            wrong.push(format!(
                "{}: its status says {:?}",
                attack.name, self.claimed.told
            ));
        }
        if attack.elsewhere && self.claimed.refused.is_empty() {
            wrong.push(format!("{}: the API server took it", attack.name));
        }
        let is_taken = attack.first_come.as_deref() == Some("taken");
        if must_succeed && is_taken != self.first_come.success.is_some() {
            wrong.push(format!(
                "{}: by first come {:?}",
                attack.name, self.first_come
            ));
        }
        wrong
    }

    /// A line of the table: the attack, and what becomes of it with each defence.
    pub(crate) fn line(&self) -> String {
        let cell = |verdict: &Verdict, code: Option<&String>| match (&verdict.success, code) {
            (Some(_), _) => "succeeds".to_owned(),
            (None, Some(code)) if verdict.codes.contains(code) => format!("refused, {code}"),
            (None, _) if !verdict.refused.is_empty() => "refused by the API server".to_owned(),
            (None, _) => "fails".to_owned(),
        };
        format!(
            "| {} | {} | {} | {} |",
            self.attack.what,
            cell(&self.undefended, None),
            cell(&self.first_come, self.attack.first_come.as_ref()),
            cell(&self.claimed, self.attack.claimed.as_ref()),
        )
    }
}

/// How many succeed with each defence: none, first come, claims.
pub(crate) fn successes(rows: &[Row]) -> [usize; 3] {
    let count =
        |of: fn(&Row) -> &Verdict| rows.iter().filter(|row| of(row).success.is_some()).count();
    [
        count(|row| &row.undefended),
        count(|row| &row.first_come),
        count(|row| &row.claimed),
    ]
}
