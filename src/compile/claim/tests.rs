use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::{
    compile::{
        intern::Interner,
        mapping,
        settings::Settings,
        tests::{object, options},
    },
    crd::gateway_settings::Unclaimed,
    resource::AnyObject,
};

/// Claims by name: hostnames, paths and the one namespace.
fn claims(claims: &[(&str, &str, &str, &str)]) -> Claims {
    let mut resources = ResourceSet::default();
    for (name, host, path, namespace) in claims {
        resources.insert(object(&json!({
            "apiVersion": "postern.dev/v1alpha1", "kind": "RouteClaim",
            "metadata": { "name": name },
            "spec": { "hostnames": [host], "paths": [path], "namespaces": { "names": [namespace] } },
        })));
    }
    Claims::new(&resources, RequestPolicy::default()).0
}

/// What claims say of a route of namespace `own`.
fn placement(claims: &Claims, spec: &Value) -> Placement {
    placement_in(claims, spec, Unclaimed::FirstCome)
}

fn placement_in(claims: &Claims, spec: &Value, unclaimed: Unclaimed) -> Placement {
    let document = json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": "Mapping",
        "metadata": { "name": "m", "namespace": "own" }, "spec": spec,
    });
    let AnyObject::Mapping(object) = object(&document) else {
        panic!("{document} must be a Mapping");
    };
    let lowered = mapping::lower(
        &object,
        &object.spec.read(),
        &Settings::new(&options()),
        &mut Interner::default(),
    );
    let matching = lowered.matching.as_ref().unwrap();
    claims.place("own", matching, unclaimed)
}

/// Where a route of namespace `own` may serve: names of claims, `-` for what is unclaimed; then whether something is said.
fn placed(claims: &Claims, spec: &Value) -> (String, Vec<u16>) {
    let placement = placement(claims, spec);
    let regions = placement.regions.iter().map(|region| match region {
        RegionKey::Unclaimed => "-",
        RegionKey::Claim(name) => name,
    });
    let codes = placement.findings.0.iter();
    (
        regions.collect::<Vec<_>>().join(" "),
        codes.map(|found| found.code.number()).collect(),
    )
}

#[test]
fn a_route_serves_where_its_namespace_may() {
    let claims = claims(&[
        ("a", "x.com", "/a", "own"),
        ("a-b", "x.com", "/a/b", "other"),
        ("c", "x.com", "/c", "other"),
        ("low", "*.y.com", "/", "other"),
        ("high", "z.y.com", "/z", "own"),
    ]);
    let prefix = |hostname: &str, prefix: &str| json!({ "hostname": hostname, "prefix": prefix, "service": "s" });
    let with = |mut spec: Value, field: &str, value: Value| {
        spec[field] = value;
        spec
    };
    let exact = |path| with(prefix("x.com", path), "prefixExact", json!(true));
    let regex = |path| with(prefix("x.com", path), "prefixRegex", json!(true));
    let any_case = |path| with(prefix("x.com", path), "caseSensitive", json!(false));
    let host_regex = |host: &str, path: &str| json!({ "host": host, "hostRegex": true, "prefix": path, "service": "s" });
    for (spec, regions, codes) in [
        (prefix("x.com", "/a/"), "a", &[2013][..]),
        (prefix("x.com", "/a/x"), "a", &[]),
        (prefix("x.com", "/a"), "a -", &[2013]),
        (prefix("x.com", "/a/b/"), "", &[2012]),
        (prefix("x.com", "/a/b"), "a", &[2013]),
        (prefix("x.com", "/ab"), "-", &[]),
        (prefix("x.com", "/c/d"), "", &[2012]),
        (prefix("x.com", "/c"), "-", &[2013]),
        (prefix("x.com", "/"), "a -", &[2013]),
        (prefix("x.com:8080", "/c/"), "", &[2012]),
        (prefix("X.COM.", "/c/"), "", &[2012]),
        (exact("/a"), "a", &[]),
        (exact("/c"), "", &[2012]),
        (exact("/cd"), "-", &[]),
        (exact("/"), "-", &[]),
        (regex("/c/.*"), "", &[2012]),
        (regex("/c.*"), "-", &[2013]),
        (regex("/(c|d)/.*"), "a -", &[2013]),
        (any_case("/C/"), "-", &[2013]),
        (any_case("/A/x"), "a -", &[]),
        (prefix("q.y.com", "/"), "", &[2012]),
        (prefix("z.y.com", "/z/"), "high", &[]),
        (prefix("z.y.com", "/"), "high", &[2013]),
        (prefix("*.y.com", "/"), "high", &[2013]),
        (prefix("*.com", "/z/"), "high -", &[2013]),
        (prefix("*", "/zz/"), "-", &[2013]),
        (prefix("other.org", "/"), "-", &[]),
        (host_regex("x[.]com", "/c/"), "-", &[2013]),
        (host_regex("w[.]com", "/c/"), "-", &[2013]),
        (json!({ "prefix": "/a/", "service": "s" }), "a -", &[]),
    ] {
        let (found, said) = placed(&claims, &spec);
        assert_eq!((&*found, &*said), (regions, codes), "{spec}");
    }
}

#[test]
fn who_is_refused_is_sent_to_the_owner_of_the_path_that_it_names() {
    let claims = claims(&[
        ("big", "*.example.com", "/", "web"),
        ("cart", "shop.example.com", "/cart", "shop"),
    ]);
    let owner = |prefix: &str| {
        let spec = json!({ "hostname": "shop.example.com", "prefix": prefix, "service": "s" });
        placement(&claims, &spec).findings.0[0].message.clone()
    };
    // `/cart` begins as `/cartoon` does, which is of the other claim; that is hardly what was meant.
    for (prefix, claim) in [
        ("/cart", "cart"),
        ("/cart/", "cart"),
        ("/pay/", "big"),
        ("/", "big"),
    ] {
        let message = owner(prefix);
        assert!(
            message.ends_with(&format!("by RouteClaim {claim}")),
            "{prefix}: {message}"
        );
    }
}

#[test]
fn a_host_obeys_the_claim_on_all_paths_of_its_names() {
    let claims = claims(&[
        ("all", "*", "/", "platform"),
        ("suffix", "*.x.com", "/", "own"),
        ("part", "a.x.com", "/a", "other"),
        ("name", "b.x.com", "/", "other"),
    ]);
    for (hostname, claim) in [
        ("*", "all"),
        ("x.com", "all"),
        ("*.com", "all"),
        ("*.x.com", "suffix"),
        ("*.a.x.com", "suffix"),
        ("a.x.com", "suffix"),
        ("b.x.com:8443", "name"),
    ] {
        let found = claims.on_host(&hostname.parse().unwrap()).unwrap();
        assert_eq!(&*found.name, claim, "{hostname}");
    }
}

#[test]
fn who_has_only_some_paths_has_a_say_where_nobody_else_has_any() {
    let claims = claims(&[
        ("suffix", "*.x.com", "/", "own"),
        ("part", "a.x.com", "/a", "other"),
        ("one", "y.com", "/a", "own"),
        ("two", "y.com", "/b", "own"),
        ("mine", "z.com", "/a", "own"),
        ("theirs", "z.com", "/b", "other"),
    ]);
    for (hostname, namespace, said) in [
        ("a.x.com", "own", "yes"),
        ("a.x.com", "other", "no, suffix"),
        ("y.com:80", "own", "yes"),
        ("y.com", "other", "no, a part: one"),
        ("z.com", "own", "no, a part: theirs"),
        ("z.com", "other", "no, a part: mine"),
        ("*.com", "own", "nothing"),
    ] {
        let deciders = claims.deciders(&hostname.parse().unwrap());
        let found = match deciders.say(namespace) {
            Say::Nothing => "nothing".to_owned(),
            Say::Yes => "yes".to_owned(),
            Say::No(claim, Part::All) => format!("no, {}", claim.name),
            Say::No(claim, Part::SomePaths) => format!("no, a part: {}", claim.name),
        };
        assert_eq!(found, said, "{hostname} for {namespace}");
    }
}

#[test]
fn an_owner_is_named_and_many_are_counted() {
    let claim = |owners: &[&str]| Claim {
        name: "c".into(),
        unseen: false,
        owners: owners.iter().map(|owner| Arc::from(*owner)).collect(),
        contact: None,
    };
    for (owners, said) in [
        (&[][..], "nobody by RouteClaim c"),
        (&["a"], "namespace a by RouteClaim c"),
        (&["b", "a"], "namespaces a, b by RouteClaim c"),
        (
            &["a", "b", "c", "d", "e"],
            "namespaces a, b, c and 2 more by RouteClaim c",
        ),
    ] {
        assert_eq!(claim(owners).owner(), said);
    }
    let unseen = Claim {
        unseen: true,
        ..claim(&[])
    };
    let said = "namespaces with certain labels by RouteClaim c";
    assert_eq!(unseen.owner(), said);
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn what_claims_leave_to_a_route_is_said_exactly() {
    let claims = claims(&[
        ("cart", "x.com", "/cart", "other"),
        ("mine", "x.com", "/own", "own"),
        ("low", "*.y.com", "/", "other"),
        ("high", "z.y.com", "/z", "own"),
    ]);
    let route =
        |host: &str, prefix: &str| json!({ "hostname": host, "prefix": prefix, "service": "s" });
    let any_case =
        json!({ "hostname": "x.com", "prefix": "/cart", "caseSensitive": false, "service": "s" });
    let exact =
        json!({ "hostname": "x.com", "prefix": "/cart", "prefixExact": true, "service": "s" });
    let dotted = self::claims(&[("dot", "x.com", "/a.b", "other")]);
    let mine = "serves what RouteClaim high gives namespace own";
    let rest = "serves the rest";
    for (claims, spec, unclaimed, kept, said) in [
        (
            &claims,
            route("x.com", "/cart"),
            Unclaimed::FirstCome,
            &["x.com~/cart[^/].*"][..],
            "x.com/cart and what is below it belong to others by RouteClaim cart; this object serves the paths that go on with the \
             same letters, such as /cart-1, as far as nobody has claimed them",
        ),
        (
            &dotted,
            route("x.com", "/a.b"),
            Unclaimed::FirstCome,
            &[r"x.com~/a\.b[^/].*"],
            "such as /a.b-1",
        ),
        (
            &claims,
            route("x.com", "/car"),
            Unclaimed::FirstCome,
            &[],
            rest,
        ),
        (&claims, any_case, Unclaimed::FirstCome, &[], rest),
        (
            &claims,
            route("x.com", "/cartoon"),
            Unclaimed::FirstCome,
            &[],
            "",
        ),
        (
            &claims,
            route("x.com", "/cart/"),
            Unclaimed::FirstCome,
            &[],
            "x.com/cart/ belongs to",
        ),
        (
            &claims,
            exact,
            Unclaimed::FirstCome,
            &[],
            "x.com/cart belongs to",
        ),
        (
            &claims,
            route("x.com", "/own"),
            Unclaimed::FirstCome,
            &[],
            "",
        ),
        (
            &claims,
            route("x.com", "/"),
            Unclaimed::FirstCome,
            &[],
            rest,
        ),
        (
            &claims,
            route("x.com", "/"),
            Unclaimed::Deny,
            &["x.com/own"],
            "by RouteClaim cart; this object serves what RouteClaim mine gives namespace own",
        ),
        (
            &claims,
            route("x.com", "/own"),
            Unclaimed::Deny,
            &["x.com/own"],
            "",
        ),
        (
            &claims,
            route("z.y.com", "/"),
            Unclaimed::FirstCome,
            &["z.y.com/z"],
            mine,
        ),
        (
            &claims,
            route("*.y.com", "/"),
            Unclaimed::FirstCome,
            &["z.y.com/z"],
            mine,
        ),
        (
            &claims,
            route("*.y.com", "/z/a"),
            Unclaimed::FirstCome,
            &["z.y.com/z/a"],
            mine,
        ),
    ] {
        let placement = placement_in(claims, &spec, unclaimed);
        let text = placement
            .findings
            .0
            .first()
            .map_or("", |found| &*found.message);
        assert_eq!(placement.kept, kept, "{spec}");
        let is_said = text.contains(said) && (text.is_empty() == said.is_empty());
        assert!(is_said, "{spec}: {text}");
    }
}

#[test]
fn what_only_begins_with_the_letters_of_a_claimed_path_is_hardly_meant() {
    let claims = claims(&[("mine", "x.com", "/own", "own")]);
    for (host, path, is_stray) in [
        ("x.com", "/own", true),
        ("x.com", "/own/", false),
        ("x.com", "/ow", false),
        ("x.com", "/", false),
        ("*.com", "/own", false),
    ] {
        let spec = json!({ "hostname": host, "prefix": path, "service": "s" });
        assert_eq!(placement(&claims, &spec).is_stray, is_stray, "{host}{path}");
    }
}
