//! A hostile namespace in a real API server. The world is a small one here; `make soak` has 200 namespaces.

use std::{cell::Cell, process::Stdio};

use super::{
    installation::{Installation, figure},
    platform::{apply, own},
    siege::{self, Siege, Size, successes},
};
use crate::attacks::plan::{attacks, futile};

const SIZE: Size = Size {
    namespaces: 4,
    routes: 40,
    claims: 8,
};

#[test]
fn no_attack_of_a_team_succeeds_in_claimed_space() {
    let server = own();
    let installation = Installation::new(
        &server,
        "postern",
        &["postern", "shop", "cart", "web", "evil"],
    );
    siege::lift(&server);
    let surroundings: Vec<_> = siege::surroundings(SIZE)
        .iter()
        .map(ToString::to_string)
        .collect();
    apply(&server, &surroundings.join("\n---\n"));
    siege::populate(&server);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let flags = ["--echo", "--bind", "6379=127.0.0.1:0", "--access-log"];
    let flags: Vec<_> = flags.into_iter().chain([log.to_str().unwrap()]).collect();
    let gateway = installation.with_flags("one", &flags);
    let siege = Siege {
        server: &server,
        cleartext: gateway.address(8080),
        tls: gateway.address(8443),
        orders: gateway.address(6379),
        log: &log,
        diagnostics: gateway.diagnostics(),
        listens: 10,
        marks: Cell::new(0),
    };
    let attacks: Vec<_> = attacks()
        .into_iter()
        .map(|attack| attack.at_most(50))
        .collect();
    let rows = siege.run(&attacks);
    for row in &rows {
        figure(format_args!("{}", row.line()));
    }
    let mut wrong: Vec<_> = rows.iter().flat_map(siege::Row::wrong).collect();
    for attack in futile() {
        let verdict = siege.attack(&attack, 3, None);
        wrong.extend(
            verdict
                .success
                .map(|success| format!("{}: {success}", attack.name)),
        );
    }
    for (what, said) in siege.forbidden() {
        let message = said.err().unwrap_or_default();
        if !message.contains("forbidden") {
            wrong.push(format!("{what}: {message}"));
        }
    }
    siege::lift(&server);
    let names = surroundings_of(&server);
    assert!(
        wrong.is_empty(),
        "{:?} succeed; {}",
        successes(&rows),
        wrong.join("\n")
    );
    assert!(names.is_empty(), "{names}");
}

/// Takes away what the others on this server could stumble over; returns what could not be.
fn surroundings_of(server: &super::server::Server) -> String {
    let kinds = "routeclaims.postern.dev,mappings.postern.dev,hosts.postern.dev,tcpmappings.postern.dev,listeners.postern.dev";
    let output = server
        .kubectl()
        .args(["delete", kinds, "--all", "--all-namespaces", "--wait=false"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if output.status.success() {
        return String::new();
    }
    String::from_utf8_lossy(&output.stderr).into_owned()
}
