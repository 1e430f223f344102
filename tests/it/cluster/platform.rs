//! What a platform team has made ready before anybody uses a cluster: the kinds, the shipped roles, and namespaces.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Output, Stdio},
    sync::{LazyLock, OnceLock},
    thread,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use postern::resource::{Group, Kind, key::KINDS};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::server::{POSTERN_USER, Server};

const LIMIT: Duration = Duration::from_secs(30);

/// The subject of the bindings in the shipped file.
const SHIPPED_SUBJECT: &str =
    "  - kind: ServiceAccount\n    name: postern\n    namespace: postern\n";

/// The server that most tests share, with all kinds, and a user `postern` who has the shipped roles and nothing else. Each
/// test has namespaces of its own in it, and an installation of its own if it has a gateway.
pub(crate) fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| {
        let server = Server::start();
        prepare(&server);
        server
    })
}

/// A server whose kinds and whose life are the caller's to play with: one test has it at a time.
pub(crate) fn own() -> MutexGuard<'static, Server> {
    static OWN: LazyLock<Mutex<Server>> = LazyLock::new(|| Mutex::new(Server::start()));
    let mut server = OWN.lock();
    server.ensure_apiserver();
    prepare(&server);
    server
}

fn prepare(server: &Server) {
    install(server, "postern");
    crds(server, Group::Postern);
    crds(server, Group::Emissary);
}

/// Lets the user `postern` run an installation in this namespace, by the shipped roles.
pub(crate) fn install(server: &Server, own_namespace: &str) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("helm/rbac.yaml");
    let roles = fs::read_to_string(shipped).unwrap();
    assert_eq!(roles.matches(SHIPPED_SUBJECT).count(), 2, "{roles}");
    let user = format!(
        "  - kind: User\n    name: {POSTERN_USER}\n    apiGroup: rbac.authorization.k8s.io\n"
    );
    let roles = roles.replace(SHIPPED_SUBJECT, &user).replace(
        "  namespace: postern\n",
        &format!("  namespace: {own_namespace}\n"),
    );
    namespace(server, own_namespace);
    apply(server, &roles);
}

/// Installs the CRDs of a group: Postern's own as they are shipped, Emissary's with its status and a spec that takes anything.
pub(crate) fn crds(server: &Server, group: Group) {
    let rows = || KINDS.iter().filter(move |row| row.0 == group);
    let server_side = ["apply", "--server-side", "--force-conflicts", "-f"];
    if group == Group::Postern {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
        run(
            server,
            &[&server_side[..], &[folder.to_str().unwrap()]].concat(),
            "",
        );
    } else {
        let items: Vec<_> = rows().map(foreign_crd).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        apply(server, &list.to_string());
    }
    let names: Vec<_> = rows()
        .map(|row| format!("crd/{}.{}", row.3, group.name()))
        .collect();
    let mut arguments = vec!["wait", "--for=condition=Established", "--timeout=30s"];
    arguments.extend(names.iter().map(String::as_str));
    run(server, &arguments, "");
    // Established is said a little before the kinds are served.
    let version = if group == Group::Postern {
        "v1alpha1"
    } else {
        "v3alpha1"
    };
    let deadline = Instant::now() + LIMIT;
    for row in rows() {
        let path = format!("/apis/{}/{version}/{}?limit=1", group.name(), row.3);
        while let Err(error) = server.get(&path) {
            assert!(Instant::now() < deadline, "{path} is not served: {error}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn foreign_crd(&(group, kind, name, plural): &(Group, Kind, &str, &str)) -> Value {
    let anything = json!({"x-kubernetes-preserve-unknown-fields": true});
    let status = match kind {
        Kind::Mapping => json!({"type": "object", "properties": {
            "state": {"type": "string", "enum": ["", "Inactive", "Running"]},
            "reason": {"type": "string"},
        }}),
        _ => anything.clone(),
    };
    let schema = json!({"type": "object", "properties": {"spec": anything, "status": status}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{}", group.name())},
        "spec": {
            "group": group.name(),
            "scope": "Namespaced",
            "names": {"kind": name, "plural": plural},
            "versions": [{"name": "v3alpha1", "served": true, "storage": true,
                "subresources": {"status": {}}, "schema": {"openAPIV3Schema": schema}}],
        },
    })
}

pub(crate) fn namespace(server: &Server, name: &str) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    apply(server, &namespace.to_string());
}

// === kubectl ===

/// What the administrator's `kubectl` says, which must succeed.
pub(crate) fn run(server: &Server, arguments: &[&str], input: &str) -> String {
    let output = attempt(server, arguments, input);
    assert!(
        output.status.success(),
        "{arguments:?}: {}\n{input}",
        said(&output)
    );
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn attempt(server: &Server, arguments: &[&str], input: &str) -> Output {
    let mut kubectl = server.kubectl();
    kubectl.args(arguments).stdin(Stdio::piped());
    kubectl.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = kubectl.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).into_owned()
}

pub(crate) fn apply(server: &Server, manifest: &str) {
    let arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    run(server, &arguments, manifest);
}
