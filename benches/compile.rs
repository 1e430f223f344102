//! How long compiling takes: from nothing, and after a change of one route.

use std::{fs, hint::black_box, sync::Arc};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use postern::{
    compile::{Backend, Compiler, Environment, Options},
    resource::{AnyObject, ResourceSet},
    source::dir,
};

#[allow(dead_code, unreachable_pub, reason = "one part of it is used here")]
#[path = "harness/manifest.rs"]
mod manifest;

const HOSTS: usize = 100;

fn options() -> Options {
    Options {
        namespace: Arc::from("default"),
        installation: Arc::from("default"),
        own_ports: postern::compile::OWN_PORTS.to_vec(),
        environment: Environment::Folder {
            backends: vec![Backend {
                namespace: Arc::from("default"),
                name: Arc::from("be"),
                port: None,
                host: Arc::from("127.0.0.1"),
                host_port: 9000,
            }],
            echo: None,
        },
    }
}

/// What a folder with these manifests holds.
fn read(manifests: &str) -> ResourceSet {
    let folder = tempfile::tempdir().expect("a temporary folder must be possible");
    let file = folder.path().join("routes.yaml");
    fs::write(&file, manifests).expect("a temporary file must be writable");
    let set = dir::load(&[file], "default").expect("the file was just written");
    assert!(set.files.is_empty(), "{:?}", set.files);
    set
}

fn fresh(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compile");
    for routes in [1000, 10_000] {
        let set = read(&manifest::mappings(HOSTS, routes / HOSTS, "be:80"));
        let (graph, _) = Compiler::new(options()).compile(&set);
        assert!(
            !graph.listeners.is_empty(),
            "a compile that gives nothing is not worth measuring"
        );
        group.throughput(Throughput::Elements(routes as u64));
        group.bench_function(BenchmarkId::new("fresh", routes), |bencher| {
            bencher.iter(|| Compiler::new(options()).compile(black_box(&set)));
        });
    }
    group.finish();
}

/// The compiler is that of the last snapshot, as in the running gateway. The change goes there and back.
fn one_route_change(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compile");
    for routes in [1000, 10_000] {
        let mut set = read(&manifest::mappings(HOSTS, routes / HOSTS, "be:80"));
        let versions = ["be:80", "be:81"].map(|service| {
            let one = read(&manifest::mapping(
                "h7-p7",
                "h7.example.com",
                "/p7/",
                service,
            ));
            let one = one.mappings.into_values().next();
            AnyObject::Mapping(one.expect("the file holds a Mapping"))
        });
        let mut compiler = Compiler::new(options());
        let mut last = compiler.compile(&set);
        let mut turn = versions.iter().cycle();
        group.bench_function(BenchmarkId::new("one-route-change", routes), |bencher| {
            bencher.iter(|| {
                let version = turn.next().expect("a cycle must not end").clone();
                set.insert(version);
                last = compiler.compile(black_box(&set));
            });
        });
        assert!(
            !last.0.listeners.is_empty(),
            "a compile that gives nothing is not worth measuring"
        );
    }
    group.finish();
}

criterion_group!(benches, fresh, one_route_change);
criterion_main!(benches);
