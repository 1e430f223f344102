//! Hostname patterns: one spelling each, and `overlaps` is true of every two patterns that one host fits.
//!
//! Input: three lines, two patterns and a host.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::graph::{Authority, HostPattern, HostTable};

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(3, '\n');
    let patterns: Vec<HostPattern> = lines
        .by_ref()
        .take(2)
        .filter_map(|line| line.parse().ok())
        .collect();
    for pattern in &patterns {
        let spelled = pattern.to_string();
        assert_eq!(
            spelled.parse().as_ref(),
            Ok(pattern),
            "{spelled:?} is another pattern"
        );
        assert!(
            pattern.overlaps(pattern),
            "{pattern} does not overlap itself"
        );
    }
    let Some(Ok(authority)) = lines.next().map(Authority::parse) else {
        return;
    };
    let fits = |pattern: &&HostPattern| pattern.matches(authority.host(), authority.port());
    if let [a, b] = &*patterns {
        assert_eq!(a.overlaps(b), b.overlaps(a), "{a} and {b} disagree");
        if fits(&a) && fits(&b) {
            assert!(
                a.overlaps(b),
                "{a} and {b} both fit {authority} and do not overlap"
            );
        }
    }
    let table: HostTable<String> = patterns
        .iter()
        .map(|pattern| (pattern.clone(), pattern.to_string()))
        .collect();
    let best = table.best(authority.host(), authority.port());
    assert_eq!(
        best.is_some(),
        patterns.iter().any(|pattern| fits(&pattern)),
        "{patterns:?} for {authority}"
    );
    if let Some(best) = best {
        let pattern: HostPattern = best.parse().expect("a spelled pattern must be one");
        assert!(fits(&&pattern), "{best} was chosen for {authority}");
    }
});
