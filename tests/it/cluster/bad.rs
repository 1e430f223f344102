//! A hundred good objects and a hundred bad ones in a real API server: what it refuses it explains, what it stores says why
//! it does not serve, the good ones serve, and mending one changes nothing about the others.

use std::{collections::BTreeMap, thread, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    installation::{Installation, LIMIT, a_mapping, condition, figure, is_ready, ours},
    platform::{attempt, said, shared},
    server::Server,
};
use crate::{
    client::Request,
    good_and_bad::{Bad, bad, good_mapping, surroundings},
};

const GOOD: usize = 100;

/// Where the objects of a manifest's kind are.
fn place(manifest: &Value) -> String {
    let kind = manifest["kind"].as_str().unwrap().to_lowercase();
    let namespace = manifest["metadata"]["namespace"].as_str();
    let plural = if kind.ends_with('s') {
        kind
    } else {
        kind + "s"
    };
    match (&*plural, namespace) {
        ("namespaces", _) => "/api/v1/namespaces".to_owned(),
        ("services" | "secrets", Some(namespace)) => {
            format!("/api/v1/namespaces/{namespace}/{plural}")
        }
        (_, Some(namespace)) => ours(&plural, namespace),
        (_, None) => panic!("{manifest} has no namespace"),
    }
}

/// The message with which a bad object is refused; none if it is stored.
fn refused(server: &Server, bad: &Bad) -> Option<String> {
    if let Some(text) = &bad.text {
        let output = attempt(server, &["create", "-f", "-"], text);
        assert!(!output.status.success(), "{}: {}", bad.what, said(&output));
        return Some(said(&output));
    }
    let manifest = bad.manifest();
    server.create(&place(&manifest), &manifest).err()
}

/// The objects of the kinds that have bad ones, by where they are.
fn objects(server: &Server) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for namespace in ["default", "other"] {
        for plural in ["mappings", "hosts", "listeners", "gatewaysettings"] {
            let place = ours(plural, namespace);
            let mut list = server.get(&place).unwrap();
            for object in list["items"].as_array_mut().unwrap() {
                let name = object["metadata"]["name"].as_str().unwrap();
                all.insert(format!("{place}/{name}"), object.take());
            }
        }
    }
    all
}

/// Waits until every object has said what it has to say of its generation, and nothing changes any more.
fn settled(
    server: &Server,
    what: &str,
    fits: impl Fn(&BTreeMap<String, Value>) -> Vec<String>,
) -> BTreeMap<String, Value> {
    let deadline = Instant::now() + LIMIT;
    let mut last = BTreeMap::new();
    loop {
        let now = objects(server);
        let wrong = fits(&now);
        if wrong.is_empty() && now == last {
            return now;
        }
        assert!(Instant::now() < deadline, "{what}: {}", wrong.join("\n"));
        last = now;
        // Longer than the pause between two writes of one status.
        thread::sleep(Duration::from_millis(1500));
    }
}

/// What is missing in the status of a bad object, if anything.
fn silent(bad: &Bad, object: Option<&Value>) -> Option<String> {
    let Some(object) = object else {
        return Some(format!("{} is not there", bad.what));
    };
    let status = &object["status"];
    let ready = condition(status, "Ready");
    let message = ready["message"].as_str().unwrap_or_default();
    // Code and field, what is wrong, and what to do.
    let about_all = matches!(&*bad.code, "PST1011" | "PST1012" | "PST2007");
    let head = message.split(": ").next().unwrap_or_default();
    let says = ready["status"] == "False"
        && status["observedGeneration"] == object["metadata"]["generation"]
        && message.contains(&bad.code)
        && (about_all || head.contains(" at spec"))
        && message.matches(". ").count() >= 1;
    (!says).then(|| format!("{}: {} is not told well in {status:#}", bad.what, bad.code))
}

/// What is missing in a refusal, if anything: it must name a field, and be of a length that people read.
fn unexplained(bad: &Bad, message: &str) -> Option<String> {
    let fields: Vec<_> = bad.spec.keys().collect();
    let named = bad.text.is_some()
        || message.contains(" spec.")
        || fields.iter().any(|field| message.contains(field.as_str()));
    let readable = message.len() > 20 && message.len() < 2000;
    (!named || !readable).then(|| format!("{}: {fields:?} in {message}", bad.what))
}

#[test]
fn a_hundred_bad_objects_are_refused_or_say_why_and_a_hundred_good_ones_serve() {
    let server = shared();
    let installation = Installation::new(server, "default", &["other"]);
    for manifest in surroundings()
        .into_iter()
        .chain((0..GOOD).map(good_mapping))
    {
        let made = server.create(&place(&manifest), &manifest);
        assert!(made.is_ok() || manifest["kind"] == "Namespace", "{made:?}");
    }
    // Who is first by name among those of one second would be first.
    thread::sleep(Duration::from_millis(1100));
    let gateway = installation.replica("one");
    let (mut kept, mut unclear) = (Vec::new(), Vec::new());
    for bad in bad() {
        match refused(server, &bad) {
            Some(message) => {
                figure(format_args!("{}: {}", bad.what, message.trim()));
                unclear.extend(unexplained(&bad, &message));
            }
            None => kept.push(bad),
        }
    }
    figure(format_args!("{} are stored", kept.len()));
    assert!(unclear.is_empty(), "{}", unclear.join("\n"));
    let at = |bad: &Bad| format!("{}/{}", place(&bad.manifest()), bad.what);
    let before = settled(server, "the bad ones say why", |objects| {
        let said = kept
            .iter()
            .filter_map(|bad| silent(bad, objects.get(&at(bad))));
        let good = (0..GOOD).map(|number| a_mapping("default", &format!("good-{number}")));
        let idle = good.filter(|path| !is_ready(&objects[path]["status"]));
        said.chain(idle.map(|path| format!("{path} is not ready")))
            .collect()
    });
    for number in 0..GOOD {
        let answer = gateway.get(&format!("http://x.com/good/{number}/"));
        assert_eq!(answer.status, 200, "good-{number}: {answer:?}");
    }
    assert_eq!(gateway.get("http://good.com/good/1/").status, 200);

    let mended = a_mapping("default", "service-not-found");
    let request = Request::get("http://x.com/bad/service-not-found/");
    assert_eq!(gateway.send(&request).status, 503);
    server
        .patch(&mended, &json!({"spec": {"service": "s"}}))
        .unwrap();
    gateway.send_until(&request, |answer| answer.status == 200);
    let mut after = settled(server, "the mended one is ready", |objects| {
        let is_ready = is_ready(&objects[&mended]["status"]);
        (!is_ready)
            .then(|| objects[&mended].to_string())
            .into_iter()
            .collect()
    });
    after.insert(mended.clone(), before[&mended].clone());
    let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    let touched: Vec<_> = after
        .iter()
        .filter(|(path, object)| version(object) != version(&before[*path]))
        .collect();
    assert!(touched.is_empty(), "{touched:#?}");
}
