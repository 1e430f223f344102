//! A grant for what is in another namespace, and how soon its withdrawal counts on every replica.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    installation::{Installation, LIMIT, figure, mapping, ours, service, services},
    platform::{apply, run, shared},
    server::Server,
};
use crate::{client, client::Request, gateway::Gateway};

const SHOP: &str = "grants-shop";
const PRICES: &str = "grants-prices";
const NAME: &str = "granted.example.com";
const GRANTS: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/grants-prices/referencegrants";
const ROUNDS: u32 = 5;

/// What is promised of a withdrawal; on a machine that does much else it holds for most of them.
const PROMISED: Duration = Duration::from_secs(1);

/// The kind of the Gateway API, without its schema.
pub(crate) fn install_grants(server: &Server) {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "referencegrants.gateway.networking.k8s.io",
            "annotations": {"api-approved.kubernetes.io": "unapproved, a stand-in for tests"},
        },
        "spec": {
            "group": "gateway.networking.k8s.io",
            "scope": "Namespaced",
            "names": {"kind": "ReferenceGrant", "plural": "referencegrants"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema}}],
        },
    });
    apply(server, &crd.to_string());
    let name = "crd/referencegrants.gateway.networking.k8s.io";
    let wait = ["wait", "--for=condition=Established", "--timeout=30s", name];
    run(server, &wait, "");
}

/// Lets objects of a kind in the shop refer to what is in the other namespace.
fn grant(kind: &str, to: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "ReferenceGrant",
        "metadata": {"namespace": PRICES, "name": "for-the-shop"},
        "spec": {
            "from": [{"group": "postern.dev", "kind": kind, "namespace": SHOP}],
            "to": [{"group": "", "kind": to}],
        },
    })
}

/// Grants and withdraws; `holds` says of a replica whether it goes by the grant. How long each withdrawal took to reach
/// the last replica, from the API server's answer to it.
fn withdrawals(
    server: &Server,
    replicas: &[Gateway],
    grant: &Value,
    holds: impl Fn(&Gateway) -> bool,
) -> Vec<Duration> {
    let until = |wanted: bool, since: Instant, limit: Duration| {
        for replica in replicas {
            while holds(replica) != wanted {
                assert!(since.elapsed() < limit, "{}", replica.logged());
            }
        }
        since.elapsed()
    };
    let round = |_| {
        until(false, Instant::now(), LIMIT);
        // The first time the kind may have been there for a moment only.
        let deadline = Instant::now() + LIMIT;
        while let Err(error) = server.create(GRANTS, grant) {
            assert!(Instant::now() < deadline, "{error}");
        }
        until(true, Instant::now(), LIMIT);
        server.delete(&format!("{GRANTS}/for-the-shop")).unwrap();
        until(false, Instant::now(), LIMIT)
    };
    (0..ROUNDS).map(round).collect()
}

fn tell(what: &str, mut took: Vec<Duration>) {
    let mean = took.iter().sum::<Duration>() / ROUNDS;
    took.sort();
    let most = took.last().unwrap();
    figure(format_args!(
        "the last of three replicas refuses {what} {mean:?} (mean), {most:?} (max) after its grant was withdrawn"
    ));
    assert!(*most < PROMISED, "{took:?}");
}

#[test]
fn what_is_in_another_namespace_is_used_as_long_as_it_is_granted() {
    let server = shared();
    install_grants(server);
    let installation = Installation::new(server, "grants-gateway", &[SHOP, PRICES]);
    let pair = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"namespace": PRICES, "name": "pair"},
        "stringData": {"tls.crt": pair.cert.pem(), "tls.key": pair.signing_key.serialize_pem()},
    });
    let host = json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": "Host",
        "metadata": {"namespace": SHOP, "name": "granted"},
        "spec": {"hostname": NAME, "tlsSecret": {"name": "pair", "namespace": PRICES},
            "requestPolicy": {"insecure": {"action": "Route"}}},
    });
    let mut quote = mapping(SHOP, "quote", "/granted/");
    quote["spec"]["service"] = format!("quote.{PRICES}").into();
    quote["spec"]["hostname"] = NAME.into();
    apply(server, &secret.to_string());
    server
        .create(&services(PRICES), &service(PRICES, "quote"))
        .unwrap();
    server.create(&ours("mappings", SHOP), &quote).unwrap();
    server.create(&ours("hosts", SHOP), &host).unwrap();
    let replicas = ["one", "two", "three"].map(|name| installation.replica(name));

    let request = Request::get(&format!("http://{NAME}/granted/"));
    let is_served = |gateway: &Gateway| {
        let answer = gateway.send(&request);
        let is_refused = answer.status == 503 && answer.text().contains("PST3004");
        assert!(is_refused || answer.status == 200, "{answer:?}");
        answer.status == 200
    };
    for replica in &replicas {
        replica.send_until(&request, |answer| answer.status == 503);
    }
    let took = withdrawals(server, &replicas, &grant("Mapping", "Service"), is_served);
    tell("a Service", took);

    let shakes_hands = |gateway: &Gateway| client::tls(gateway.address(8443), NAME).is_ok();
    let took = withdrawals(server, &replicas, &grant("Host", "Secret"), shakes_hands);
    tell("a certificate", took);
}
