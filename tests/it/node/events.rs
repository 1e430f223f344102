//! What happens rarely: upgrades from the first chart, certificates that are renewed, pods that are thrown out, and a store that
//! forgets.

use std::{fs, net::SocketAddr, path::Path, process::Command, thread, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    cluster::{Cluster, file, shared},
    disruption::{figures, outcome, rolled_out, under_load},
    load::Load,
};
use crate::client::Request;

const RELEASED: &str = "tests/chart/releases/postern-0.1.0.tgz";
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(100));
    }
}

pub(super) fn apply(cluster: &Cluster, objects: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("objects.yaml");
    fs::write(&path, objects).unwrap();
    cluster.kubectl(&["apply", "-f", &path.display().to_string()]);
}

/// A Secret with a new certificate for the name.
fn renew(cluster: &Cluster, secret: &str, name: &str) {
    let signed = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let data = json!({"tls.crt": signed.cert.pem(), "tls.key": signed.signing_key.serialize_pem()});
    let object = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "stringData": data,
        "metadata": {"name": secret, "namespace": "quickstart"},
    });
    apply(cluster, &object.to_string());
}

fn host(cluster: &Cluster, secret: &str, name: &str) {
    let objects = json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": "Host",
        "metadata": {"name": secret, "namespace": "quickstart"},
        "spec": {"hostname": name, "tlsSecret": {"name": secret}},
    });
    apply(cluster, &objects.to_string());
}

fn expiry(cluster: &Cluster, host: &str) -> Value {
    let host = cluster.get(&["host.postern.dev", host, "-n", "quickstart"]);
    host["status"]["installations"][0]["certificateExpiry"].clone()
}

/// Its schemas lack what those of the present one have, so they go back and forth as well.
#[test]
fn an_upgrade_from_the_first_chart_and_a_way_back() {
    // The program stays the present one, which the roles of the first chart do not let read every kind.
    let roles = fs::read_to_string(file("helm/rbac.yaml")).unwrap();
    let beside = roles.replace("\n  name: postern\n", "\n  name: postern-beside\n");
    assert_ne!(roles, beside);
    apply(&shared(), &beside);
    let (released, present) = (file(RELEASED), file("helm/postern"));
    let turn = |chart: &Path| {
        let chart = chart.display().to_string();
        move |cluster: &Cluster| {
            let upgrade = ["upgrade", "postern", &chart, "-n", "postern"];
            cluster.helm(&[&upgrade[..], &["--wait", "--timeout=90s"]].concat());
            rolled_out(cluster);
        }
    };
    under_load("helm upgrade back to chart 0.1.0", turn(&released));
    let addresses = |cluster: &Cluster| {
        let crd = cluster.get(&["crd", "hosts.postern.dev"]);
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        !schema["properties"]["status"]["properties"]["addresses"].is_null()
    };
    assert!(!addresses(&shared()), "the schema must be the old one");
    under_load("helm upgrade from chart 0.1.0", turn(&present));
    assert!(addresses(&shared()), "the schema must be the new one");
}

/// Its endpoint goes at once, and it has no time to drain.
#[test]
fn a_pod_that_is_deleted_by_force_is_missed_for_a_moment_only() {
    let outcome = outcome("kubectl delete pod --force", |cluster| {
        let pod = cluster.pods()[0].clone();
        cluster.kubectl(&[
            "delete",
            "pod",
            &pod,
            "-n",
            "postern",
            "--force",
            "--grace-period=0",
        ]);
        rolled_out(cluster);
    });
    assert!(
        outcome.failed.len() * 20 < outcome.sent,
        "{} of {} failed: {:?}",
        outcome.failed.len(),
        outcome.sent,
        outcome.failed.first()
    );
}

/// Every version that a watch could go on from is forgotten; a change is served all the same.
#[test]
fn the_store_is_compacted() {
    under_load("etcd compaction", |cluster| {
        let post = |call: &str, body: &str| {
            let url = format!("http://127.0.0.1:2379/v3/{call}");
            let curl = ["-fsS", "-X", "POST", &url, "-d", body];
            cluster.inside(|| {
                let output = Command::new("curl").args(curl).output().unwrap();
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success(), "{call}: {said}");
                serde_json::from_slice::<Value>(&output.stdout).unwrap()
            })
        };
        let told = post("kv/range", r#"{"key": "AA=="}"#);
        let revision = told["header"]["revision"].as_str().unwrap();
        let body = format!(r#"{{"revision": "{revision}", "physical": true}}"#);
        post("kv/compaction", &body);
        let mapping = json!({
            "apiVersion": "postern.dev/v1alpha1", "kind": "Mapping",
            "metadata": {"name": "compacted", "namespace": "quickstart"},
            "spec": {"hostname": "*", "prefix": "/compacted/", "service": "quote:80"},
        });
        apply(cluster, &mapping.to_string());
        let wait = [
            "wait",
            "mapping.postern.dev/compacted",
            "--for=condition=Ready",
        ];
        cluster.kubectl(&[&wait[..], &["-n", "quickstart", "--timeout=30s"]].concat());
    });
}

#[test]
fn a_certificate_is_renewed_under_load() {
    const NAME: &str = "renewed.example.com";
    let cluster = shared();
    let address = SocketAddr::new(cluster.address(), 443);
    renew(&cluster, "renewed", NAME);
    host(&cluster, "renewed", NAME);
    let url = format!("https://{NAME}/quote/");
    until("the first certificate is not served", || {
        let answer = cluster.inside(|| Request::get(&url).try_send(address));
        answer.is_ok_and(|answer| answer.status == 200)
    });
    let load = Load::fresh(&cluster, address, &url);
    let outcome = figures(
        "three renewals of a certificate",
        &cluster,
        load,
        |cluster| {
            for _ in 0..3 {
                renew(cluster, "renewed", NAME);
                thread::sleep(Duration::from_millis(700));
            }
        },
    );
    assert!(outcome.failed.is_empty(), "{:?}", outcome.failed.first());
    assert!(expiry(&cluster, "renewed").is_string());
}

/// As cert-manager does it: a Host whose Secret is not there yet, a solver for the path of the challenge, and then the Secret.
#[test]
fn a_certificate_comes_by_a_challenge_over_http() {
    const NAME: &str = "issued.example.com";
    const CHALLENGE: &str = "/.well-known/acme-challenge/token";
    let cluster = shared();
    let [http, https] = [80, 443].map(|port| SocketAddr::new(cluster.address(), port));
    host(&cluster, "issued", NAME);
    let wait = ["wait", "host.postern.dev/issued", "-n", "quickstart"];
    let refused = "--for=jsonpath={.status.conditions[?(@.type==\"ResolvedRefs\")].status}=False";
    cluster.kubectl(&[&wait[..], &[refused, "--timeout=20s"]].concat());
    let secure = || {
        let request = Request::get(&format!("https://{NAME}/quote/"));
        cluster.inside(|| request.try_send(https))
    };
    secure().expect_err("there is no certificate yet");

    let solver = json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": "Mapping",
        "metadata": {"name": "solver", "namespace": "quickstart"},
        "spec": {"hostname": NAME, "prefix": CHALLENGE, "service": "quote:80"},
    });
    apply(&cluster, &solver.to_string());
    until("the challenge is not answered", || {
        let request = Request::get(&format!("http://{NAME}{CHALLENGE}"));
        let answer = cluster.inside(|| request.try_send(http));
        answer.is_ok_and(|answer| answer.status == 200)
    });
    let redirected = Request::get(&format!("http://{NAME}/quote/"));
    let answer = cluster.inside(|| redirected.try_send(http)).unwrap();
    assert_eq!(answer.status, 301, "only the challenge is in cleartext");

    renew(&cluster, "issued", NAME);
    until("the certificate is not served", || {
        secure().is_ok_and(|answer| answer.status == 200)
    });
    cluster.kubectl(&[
        "delete",
        "mapping.postern.dev",
        "solver",
        "-n",
        "quickstart",
    ]);
}
