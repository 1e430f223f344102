//! How long `kubectl postern` takes to list 1,000 objects of a folder: reading, compiling and printing.

use std::{ffi::OsString, fs, hint::black_box};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;
use postern::plugin::{self, Console};

#[allow(dead_code, unreachable_pub, reason = "one part of it is used here")]
#[path = "harness/manifest.rs"]
mod manifest;

const HOSTS: usize = 100;
const OBJECTS: usize = 1000;

/// What is printed.
fn said(arguments: &[&str]) -> Vec<u8> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        colour: false,
        now: Timestamp::UNIX_EPOCH,
    };
    let arguments = ["kubectl-postern"].iter().chain(arguments);
    plugin::answer(arguments.map(OsString::from), &mut console);
    assert!(err.is_empty(), "{}", String::from_utf8_lossy(&err));
    out
}

fn lists(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder must be possible");
    let file = folder.path().join("routes.yaml");
    fs::write(&file, manifest::mappings(HOSTS, OBJECTS / HOSTS, "be:80"))
        .expect("a temporary file must be writable");
    let file = file.to_str().expect("temporary folders have plain names");
    let mut group = criterion.benchmark_group("plugin");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(OBJECTS as u64));
    for verb in ["status", "routes", "mine"] {
        let lines = said(&[verb, "-A", "-f", file])
            .split(|byte| *byte == b'\n')
            .count();
        assert!(
            lines > OBJECTS,
            "{verb} prints {lines} lines: that is not worth measuring"
        );
        group.bench_function(BenchmarkId::new(verb, OBJECTS), |bencher| {
            bencher.iter(|| black_box(said(&[verb, "-A", "-f", file])));
        });
    }
    group.finish();
}

criterion_group!(benches, lists);
criterion_main!(benches);
