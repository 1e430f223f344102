//! The harness itself.

use super::{platform, server::POSTERN_TOKEN};

#[test]
fn the_server_is_real_and_has_rbac_on() {
    let server = platform::shared();
    let version = server
        .kubectl()
        .args(["version", "-o", "json"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&version.stdout);
    assert!(text.contains("serverVersion"), "{text}");

    let nobody = server
        .kubectl()
        .args(["--token", "nobody", "get", "namespaces"])
        .output()
        .unwrap();
    assert!(
        !nobody.status.success(),
        "an unknown token must not be let in"
    );

    let writes = server
        .kubectl()
        .args([
            "--token",
            POSTERN_TOKEN,
            "create",
            "namespace",
            "not-allowed",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&writes.stderr).into_owned();
    assert!(text.contains("forbidden"), "{text}");
}

#[test]
fn objects_outlive_a_restart_of_the_api_server() {
    let mut server = platform::own();
    let made = server
        .kubectl()
        .args(["create", "namespace", "kept"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    server.stop_apiserver();
    let away = server
        .kubectl()
        .args(["get", "namespace", "kept", "--request-timeout=2s"])
        .output()
        .unwrap();
    assert!(!away.status.success(), "a stopped server must not answer");
    server.start_apiserver();
    let kept = server
        .kubectl()
        .args(["get", "namespace", "kept"])
        .output()
        .unwrap();
    assert!(kept.status.success(), "{kept:?}");
}
