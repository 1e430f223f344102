//! The compiler is total and deterministic: whatever the manifests are, it does not panic, and a fresh compiler and one that
//! has seen other things say the same.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use postern::{
    admin::digest,
    compile::{self, Compiler},
    graph::Graph,
    report::Report,
    resource::ResourceSet,
};

fuzz_target!(|bytes: &[u8]| {
    let whole = postern_fuzz::resources(bytes);
    let half = postern_fuzz::resources(bytes.get(..bytes.len() / 2).unwrap_or_default());
    for options in postern_fuzz::environments() {
        let fresh = compile::compile(&whole, &options);
        same(
            &fresh,
            &compile::compile(&whole, &options),
            "two fresh compilers",
        );
        let mut kept = Compiler::new(options);
        kept.compile(&ResourceSet::default());
        kept.compile(&half);
        same(
            &fresh,
            &kept.compile(&whole),
            "a fresh compiler and a kept one",
        );
        check(&fresh.0);
    }
});

type Compiled = (Arc<Graph>, Arc<Report>);

fn same((graph, report): &Compiled, (other, other_report): &Compiled, who: &str) {
    assert_eq!(report, other_report, "{who} report differently");
    assert_eq!(digest(graph), digest(other), "{who} make different graphs");
    assert_eq!(graph.dial, other.dial, "{who} dial differently");
}

fn check(graph: &Graph) {
    let ports: Vec<_> = graph
        .listeners
        .iter()
        .map(|listener| listener.port)
        .collect();
    assert!(ports.is_sorted_by(|a, b| a < b), "{ports:?}");
    for host in graph
        .listeners
        .iter()
        .flat_map(|listener| listener.hosts.iter())
    {
        let spelled = host.pattern.to_string();
        assert_eq!(
            spelled.parse().as_ref(),
            Ok(&host.pattern),
            "{spelled} is another pattern"
        );
        for route in host
            .routes
            .regions
            .iter()
            .flat_map(|region| region.tables.iter())
        {
            let ranks: Vec<_> = route.iter().map(|route| &route.rank).collect();
            assert!(
                ranks.is_sorted_by(|a, b| a > b),
                "two routes of {spelled} have one rank"
            );
        }
    }
}
