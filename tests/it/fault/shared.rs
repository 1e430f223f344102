//! Faults that concern many requests: what bounds them.

use std::{collections::BTreeMap, net::SocketAddr, thread, time::Duration};

use tokio::time::Instant;

use super::{
    start,
    upstream::{Behaviour, Upstream},
};
use crate::{client::Request, gateway::Gateway, hostile::Bystander};

pub(super) const PAGE: &str = "
## Many requests

| fault | what becomes of it |
|---|---|
| every request fails, `retryOn: 5xx`, `numRetries: 5` | the upstream gets at most 1.2 times the requests: a budget of a fifth bounds what is sent again |
| the upstream hangs, `circuitBreakers: [{maxRequests: 2}]` | two requests wait; all others are answered with 503 `circuit_open` at once, and none of them is sent |
| one of two endpoints answers 503, `outlierDetection: {consecutiveServerErrors: 3}` | three requests see the 503; then all go to the other one until the ejection time is over |
| the same with `retryOn: 5xx` | no request sees a 503 |
| one of two endpoints listens no more | no request fails: what could not connect goes to the other one at once |
| one of two endpoints fails its health check | it is left out as long as it fails; then it is used again |
| one of two endpoints is in another zone (`hints.forZones`, `--zone`) and the near one fails its health check | the near one is used alone while it works; else the other |
| endpoints come and go, 40 times in a row | no request fails |
";

const ANSWERS_A: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na";
const ANSWERS_B: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nb";
const FAILS: &str = "HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nfail";
const MANY: usize = 1_000;

fn mapping(spec: &str) -> String {
    let spec = format!("hostname: \"*\", prefix: /many/, service: many, {spec}");
    format!(
        "---\n{{apiVersion: postern.dev/v1alpha1, kind: Mapping, metadata: {{name: many, namespace: default}}, spec: {{{spec}}}}}\n"
    )
}

/// The endpoints of the Service, each with a port of its own.
fn slice(endpoints: &[SocketAddr]) -> String {
    let slices = endpoints.iter().map(|address| {
        let (ip, port) = (address.ip(), address.port());
        format!(
            "---\n{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: many-{port}, namespace: default, labels: \
             {{kubernetes.io/service-name: many}}}}, addressType: IPv4, ports: [{{port: {port}}}], endpoints: [{{addresses: [{ip}]}}]}}\n"
        )
    });
    slices.collect()
}

fn socket(upstream: &Upstream) -> SocketAddr {
    upstream.address().parse().unwrap()
}

fn request() -> Request {
    Request::get("http://x.com/many/")
}

/// How often each status and body came, of so many requests.
fn answers(gateway: &Gateway, count: usize) -> BTreeMap<(u16, String), usize> {
    let mut answers = BTreeMap::new();
    for _ in 0..count {
        let answer = gateway.send(&request());
        *answers.entry((answer.status, answer.text())).or_default() += 1;
    }
    answers
}

fn count(answers: &BTreeMap<(u16, String), usize>, status: u16) -> usize {
    let of_status = answers.iter().filter(|((found, _), _)| *found == status);
    of_status.map(|(_, count)| count).sum()
}

#[test]
fn a_retry_storm_is_amplified_by_a_fifth_at_most() {
    let upstream = Upstream::start("many", Behaviour::Says(FAILS));
    let resources = mapping("retryPolicy: {retryOn: 5xx, numRetries: 5}");
    let gateway = start(&resources, &[("many", upstream.address())], &[]);
    let bystander = Bystander::start(gateway.address(8080));
    assert_eq!(count(&answers(&gateway, MANY), 503), MANY);
    bystander.finish().unwrap();
    let sent = upstream.requests();
    println!("figure: a retry storm: {sent} requests of the upstream for {MANY} of clients");
    assert!(sent > MANY, "some are sent again");
    assert!(sent * 10 <= MANY * 12, "{sent}");
}

#[test]
fn what_the_breaker_refuses_is_answered_at_once_and_not_sent() {
    let upstream = Upstream::start("many", Behaviour::Hangs);
    let resources = mapping("timeoutMs: 10000, circuitBreakers: [{maxRequests: 2}]");
    let gateway = start(&resources, &[("many", upstream.address())], &[]);
    let address = gateway.address(8080);
    let bystander = Bystander::start(address);
    let waiting: Vec<_> = (0..2)
        .map(|_| thread::spawn(move || request().try_send(address)))
        .collect();
    let until = Instant::now() + Duration::from_secs(8);
    while upstream.connections() < 2 {
        assert!(Instant::now() < until, "two are sent");
        thread::sleep(Duration::from_millis(5));
    }
    let began = Instant::now();
    let refused = answers(&gateway, 50);
    assert!(
        refused
            .keys()
            .all(|(status, text)| *status == 503 && text.contains("circuit_open")),
        "{refused:?}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(upstream.connections(), 2);
    assert!(gateway.metrics()["postern_upstream_circuit_open_total"] >= 50.0);
    bystander.finish().unwrap();
    for waits in waiting {
        assert_eq!(waits.join().unwrap().unwrap().status, 504);
    }
}

/// Two endpoints of which one does as it is told, and the gateway before them.
fn two(sick: Behaviour, spec: &str) -> (Gateway, Upstream, Upstream) {
    let good = Upstream::start("good", Behaviour::Says(ANSWERS_A));
    let sick = Upstream::start("sick", sick);
    let spec = format!("resolver: endpoint, {spec}");
    let resources = mapping(&spec) + &slice(&[socket(&good), socket(&sick)]);
    (start(&resources, &[], &[]), good, sick)
}

#[test]
fn an_endpoint_that_fails_requests_is_left_out_after_a_few() {
    let (gateway, _good, sick) = two(
        Behaviour::Says(FAILS),
        "outlierDetection: {consecutiveServerErrors: 3}",
    );
    let bystander = Bystander::start(gateway.address(8080));
    let seen = answers(&gateway, 100);
    assert_eq!((count(&seen, 503), count(&seen, 200)), (3, 97), "{seen:?}");
    assert_eq!(sick.requests(), 3);
    let metrics = gateway.metrics();
    assert!(metrics["postern_upstream_ejections_total"] >= 1.0);
    assert!(metrics["postern_upstream_endpoints_ejected"] >= 1.0);
    bystander.finish().unwrap();
}

#[test]
fn with_retries_nobody_sees_the_endpoint_that_fails() {
    let (gateway, _good, sick) = two(
        Behaviour::Says(FAILS),
        "retryPolicy: {retryOn: 5xx, numRetries: 1}, outlierDetection: {consecutiveServerErrors: 3}",
    );
    let seen = answers(&gateway, 100);
    assert_eq!(count(&seen, 200), 100, "{seen:?}");
    assert_eq!(sick.requests(), 3);
}

#[test]
fn an_endpoint_that_listens_no_more_costs_no_request() {
    let (gateway, good, _gone) = two(
        Behaviour::Refuses,
        "outlierDetection: {consecutiveConnectFailures: 3}",
    );
    let seen = answers(&gateway, 50);
    assert_eq!(count(&seen, 200), 50, "{seen:?}");
    assert_eq!(good.requests(), 50);
}

#[test]
fn an_endpoint_is_left_out_while_it_fails_its_check() {
    let good = Upstream::start("good", Behaviour::Says(ANSWERS_A));
    let sick = Upstream::start("sick", Behaviour::Sick(ANSWERS_B));
    let check = "{interval: 100ms, unhealthyThreshold: 1, healthCheck: {http: {path: /healthz}}}";
    let resources = mapping(&format!("resolver: endpoint, healthChecks: [{check}]"));
    let gateway = start(
        &(resources + &slice(&[socket(&good), socket(&sick)])),
        &[],
        &[],
    );
    let bystander = Bystander::start(gateway.address(8080));
    let uses_b = |wanted: bool| {
        gateway.eventually(|| {
            let seen = answers(&gateway, 10);
            let is_used = seen.contains_key(&(200, "b".to_owned()));
            if count(&seen, 200) == 10 && is_used == wanted {
                Ok(())
            } else {
                Err(format!("{wanted}: {seen:?}"))
            }
        })
    };
    uses_b(false).unwrap();
    assert!(gateway.metrics()["postern_upstream_endpoints_failing"] >= 1.0);
    sick.heal();
    uses_b(true).unwrap();
    bystander.finish().unwrap();
}

#[test]
fn the_endpoint_of_another_zone_takes_over_while_the_near_one_fails() {
    let far = Upstream::start_at([127, 0, 0, 2], "far", Behaviour::Says(ANSWERS_A));
    let near = Upstream::start("near", Behaviour::Sick(ANSWERS_B));
    let check = "{interval: 100ms, unhealthyThreshold: 1, healthCheck: {http: {path: /healthz}}}";
    let zoned = |upstream: &Upstream, zone: &str| {
        let socket = socket(upstream);
        slice(&[socket]).replace(
            &format!("addresses: [{}]", socket.ip()),
            &format!(
                "addresses: [{}], hints: {{forZones: [{{name: {zone}}}]}}",
                socket.ip()
            ),
        )
    };
    let resources = mapping(&format!("resolver: endpoint, healthChecks: [{check}]"));
    let resources = resources + &zoned(&far, "b") + &zoned(&near, "a");
    let gateway = start(&resources, &[], &["--zone", "a"]);
    let all_are = |wanted: &str| {
        gateway.eventually(|| {
            let seen = answers(&gateway, 10);
            match seen.get(&(200, wanted.to_owned())) {
                Some(10) => Ok(()),
                _ => Err(format!("{wanted}: {seen:?}")),
            }
        })
    };
    all_are("a").unwrap();
    near.heal();
    all_are("b").unwrap();
}

#[test]
fn endpoints_that_come_and_go_cost_no_request() {
    let a = Upstream::start("a", Behaviour::Says(ANSWERS_A));
    let b = Upstream::start("b", Behaviour::Says(ANSWERS_B));
    let resources = mapping("resolver: endpoint, outlierDetection: {}");
    let gateway = start(&(resources + &slice(&[socket(&a)])), &[], &[]);
    // From now on they are in a file of their own.
    gateway.write("endpoints.yaml", &slice(&[socket(&a)]));
    gateway.write(
        "case.yaml",
        &(mapping("resolver: endpoint, outlierDetection: {}") + super::BYSTANDER),
    );
    let bystander = Bystander::start(gateway.address(8080));
    let mut seen = BTreeMap::new();
    for round in 0..40 {
        let endpoints = match round % 3 {
            0 => slice(&[socket(&a), socket(&b)]),
            1 => slice(&[socket(&b)]),
            _ => slice(&[socket(&a)]),
        };
        gateway.write("endpoints.yaml", &endpoints);
        for _ in 0..10 {
            let answer = gateway.send(&request());
            *seen
                .entry((answer.status, answer.text()))
                .or_insert(0_usize) += 1;
            thread::sleep(Duration::from_millis(2));
        }
    }
    bystander.finish().unwrap();
    assert_eq!(count(&seen, 200), 400, "{seen:?}");
    assert!(seen.len() == 2, "both took requests: {seen:?}");
}
