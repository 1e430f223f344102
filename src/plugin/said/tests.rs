use clap::Parser as _;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::{
    plugin::{
        args::Cli,
        facts::{Origin, Scope},
        output::{Format, Page, Verdict},
        page,
        source::{compiled, facts},
        state::State,
    },
    resource::{
        Group, Origin as Found, Positions,
        decode::{self, Decoded},
    },
    source::kube::once::Unread,
};

const LOST: &str = "PST2007 at spec.hostname: a.example.com/a/ belongs to namespace b, whose object Mapping b/a is older. Choose another. PST3002 at spec.service: no Service. Create it.";

/// Mappings of namespace `a`, and its claim.
fn set(prefixes: &[(&str, &str)]) -> ResourceSet {
    let mappings = prefixes.iter().map(|(name, prefix)| {
        json!({
            "apiVersion": "postern.dev/v1alpha1", "kind": "Mapping",
            "metadata": {"namespace": "a", "name": name},
            "spec": {
                "hostname": "a.example.com", "prefix": prefix, "hostRedirect": true,
                "service": "b.example.com",
            },
        })
    });
    let claim = json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": "RouteClaim", "metadata": {"name": "c"},
        "spec": {"hostnames": ["c.example.com"], "namespaces": {"names": ["a"]}},
    });
    let mut set = ResourceSet::default();
    for manifest in mappings.chain([claim]) {
        match decode::object(&manifest, Found::Cluster, "", Positions::default()) {
            Decoded::Object(object) => set.insert(object),
            other => panic!("{other:?}"),
        }
    }
    set
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(Group::Postern, Kind::Mapping, "a", name)
}

/// Two Mappings of one namespace, the only one that may be read unless all may.
fn known(may_read_all: bool) -> Facts {
    let options = Facts::for_tests().compiled().unwrap().options.clone();
    let set = set(&[("first", "/a/"), ("second", "/b/")]);
    let mut facts = facts(compiled(set, options), Origin::Cluster, Scope::default());
    if !may_read_all {
        facts.unread.push(Unread {
            kind: Kind::Mapping,
            resource: "mappings.postern.dev".to_owned(),
            namespace: None,
            except: vec!["a".to_owned()],
            forbidden: true,
            why: String::new(),
        });
    }
    facts
}

fn states(facts: &Facts) -> Vec<State> {
    let all = facts.objects.iter();
    let mappings = all.filter(|known| known.view.kind == "Mapping");
    mappings.map(|known| State::of(known, facts)).collect()
}

async fn answer(facts: &Facts, words: &[&str]) -> Page {
    let cli = Cli::parse_from(["kubectl-postern"].iter().chain(words));
    page(&cli, facts, Timestamp::UNIX_EPOCH).await.unwrap()
}

#[test]
fn an_object_loses_what_its_status_says_where_others_may_not_be_read() {
    let said = |text: &str| {
        let second = (key("second"), String::new());
        Said::from([(key("first"), text.to_owned()), second])
    };
    let partly = "PST2013 at spec.prefix: A part belongs to others. Leave it so.";
    for (may_read_all, text, first) in [
        (false, LOST, State::Refused),
        (false, partly, State::Live),
        (
            false,
            "PST1003 at spec.x: no such field. Mend it.",
            State::Live,
        ),
        (true, LOST, State::Live),
    ] {
        let mut facts = known(may_read_all);
        believe(&mut facts, &said(text));
        assert_eq!(states(&facts), [first, State::Live], "{text}");
        let is_lost = first == State::Refused;
        let known = facts.object("Mapping a/first").unwrap();
        assert_eq!(known.view.asks.is_some(), is_lost, "{text}");
        let codes: Vec<_> = known.view.diagnostics.iter().map(|d| &*d.code).collect();
        let told = match text {
            LOST if !may_read_all => vec!["PST2007"],
            _ if text == partly => vec!["PST2013"],
            _ => Vec::new(),
        };
        assert_eq!(codes, told, "{text}");
        let routes = facts.compiled().unwrap().set.mappings.len();
        assert_eq!(routes, if is_lost { 1 } else { 2 }, "{text}");
    }
}

#[test]
fn what_nobody_has_ruled_on_is_not_known_where_others_may_not_be_read() {
    for (may_read_all, state) in [(false, State::Unknown), (true, State::Live)] {
        let mut facts = known(may_read_all);
        believe(&mut facts, &Said::new());
        assert_eq!(states(&facts), [state, state]);
    }
}

#[tokio::test]
async fn every_verb_tells_what_is_lost_and_what_is_not_known() {
    let mut lost = known(false);
    believe(&mut lost, &Said::from([(key("first"), LOST.to_owned())]));
    let all = known(true);
    for (words, of_lost, of_all) in [
        (&["status"][..], Verdict::Problems, Verdict::Clean),
        (&["mine"], Verdict::Problems, Verdict::Clean),
        (&["conflicts"], Verdict::Problems, Verdict::Clean),
        (
            &["who", "other.example.com"],
            Verdict::Unknown,
            Verdict::Clean,
        ),
        (&["who", "a.example.com"], Verdict::Unknown, Verdict::Clean),
        (
            &["why", "http://a.example.com/a/x"],
            Verdict::Unknown,
            Verdict::Clean,
        ),
        (
            &["why", "http://a.example.com/b/x"],
            Verdict::Unknown,
            Verdict::Clean,
        ),
        (
            &["why", "http://a.example.com/c/"],
            Verdict::Unknown,
            Verdict::Problems,
        ),
        // Whoever has it by a claim is known, with all objects.
        (
            &["why", "http://c.example.com/"],
            Verdict::Problems,
            Verdict::Problems,
        ),
    ] {
        let page = answer(&lost, words).await;
        assert_eq!(page.verdict, of_lost, "{words:?}");
        let text = page.render(Format::Table, false).unwrap();
        let line = "as far as can be told: you may not read mappings.postern.dev in all namespaces, only in a";
        assert_eq!(
            text.contains(line),
            words != ["status"] && words[1..] != ["http://c.example.com/"],
            "{words:?}: {text}"
        );
        let page = answer(&all, words).await;
        assert_eq!(
            (page.verdict, &page.data["unknown"]),
            (of_all, &Value::Null),
            "{words:?}"
        );
    }
    let routes = answer(&lost, &["routes"])
        .await
        .render(Format::Table, false);
    let routes = routes.unwrap();
    assert!(
        routes.contains("/b/") && !routes.contains("/a/"),
        "{routes}"
    );
    let why = answer(&lost, &["why", "http://a.example.com/a/x"]).await;
    assert_eq!(why.data["refused"][0]["because"]["code"], "PST2007");
}

#[test]
fn what_a_status_says_holds_for_an_object_as_it_was() {
    let said = Said::from([(key("first"), LOST.to_owned())]);
    let all = set(&[("first", "/a/"), ("second", "/b/")]);
    for (then, holds) in [("/a/", true), ("/c/", false)] {
        let mut then = set(&[("first", then), ("second", "/b/")]);
        assert_eq!(still_said(&said, &all, &then).is_empty(), !holds);
        then.remove(&key("first"));
        restore(&said, &all, &mut then);
        assert!(then.mappings.contains_key(&key("first")));
    }
}

#[test]
fn the_sentences_of_a_status_are_told_apart() {
    let two = "PST2007: It belongs to b. Choose another. PST2013 at spec.prefix: A part (PST2012: no) of a.example.com is lost. Leave it. And 3 more.";
    for (text, found) in [
        (LOST, &[("PST2007", "spec.hostname")][..]),
        (two, &[("PST2007", ""), ("PST2013", "spec.prefix")]),
        ("PST2007", &[]),
        ("PST9999: unknown. Go on.", &[]),
        ("PST3002: no Service. Create it.", &[]),
        ("", &[]),
    ] {
        let read = conflicts_in(text);
        let read: Vec<_> = read.iter().map(|d| (&*d.code, &*d.field)).collect();
        assert_eq!(read, found, "{text}");
    }
    let first = &conflicts_in(LOST)[0];
    assert!(first.message.ends_with("is older"), "{first:?}");
    assert_eq!(first.next, "Choose another");
}
