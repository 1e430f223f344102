//! The two orders in which a replica and its sidecar stop.

use std::{thread, time::Duration};

use tokio::time::Instant;

use super::super::{
    cluster::{Cluster, shared},
    load::Load,
};
use super::{NAMESPACE, POSTERN, address, meshed, sidecar::Sidecar};

/// Deletes the pod of the first sidecar under load, and does something meanwhile; no request may fail.
fn deleted_under_load(order: &str, meanwhile: impl FnOnce(&Cluster, &Sidecar)) {
    let cluster = shared();
    let meshed = meshed(&cluster);
    let load = Load::at(&cluster, address(&cluster, "meshed"), "/echo/");
    thread::sleep(Duration::from_secs(1));
    let pod = meshed.pod(&cluster);
    cluster.kubectl(&["delete", "pod", &pod, "-n", NAMESPACE, "--wait=false"]);
    meanwhile(&cluster, meshed.sidecar());
    let rolled_out = ["rollout", "status", "deployment/meshed", "--timeout=60s"];
    cluster.kubectl(&[&rolled_out[..], &["-n", NAMESPACE]].concat());
    gone_from(&cluster);
    let outcome = load.stop();
    let first: Vec<_> = outcome.failed.iter().take(10).collect();
    assert!(
        first.is_empty(),
        "{order}: {} of {} failed: {first:#?}",
        outcome.failed.len(),
        outcome.sent
    );
    assert!(outcome.sent > 100, "{order}: {} requests", outcome.sent);
}

/// Waits until the pod is away as an object, so that the next test finds only pods that stay.
fn gone_from(cluster: &Cluster) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while cluster.get(&["pods", "-n", NAMESPACE, POSTERN])["items"]
        .as_array()
        .unwrap()
        .len()
        > 2
    {
        assert!(Instant::now() < deadline, "a pod does not go away");
        thread::sleep(Duration::from_millis(200));
    }
}

fn gone(sidecar: &Sidecar, within: Duration) -> Duration {
    let began = Instant::now();
    while sidecar.of.is_there() {
        assert!(began.elapsed() < within, "it is there after {within:?}");
        thread::sleep(Duration::from_millis(20));
    }
    began.elapsed()
}

#[test]
fn a_sidecar_that_stops_after_postern_loses_nothing() {
    deleted_under_load("native", |_, sidecar| {
        gone(sidecar, Duration::from_secs(20));
    });
}

/// Both are told at once; the sidecar waits as long as the annotation says, and then takes no more connections.
#[test]
fn a_sidecar_that_is_told_to_stop_with_postern_waits_long_enough() {
    deleted_under_load("classic", |cluster, sidecar| {
        let told = Instant::now();
        let deployment = cluster.get(&["deployment", "meshed", "-n", NAMESPACE]);
        let annotations = &deployment["spec"]["template"]["metadata"]["annotations"];
        let wait = &annotations["config.alpha.linkerd.io/proxy-wait-before-exit-seconds"];
        let wait = Duration::from_secs(wait.as_str().unwrap().parse().unwrap());
        gone(sidecar, wait);
        thread::sleep(wait.saturating_sub(told.elapsed()));
        sidecar.close();
        thread::sleep(Duration::from_millis(500));
    });
}
