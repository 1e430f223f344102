//! What a namespace writes into its objects is told to nobody else: of other people's objects a status says kind, namespace
//! and name, and of a claim its name; whom to ask only to who is refused.

use std::collections::BTreeSet;

use fastrand::Rng;
use postern::{
    compile::compile,
    report::{Code, ObjectReport},
    resource::Kind,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    asking::{options, set},
    cases, drawn, smallest,
};

/// Words that begin so are an object's own.
const WORD: &str = "secret";

/// Gives an object a word in what it says, in as many places as chance will have.
fn mark(object: &mut Value, word: &str, random: &mut Rng) {
    let named = |name: &str| match name.strip_prefix('*') {
        _ if name.contains(':') => name.to_owned(),
        Some(rest) if rest.starts_with('.') => format!("*.{word}{rest}"),
        None if !name.ends_with('*') => format!("{word}.{name}"),
        _ => name.to_owned(),
    };
    let below = |path: &str| format!("{}/{word}/", path.trim_end_matches('/'));
    let spec = &mut object["spec"];
    let mut change = |field: &str, new: &dyn Fn(&str) -> String| {
        let places = match spec.get_mut(field) {
            Some(Value::Array(list)) => list.iter_mut().collect(),
            one => Vec::from_iter(one),
        };
        for place in places {
            if let Some(text) = place.as_str().filter(|_| random.u8(..5) < 2) {
                *place = json!(new(text));
            }
        }
    };
    change("hostname", &named);
    change("hostnames", &named);
    change("host", &named);
    change("prefix", &below);
    change("paths", &below);
    change("rewrite", &below);
    change("service", &|_| word.to_owned());
    change("weight", &|_| word.to_owned());
    if object["kind"] == "RouteClaim" {
        object["spec"]["contact"] = json!(word);
    }
    if object["kind"] == "Mapping" && random.bool() {
        object["spec"]["headers"]["x-team"] = json!(word);
    }
    if object["kind"] == "Host" && random.bool() {
        object["spec"]["tlsSecret"] = json!({ "name": word });
    }
}

fn words(text: &str) -> BTreeSet<&str> {
    let parts = text.split(|c: char| !c.is_ascii_alphanumeric());
    // With its number: a remedy may speak of a secret.
    let marked = |part: &&str| {
        part.strip_prefix(WORD)
            .is_some_and(|number| !number.is_empty())
    };
    parts.filter(marked).collect()
}

/// All that the status of an object says.
fn texts(report: &ObjectReport, is_named: bool) -> Vec<&str> {
    let said = report.diagnostics.iter().flat_map(|found| {
        let next = (found.code != Code::ClaimedByOthers).then_some(&*found.next);
        [&*found.message].into_iter().chain(next)
    });
    let serves = report
        .serves
        .iter()
        .filter(|_| is_named)
        .map(|place| &**place);
    said.chain(serves).collect()
}

/// Whether it names where it serves. A Mapping that does not has the names of the Hosts that choose it by its labels.
fn is_named(objects: &[Value], report: &ObjectReport) -> bool {
    let object = objects.iter().find(|object| {
        let metadata = &object["metadata"];
        report.key.kind == Kind::Mapping
            && object["kind"] == "Mapping"
            && metadata["namespace"] == *report.key.namespace
            && metadata["name"] == *report.key.name
    });
    object.is_none_or(|object| {
        let spec = &object["spec"];
        let names = [
            &spec["hostname"],
            &spec["host"],
            &spec["headers"][":authority"],
        ];
        names.iter().any(|name| !name.is_null())
    })
}

fn tells_nothing_of_others(objects: &[Value]) -> Result<(), String> {
    let report = compile(&set(objects), &options()).1;
    for said in report.objects.iter() {
        let namespace = &*said.key.namespace;
        let own = |object: &&Value| object["metadata"]["namespace"] == namespace;
        let own: Vec<_> = objects.iter().filter(own).map(Value::to_string).collect();
        let mut own: BTreeSet<_> = own.iter().flat_map(|text| words(text)).collect();
        // What claims give it, it is told.
        let claims = report.objects.iter().filter(|claim| {
            let mut owners = claim.settled.owners().into_iter().flatten();
            owners.any(|owner| &**owner == namespace)
        });
        let given: Vec<_> = claims.flat_map(|claim| &claim.serves).collect();
        own.extend(given.iter().flat_map(|place| words(place)));
        // Claims belong to no namespace.
        let is_claim = namespace.is_empty();
        for text in texts(said, is_named(objects, said))
            .into_iter()
            .filter(|_| !is_claim)
        {
            if let Some(word) = words(text).difference(&own).next() {
                return Err(format!("{} is told {word}: {text}", said.key));
            }
        }
    }
    Ok(())
}

fn marked(seed: u64) -> Vec<Value> {
    let (mut objects, _) = drawn(seed);
    let mut random = Rng::with_seed(seed);
    for (number, object) in objects.iter_mut().enumerate() {
        if !matches!(object["kind"].as_str(), Some("Secret" | "Namespace")) {
            mark(object, &format!("{WORD}{number}"), &mut random);
        }
    }
    objects
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn a_status_tells_nothing_of_what_others_have_written(seed in any::<u64>()) {
        let verdict = smallest(&marked(seed), tells_nothing_of_others);
        prop_assert!(verdict.is_ok(), "seed {}: {}", seed, verdict.unwrap_err());
    }
}

#[test]
fn there_is_something_to_tell() {
    let mut told = BTreeSet::new();
    for seed in 0..200 {
        let report = compile(&set(&marked(seed)), &options()).1;
        let found = report.objects.iter().flat_map(|said| &said.diagnostics);
        told.extend(found.map(|found| found.code));
    }
    for code in [
        Code::Conflict,
        Code::ClaimedByOthers,
        Code::PartlyClaimed,
        Code::PartlyConflict,
        Code::LosesRequests,
        Code::HostConflict,
    ] {
        assert!(told.contains(&code), "{code} must be said somewhere");
    }
}
