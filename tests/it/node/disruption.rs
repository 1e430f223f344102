//! What a platform team does to Postern on a working day, under load: no request may fail.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::Signal;
use tokio::time::Instant;

use super::{
    cluster::{Cluster, file, shared},
    load::{Load, Outcome},
    process::{api_server, gateways, oom_kills},
};
use crate::{client::Request, cluster::installation::figure};

/// Before and after whatever happens.
const AROUND: Duration = Duration::from_secs(1);

/// Does it under load; whatever it is, no request may fail.
pub(super) fn under_load(what: &str, work: impl FnOnce(&Cluster)) {
    let Outcome { sent, failed, .. } = outcome(what, work);
    let first: Vec<_> = failed.iter().take(10).collect();
    assert!(
        failed.is_empty(),
        "{what}: {} of {sent} requests failed: {first:#?}",
        failed.len()
    );
}

/// What became of the requests while it was done, and around it.
pub(super) fn outcome(what: &str, work: impl FnOnce(&Cluster)) -> Outcome {
    let cluster = shared();
    let load = Load::start(&cluster, "/quote/");
    figures(what, &cluster, load, work)
}

/// The same with this load.
pub(super) fn figures(
    what: &str,
    cluster: &Cluster,
    load: Load,
    work: impl FnOnce(&Cluster),
) -> Outcome {
    thread::sleep(AROUND);
    work(cluster);
    thread::sleep(AROUND);
    let outcome = load.stop();
    let Outcome {
        sent, sent_again, ..
    } = outcome;
    figure(format_args!(
        "{what}: {sent} requests, {} failed, {sent_again} sent again on another connection",
        outcome.failed.len()
    ));
    assert!(sent > 100, "{what}: only {sent} requests were sent");
    outcome
}

pub(super) fn rolled_out(cluster: &Cluster) {
    let arguments = ["rollout", "status", "deployment/postern", "--timeout=90s"];
    cluster.kubectl(&[&arguments[..], &["-n", "postern"]].concat());
    gone(cluster, "postern");
}

/// Waits until no pod is on its way out any more.
fn gone(cluster: &Cluster, namespace: &str) {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let pods = cluster.get(&["pods", "-n", namespace]);
        let mut pods = pods["items"].as_array().unwrap().iter();
        if pods.all(|pod| pod["metadata"]["deletionTimestamp"].is_null()) {
            return;
        }
        assert!(Instant::now() < deadline, "a pod does not go away");
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn helm_upgrade_that_replaces_every_pod() {
    under_load("helm upgrade", |cluster| {
        let before = cluster.pods();
        let chart = file("helm/postern").display().to_string();
        let upgrade = ["upgrade", "postern", &chart, "-n", "postern", "--wait"];
        let change = ["--set", "podAnnotations.example\\.com/turn=next"];
        cluster.helm(&[&upgrade[..], &change].concat());
        rolled_out(cluster);
        let after = cluster.pods();
        assert!(
            after.iter().all(|pod| !before.contains(pod)),
            "every pod must be another one: {before:?} {after:?}"
        );
    });
}

#[test]
fn kubectl_delete_of_one_pod_after_another() {
    under_load("kubectl delete pod", |cluster| {
        for pod in cluster.pods() {
            cluster.kubectl(&["delete", "pod", &pod, "-n", "postern"]);
            rolled_out(cluster);
        }
    });
}

#[test]
fn scaling_up_and_down() {
    under_load("kubectl scale", |cluster| {
        for replicas in ["--replicas=4", "--replicas=2"] {
            let scale = ["scale", "deployment/postern", "-n", "postern", replicas];
            cluster.kubectl(&scale);
            rolled_out(cluster);
        }
    });
}

#[test]
fn draining_the_node_evicts_one_replica_at_a_time() {
    under_load("eviction", |cluster| {
        for pod in cluster.pods() {
            let eviction = format!(
                r#"{{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {{"name": "{pod}", "namespace": "postern"}}}}"#
            );
            let path = format!("/api/v1/namespaces/postern/pods/{pod}/eviction");
            let folder = tempfile::tempdir().unwrap();
            let body = folder.path().join("eviction.json");
            std::fs::write(&body, eviction).unwrap();
            let body = body.display().to_string();
            cluster.kubectl(&["create", "--raw", &path, "-f", &body]);
            rolled_out(cluster);
        }
    });
}

/// The Service stays, and what is behind it becomes other pods: kube-proxy moves, and kept connections end.
#[test]
fn a_backend_is_rolled_out_anew() {
    under_load("rollout of the backend", |cluster| {
        let quote = ["deployment/quote", "-n", "quickstart"];
        cluster.kubectl(&[&["rollout", "restart"][..], &quote].concat());
        cluster.kubectl(&[&["rollout", "status", "--timeout=60s"][..], &quote].concat());
        gone(cluster, "quickstart");
    });
}

/// Nobody can be told of a death: until the probe has noticed, every other connection leads to nobody. It also shows that the
/// clients of the other tests would see a failure.
#[test]
fn a_replica_that_is_killed_is_missed_only_until_it_is_noticed() {
    let Outcome { sent, failed, .. } = outcome("kill -9 of one replica", |cluster| {
        gateways()[0].send(Signal::KILL);
        thread::sleep(Duration::from_secs(1));
        rolled_out(cluster);
    });
    assert!(!failed.is_empty(), "a death must be seen");
    assert!(failed.len() * 2 < sent, "{} of {sent} failed", failed.len());
    let load = Load::start(&shared(), "/quote/");
    thread::sleep(AROUND);
    let after = load.stop();
    assert!(after.failed.is_empty(), "afterwards: {:?}", after.failed);
}

/// The kernel ends it, because something else in its control group takes the rest of the memory.
#[test]
fn a_replica_that_is_out_of_memory_is_missed_only_until_it_is_noticed() {
    const LIMIT: u64 = 96 << 20;
    let Outcome { sent, failed, .. } = outcome("one replica out of memory", |cluster| {
        let gateway = gateways()[0];
        // It waits for a line, and then for the end of one that never comes.
        let mut eater = Command::new("sh")
            .args(["-c", "read line; exec tail /dev/zero"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let events = gateway.share_memory(eater.id(), LIMIT);
        let before = oom_kills(&events);
        let mut by_kernel = false;
        eater.stdin.take().unwrap().write_all(b"go\n").unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while gateway.is_there() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
            by_kernel |= oom_kills(&events) > before;
        }
        let survived = gateway.is_there();
        eater.kill().unwrap();
        eater.wait().unwrap();
        assert!(!survived, "the kernel has not ended it");
        thread::sleep(Duration::from_secs(1));
        rolled_out(cluster);
        let pods = cluster.get(&["pods", "-n", "postern"]).to_string();
        // containerd says so only where it has seen the kernel's event in time.
        assert!(by_kernel || pods.contains("OOMKilled"), "{pods}");
    });
    assert!(failed.len() * 2 < sent, "{} of {sent} failed", failed.len());
}

/// Long enough for every watch to be lost and begun again.
#[test]
fn the_api_server_goes_away_and_comes_back() {
    under_load("API server away for 10 s", |cluster| {
        let server = api_server();
        server.send(Signal::STOP);
        thread::sleep(Duration::from_secs(10));
        server.send(Signal::CONT);
        rolled_out(cluster);
    });
}

#[test]
fn a_container_that_restarts_while_the_api_server_is_away_serves_what_was_kept() {
    let cluster = shared();
    // The newest set is kept within five seconds.
    thread::sleep(Duration::from_secs(6));
    let pod = cluster.pods()[0].clone();
    let object = cluster.get(&["pod", &pod, "-n", "postern"]);
    let address = object["status"]["podIP"].as_str().unwrap().to_owned();
    let ask = |port: u16, path: &str| {
        let url = format!("http://{address}:{port}{path}");
        let socket = format!("{address}:{port}").parse().unwrap();
        cluster.inside(|| Request::get(&url).try_send(socket))
    };
    let gateway = gateways().into_iter().find(|gateway| {
        let table = gateway.network_table("fib_trie");
        table.contains(&address)
    });
    let server = api_server();
    server.send(Signal::STOP);
    gateway.unwrap().send(Signal::KILL);
    let deadline = Instant::now() + Duration::from_secs(30);
    let kept = loop {
        if let Ok(answer) = ask(8080, "/quote/")
            && answer.status == 200
        {
            break ask(8877, "/metrics").map(|answer| answer.text());
        }
        if Instant::now() > deadline {
            server.send(Signal::CONT);
            panic!("it does not serve 30 s after its container was killed");
        }
        thread::sleep(Duration::from_millis(100));
    };
    server.send(Signal::CONT);
    assert!(
        kept.unwrap().contains("postern_config_kept_age_seconds "),
        "it must say that it serves what an earlier container has kept"
    );
    rolled_out(&cluster);
}
