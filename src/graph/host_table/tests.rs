use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn table(patterns: &[&str]) -> HostTable<String> {
    let entries = patterns
        .iter()
        .map(|text| (text.parse().expect(text), (*text).to_owned()));
    entries.collect()
}

#[test]
fn the_most_specific_pattern_wins() {
    let all = [
        "*",
        "www.*",
        "www.example.*",
        "*.com",
        "*ple.com",
        "*.example.com",
        "*w.example.com",
        "www.example.com",
        "www.example.com:8080",
    ];
    let mut left = all.to_vec();
    while let Some(best) = left.pop() {
        let found = table(&all[..=left.len()])
            .best("www.example.com", Some(8080))
            .cloned();
        assert_eq!(found.as_deref(), Some(best));
    }
    assert_eq!(table(&all[1..]).best("other.org", None), None);
}

#[test]
fn sni_ignores_ports_of_patterns() {
    let table = table(&["a.com:8443", "*.b.com:1", "*.b.com", "*"]);
    assert_eq!(
        table.best_by_name("a.com").map(String::as_str),
        Some("a.com:8443")
    );
    assert_eq!(
        table.best_by_name("x.b.com").map(String::as_str),
        Some("*.b.com")
    );
    assert_eq!(table.best("a.com", None).map(String::as_str), Some("*"));
    assert_eq!(table.any().map(String::as_str), Some("*"));
}

#[test]
fn of_equal_patterns_the_first_counts() {
    let any = HostPattern::ANY;
    let table: HostTable<u8> = [(any.clone(), 1), (any, 2)].into_iter().collect();
    assert_eq!((table.len(), table.best("x", None)), (1, Some(&1)));
}

fn name() -> impl Strategy<Value = String> {
    prop::collection::vec("[ab]{1,2}", 1..4).prop_map(|labels| labels.join("."))
}

fn any_pattern() -> impl Strategy<Value = HostPattern> {
    let port = prop_oneof![4 => Just(""), 1 => Just(":1"), 1 => Just(":2")];
    let shape = prop_oneof![
        Just("N"),
        Just("*.N"),
        Just("*N"),
        Just("N.*"),
        Just("N*"),
        Just("*")
    ];
    (name(), shape, port).prop_map(|(name, shape, port)| {
        let text = format!("{}{port}", shape.replace('N', &name));
        text.parse().expect("a generated pattern must be one")
    })
}

proptest! {
    #[test]
    fn the_index_finds_what_a_list_finds(
        patterns in prop::collection::vec(any_pattern(), 0..20),
        host in name(),
        port in prop::option::of(1..3_u16),
    ) {
        let table: HostTable<HostPattern> = patterns.iter().cloned().map(|p| (p.clone(), p)).collect();
        let mut fitting: Vec<_> = patterns.iter().filter(|p| p.matches(&host, port)).collect();
        fitting.sort_by_key(|pattern| Reverse(pattern.specificity()));
        fitting.dedup();
        let mut found = Vec::new();
        table.each(&host, port, |pattern| found.push(pattern));
        prop_assert_eq!(table.best(&host, port), fitting.first().copied());
        prop_assert_eq!(found, fitting);
    }

    #[test]
    fn replacing_values_is_building_the_table_again(
        patterns in prop::collection::vec(any_pattern(), 1..200),
        changed in prop::collection::vec((any::<prop::sample::Index>(), 0..9_u32), 0..5),
        stranger in any_pattern(),
    ) {
        let mut values: BTreeMap<_, _> = patterns.iter().cloned().map(|pattern| (pattern, 0)).collect();
        let before: HostTable<u32> = values.clone().into_iter().collect();
        let changes: Vec<_> = changed.iter().map(|(at, value)| (at.get(&patterns), *value)).collect();
        let after = before.replaced(changes.iter().copied()).expect("it has these patterns");
        prop_assert!(before.iter().all(|value| *value == 0));
        values.extend(changes.into_iter().map(|(pattern, value)| (pattern.clone(), value)));
        let expected: HostTable<u32> = values.clone().into_iter().collect();
        prop_assert!(after.entries().eq(expected.entries()));
        prop_assert_eq!(before.replaced([(&stranger, 1)]).is_some(), values.contains_key(&stranger));
    }
}
