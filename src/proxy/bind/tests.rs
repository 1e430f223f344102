use super::*;

fn bindings(bind: &str, workers: usize) -> Arc<Bindings> {
    Bindings::new(vec![bind.parse().unwrap()], workers, Health::new())
}

#[test]
fn the_port_that_the_system_chose_is_shared_by_the_workers() {
    let bindings = bindings("80=127.0.0.1:0", 2);
    let first = bindings.bind(0, 80, "web").unwrap();
    let second = bindings.bind(1, 80, "web").unwrap();
    let address = first.local_addr().unwrap();
    assert_eq!(second.local_addr().unwrap(), address);
    assert_eq!(bindings.addresses(), BTreeMap::from([(80, address)]));
    bindings.release(0, 80);
    bindings.release(1, 80);
    assert!(bindings.addresses().is_empty());
}

/// An address that another program has, as long as the listener lives.
fn taken() -> (TcpListener, SocketAddr) {
    let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = theirs.local_addr().unwrap();
    (theirs, address)
}

fn is_begun(bindings: &Bindings) -> bool {
    let readiness = bindings.health.readiness();
    !readiness.missing.contains_key(&Part::Listeners)
}

#[test]
fn a_port_of_another_process_is_not_shared_and_nothing_begins_without_any() {
    let other = bindings("80=127.0.0.1:0", 1);
    let theirs = other.bind(0, 80, "web").unwrap();
    let address = theirs.local_addr().unwrap();

    let bindings = bindings(&format!("80={address}"), 1);
    bindings.bind(0, 80, "web").unwrap_err();
    bindings.tried(0);
    assert_eq!(bindings.unbound(), BTreeSet::from([80]));
    let readiness = bindings.health.readiness();
    for why in [&readiness.missing, &readiness.degraded] {
        assert!(why[&Part::Listeners].contains("web, port 80"), "{why:?}");
    }

    drop(theirs);
    bindings.bind(0, 80, "web").unwrap();
    bindings.tried(0);
    assert!(is_begun(&bindings));
    assert!(bindings.health.readiness().degraded.is_empty());
    assert!(bindings.unbound().is_empty());
}

#[test]
fn one_port_that_is_taken_keeps_no_replica_from_serving_the_others() {
    let (theirs, address) = taken();
    let binds = ["80=127.0.0.1:0".to_owned(), format!("81={address}")];
    let binds = binds.map(|bind| bind.parse().unwrap()).to_vec();
    let bindings = Bindings::new(binds, 2, Health::new());
    let mut registry = Registry::default();
    bindings.register(&mut registry);
    let unbound = || {
        let text = crate::telemetry::metrics::render(&registry);
        text.lines()
            .find(|line| line.starts_with("listeners_unbound "))
            .unwrap()
            .to_owned()
    };
    assert_eq!(unbound(), "listeners_unbound 0");
    let mut sockets = Vec::new();
    for worker in [0, 1] {
        assert!(!is_begun(&bindings), "before worker {worker} has tried");
        sockets.push(bindings.bind(worker, 80, "web").unwrap());
        bindings.bind(worker, 81, "more").unwrap_err();
        bindings.tried(worker);
    }
    assert!(is_begun(&bindings));
    let degraded = bindings.health.readiness().degraded;
    assert!(
        degraded[&Part::Listeners].contains("more, port 81"),
        "{degraded:?}"
    );
    assert_eq!(unbound(), "listeners_unbound 1");

    drop(theirs);
    for worker in [0, 1] {
        sockets.push(bindings.bind(worker, 81, "more").unwrap());
        bindings.tried(worker);
    }
    assert!(bindings.health.readiness().degraded.is_empty());
    assert_eq!(unbound(), "listeners_unbound 0");
}

#[test]
fn a_listener_that_is_gone_is_not_said_to_be_unbound() {
    let (_theirs, address) = taken();
    let bindings = bindings(&format!("80={address}"), 1);
    bindings.bind(0, 80, "web").unwrap_err();
    bindings.tried(0);
    bindings.forget(0, |_| false);
    bindings.tried(0);
    assert!(bindings.unbound().is_empty());
    assert!(is_begun(&bindings));
    assert!(bindings.health.readiness().degraded.is_empty());
}

#[test]
fn ready_when_every_worker_is() {
    let bindings = bindings("80=127.0.0.1:0", 2);
    let _first = bindings.bind(0, 80, "web").unwrap();
    bindings.tried(0);
    assert!(
        bindings
            .health
            .readiness()
            .missing
            .contains_key(&Part::Listeners)
    );
    bindings.tried(1);
    assert!(
        !bindings
            .health
            .readiness()
            .missing
            .contains_key(&Part::Listeners)
    );
}
