//! The process as an operator meets it: start, readiness, live edits, signals and exit codes.

use std::{
    fs,
    io::{Read, Write},
    process::{Command, Output},
    thread,
    time::Duration,
};

use rustix::process::Signal;
use tokio::time::Instant;

use super::{
    client::{Answer, Request, tcp},
    gateway::Gateway,
};

fn postern(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(arguments)
        .output()
        .unwrap()
}

fn mapping(name: &str, prefix: &str, service: &str) -> String {
    format!(
        "apiVersion: postern.dev/v1alpha1\nkind: Mapping\nmetadata: {{name: {name}}}\n\
         spec: {{hostname: \"*\", prefix: {prefix}, service: {service}}}\n---\n"
    )
}

#[test]
fn the_quick_start_answers_what_it_says() {
    let text = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/quickstart"))
        .unwrap()
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
        .collect::<Vec<_>>()
        .join("\n---\n");
    let gateway = Gateway::start(&text);
    let told = gateway.get("http://localhost/quote/").told();
    assert_eq!(told["service"], "default/quote:80");
    assert_eq!(told["path"], "/");
    let beta = Request::get("http://localhost/quote/").header("x-team", "beta");
    assert_eq!(
        gateway.send(&beta).told()["service"],
        "default/quote-beta:80"
    );
    let cart = gateway.get("http://shop.example.com/cart/items").told();
    assert_eq!(cart["service"], "default/cart:80");
    assert_eq!(cart["path"], "/items");
}

#[test]
fn an_edit_is_live_soon_and_a_mistake_keeps_what_was_there() {
    let gateway = Gateway::start(&mapping("a", "/a/", "first"));
    let request = Request::get("http://x.com/a/");
    assert_eq!(gateway.send(&request).told()["service"], "default/first:80");

    gateway.write("case.yaml", &mapping("a", "/a/", "second"));
    gateway.send_until(&request, |answer| {
        answer.status == 200 && answer.told()["service"] == "default/second:80"
    });

    gateway.write("case.yaml", "apiVersion: [\n");
    gateway.write("other.yaml", &mapping("b", "/b/", "third"));
    let other = Request::get("http://x.com/b/");
    gateway.send_until(&other, |answer| answer.status == 200);
    assert_eq!(
        gateway.send(&request).told()["service"],
        "default/second:80"
    );
    let report = gateway.ask("/report");
    let problem = &report["files"][0];
    assert!(
        problem["at"].as_str().unwrap().contains("case.yaml:"),
        "{report}"
    );
    assert_eq!(problem["diagnostic"]["code"], "PST1001");

    fs::remove_file(gateway.file("other.yaml")).unwrap();
    gateway.send_until(&other, |answer| answer.status == 404);
}

#[test]
fn a_running_request_is_finished_after_sigterm_and_the_exit_is_clean() {
    let mut gateway = Gateway::start(&mapping("a", "/a/", "slow"));
    let address = gateway.address(8080);
    let admin = gateway.admin();
    let running =
        thread::spawn(move || Request::get("http://x.com/a/?delay_ms=700").try_send(address));
    thread::sleep(Duration::from_millis(200));
    gateway.signal(Signal::TERM);
    let ready = Request::get("http://admin/ready");
    let deadline = Instant::now() + Duration::from_millis(400);
    while Instant::now() < deadline {
        // Once the process has heard of it, it is not ready, and soon nobody answers at all.
        if !matches!(ready.try_send(admin), Ok(answer) if answer.status == 200) {
            break;
        }
    }
    assert!(Instant::now() < deadline, "readiness must go off at once");
    let answer = running.join().unwrap().unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(gateway.wait().code(), Some(0), "{}", gateway.logged());
}

#[test]
fn idle_connections_do_not_hold_the_exit_up() {
    let mut gateway = Gateway::start(&mapping("a", "/a/", "a"));
    let mut idle = tcp(gateway.address(8080)).unwrap();
    idle.write_all(b"GET /a/ HTTP/1.1\r\nhost: x.com\r\n\r\n")
        .unwrap();
    assert_eq!(Answer::read(&mut idle, "GET").unwrap().status, 200);
    let began = Instant::now();
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0), "{}", gateway.logged());
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"", "an idle connection is closed without a word");
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut gateway = Gateway::start(&mapping("a", "/a/", "slow"));
    let address = gateway.address(8080);
    let cut =
        thread::spawn(move || Request::get("http://x.com/a/?delay_ms=15000").try_send(address));
    thread::sleep(Duration::from_millis(200));
    gateway.signal(Signal::TERM);
    thread::sleep(Duration::from_millis(100));
    let began = Instant::now();
    gateway.signal(Signal::TERM);
    gateway.wait();
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(
        cut.join().unwrap().is_err(),
        "the request must have been cut off"
    );
}

#[test]
fn a_port_that_is_taken_is_named_with_the_flag_that_helps() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let output = postern(&["serve", folder, "--admin-address", &address]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains(&address) && text.contains("--admin-address"),
        "{text}"
    );
}

#[test]
fn an_access_log_that_cannot_be_opened_is_named_with_its_flag() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("not-there").join("access.log");
    let file = file.to_str().unwrap();
    let output = postern(&[
        "serve",
        folder.path().to_str().unwrap(),
        "--access-log",
        file,
    ]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains(file) && text.contains("--access-log"),
        "{text}"
    );
}

#[test]
fn the_access_log_tells_where_each_request_went_and_no_query() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = silent.local_addr().unwrap();
    drop(silent);
    let gone = format!("default/gone:80={closed}");
    let mappings = mapping("a", "/a/", "quote") + &mapping("gone", "/gone/", "gone");
    let log_to = log.to_str().unwrap();
    let flags = ["--echo", "--access-log", log_to, "--backend", &gone];
    let mut gateway = Gateway::with_flags(&mappings, &flags);
    assert_eq!(gateway.get("http://x.com/a/b?token=secret").status, 200);
    assert_eq!(gateway.get("http://x.com/gone/").status, 503);
    assert_eq!(gateway.get("http://x.com/nobodys").status, 404);
    // What is waiting is written before the process ends.
    gateway.signal(Signal::TERM);
    assert!(gateway.wait().success());

    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(!text.contains("secret"), "{text}");
    assert_eq!(lines[0]["upstream"], "default/quote:80");
    let address = lines[0]["upstreamAddress"].as_str().unwrap();
    assert!(address.starts_with("127.0.0.1:"), "{text}");
    assert_eq!(lines[1]["upstreamAddress"], closed.to_string());
    assert_eq!(lines[1]["reason"], "connect_failed");
    assert_eq!(lines[2].get("upstreamAddress"), None);
}

#[test]
fn a_listener_whose_port_is_taken_is_named_with_the_flag_that_helps() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = format!("8080={}", taken.local_addr().unwrap());
    let gateway = Gateway::launch(&mapping("a", "/a/", "s"), &["--bind", &bind]);
    let port = format!(
        "Another program has port {}",
        taken.local_addr().unwrap().port()
    );
    let said = gateway.eventually(|| {
        let log = gateway.logged();
        let is_said = log.contains(&port) && log.contains("--bind 8080=127.0.0.1:18080");
        if is_said { Ok(()) } else { Err(log) }
    });
    said.unwrap();
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let output = postern(&[
        "serve",
        "no-such-folder",
        "--admin-address",
        "127.0.0.1:0",
        "--diagnostics-address",
        "127.0.0.1:0",
    ]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("cannot read no-such-folder"), "{text}");
}

#[test]
fn wrong_usage_is_exit_code_2_and_shows_the_flag() {
    let output = postern(&["serve", ".", "--drain-delay", "soon"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("--drain-delay") && text.contains("500ms"),
        "{text}"
    );
}

#[test]
fn lint_names_line_code_object_field_and_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("routes.yaml");
    fs::write(
        &file,
        mapping("a", "\"/a(b\"", "s").replace("spec: {", "spec: {prefixRegex: true, "),
    )
    .unwrap();
    let output = postern(&["lint", file.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let first = text.lines().next().unwrap();
    let wanted = format!("{}:4:", file.display());
    assert!(first.starts_with(&wanted), "{text}");
    assert!(
        first.contains("error PST2003 Mapping default/a spec.prefix: "),
        "{text}"
    );
    assert!(text.lines().nth(1).unwrap().starts_with("    "), "{text}");

    fs::write(&file, mapping("a", "/a/", "s")).unwrap();
    let output = postern(&["lint", file.to_str().unwrap(), "-o", "json"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "[]");
    assert_eq!(postern(&["lint", "no-such-folder"]).status.code(), Some(2));
}

#[test]
fn lint_says_how_to_mend_what_is_no_object_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let utf16: Vec<u8> = { "\u{feff}kind: Mapping".encode_utf16() }
        .flat_map(u16::to_le_bytes)
        .collect();
    for (bytes, wanted) in [
        (&utf16[..], "Save the file as UTF-8"),
        (b"kind: Mapping", "`apiVersion`, `kind` and `metadata.name`"),
        (
            b"{apiVersion: postern.dev/v1alpha1, kind: Maping, metadata: {name: a}}",
            "did you mean `Mapping`?",
        ),
        (b"a: [", "Mend the syntax"),
    ] {
        let file = folder.path().join("routes.yaml");
        fs::write(&file, bytes).unwrap();
        let output = postern(&["lint", file.to_str().unwrap()]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(wanted) && !text.contains("served"), "{text}");
    }
}

#[test]
fn lint_finds_the_line_of_a_field_in_emissarys_spelling() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("routes.yaml");
    let text = "apiVersion: getambassador.io/v3alpha1\nkind: Mapping\nmetadata: {name: a}\nspec:\n  hostname: '*'\n  \
                prefix: /a/\n  service: https://example.org\n  add_request_headers:\n    \"x y\": {value: a}\n";
    fs::write(&file, text).unwrap();
    let output = postern(&["lint", file.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stdout);
    let wanted = format!("{}:9:5: error PST2005", file.display());
    assert!(text.starts_with(&wanted), "{text}");
}

#[test]
fn every_example_is_free_of_errors() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    // Each is an installation of its own; `cluster` is what a cluster has besides.
    let folders = fs::read_dir(examples)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    for folder in folders.filter(|folder| !folder.ends_with("cluster")) {
        let output = postern(&["lint", folder.to_str().unwrap()]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}: {text}",
            folder.display()
        );
        assert!(text.contains("0 errors and 0 warnings"), "{text}");
    }
}

fn listener(name: &str, port: u16) -> String {
    format!(
        "apiVersion: postern.dev/v1alpha1\nkind: Listener\nmetadata: {{name: {name}}}\n\
         spec: {{port: {port}, protocol: HTTP, securityModel: XFP, hostBinding: {{namespace: {{from: ALL}}}}}}\n---\n"
    )
}

#[test]
fn a_listener_whose_port_is_taken_keeps_no_replica_from_serving_the_others() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = format!("8090={}", taken.local_addr().unwrap());
    let manifests = listener("web", 8080) + &listener("more", 8090) + &mapping("a", "/a/", "quote");
    let gateway = Gateway::with_flags(&manifests, &["--echo", "--bind", &bind]);
    assert_eq!(gateway.get("http://x.com/a/").status, 200);
    let log = gateway.logged();
    assert!(log.contains("port 8090: cannot listen on"), "{log}");
    let ready = Request::get("http://admin/ready");
    let answer = ready.try_send(gateway.admin()).unwrap();
    let state: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let degraded = state["degraded"]["listeners"].as_str();
    assert!(
        degraded.is_some_and(|why| why.contains("port 8090")),
        "{state}"
    );
    assert!(gateway.metrics()["postern_listeners_unbound"] > 0.0);

    // As soon as the other program ends, its port is Postern's.
    drop(taken);
    let request = Request::get("http://x.com/a/");
    assert_eq!(request.try_send(gateway.address(8090)).unwrap().status, 200);
    let bound = gateway.eventually(|| {
        let unbound = gateway.metrics()["postern_listeners_unbound"];
        if unbound > 0.0 {
            Err(format!("{unbound} unbound"))
        } else {
            Ok(())
        }
    });
    bound.unwrap();
}
