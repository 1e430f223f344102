//! The attacks of the tests in a world of full size, and the page that says what came of them.

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tokio::time::Instant;

use super::{
    field::{self, PATIENCE},
    server::{POSTERN_TOKEN, Server},
    siege::{self, Row, Siege, Size},
};
use crate::{
    attacks::plan::{attacks, futile},
    harness::{
        gateway::{Gateway, PROGRAM},
        process,
        text::grouped,
    },
};

/// For a gateway that reads the whole world, with all that the API server has to do for it.
const READY_WITHIN: Duration = Duration::from_mins(3);

/// Runs all attacks with each defence, and writes `docs/reference/ownership.md`.
pub(crate) fn prove(size: Size) -> Result<String> {
    let server = Server::start();
    field::install(&server)?;
    fill(&server, size)?;
    siege::populate(&server);
    eprintln!("soak: the world is there; a gateway reads it");
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("access.log");
    let gateway = gateway(&server, &log)?;
    let siege = Siege {
        server: &server,
        cleartext: gateway.address(8080)?,
        tls: gateway.address(8443)?,
        orders: gateway.address(6379)?,
        log: &log,
        diagnostics: gateway.diagnostics()?,
        listens: 1,
        marks: Cell::new(0),
    };
    let begun = Instant::now();
    let rows = siege.run(&attacks());
    let mut wrong: Vec<_> = rows.iter().flat_map(Row::wrong).collect();
    let futile = futile();
    for attack in &futile {
        let verdict = siege.attack(attack, 5, None);
        wrong.extend(
            verdict
                .success
                .map(|success| format!("{}: {success}", attack.name)),
        );
    }
    let forbidden = siege.forbidden();
    for (what, said) in &forbidden {
        let is_forbidden = said
            .as_ref()
            .is_err_and(|message| message.contains("forbidden"));
        if !is_forbidden {
            wrong.push(format!("{what}: {said:?}"));
        }
    }
    let [undefended, first_come, claimed] = siege::successes(&rows);
    let line = format!(
        "{} namespaces, {} routes, {} claims: of {} attacks {undefended} succeed where nothing defends, {first_come} by first \
         come, {claimed} in claimed space; {} more succeed nowhere, {} are forbidden by RBAC; {:.0} s",
        size.namespaces,
        grouped(size.routes as u64),
        size.claims,
        rows.len(),
        futile.len(),
        forbidden.len(),
        begun.elapsed().as_secs_f64(),
    );
    ensure!(wrong.is_empty(), "{line}: {}", wrong.join("\n"));
    write(&rows, &line)?;
    Ok(line)
}

/// By the administrator's `kubectl`, some hundred objects at a time.
fn fill(server: &Server, size: Size) -> Result<()> {
    let objects = siege::surroundings(size);
    eprintln!(
        "soak: the API server runs; making {} objects",
        objects.len()
    );
    for part in objects.chunks(500) {
        let folder = tempfile::tempdir()?;
        let texts: Vec<_> = part.iter().map(ToString::to_string).collect();
        let file = folder.path().join("part.yaml");
        fs::write(&file, texts.join("\n---\n"))?;
        let mut kubectl = server.kubectl();
        kubectl
            .arg("create")
            .arg("-f")
            .arg(&file)
            .stdin(Stdio::null());
        process::output(&mut kubectl).context("making the world")?;
    }
    Ok(())
}

fn gateway(server: &Server, log: &Path) -> Result<Gateway> {
    let kubeconfig = server.kubeconfig(POSTERN_TOKEN, "postern");
    let [kubeconfig, log] = [&kubeconfig, log].map(|path| path.display().to_string());
    let arguments = [
        "--kubeconfig",
        &kubeconfig,
        "--namespace",
        "postern",
        "--pod-name",
        "besieged",
        "--workers",
        "1",
        "--echo",
        "--bind",
        "6379=127.0.0.1:0",
        "--access-log",
        &log,
    ];
    let mut gateway = Gateway::launch(process::tied(PROGRAM), &arguments)?;
    gateway.wait_until_ready(READY_WITHIN.max(PATIENCE))?;
    Ok(gateway)
}

const HEAD: &str = "<!-- Written by `make soak ARGS='--only attacks'`. -->
# Ownership, attacked

A namespace writes whatever its rights let it write, to take requests and connections that are others'. Each line is one attempt from
`tests/attacks/`, written through a real API server by a user with full rights on Postern's kinds in one namespace and nothing
else, and judged by the answers of a real gateway. How claims work: [ownership](../concepts/ownership.md).

*Nothing* is `ownership.unclaimed: Shared` with `references.services: Allow` and no claim, which is how Emissary-ingress
works. *First come* is the default where nobody has claimed anything. A code says why an attempt is refused; an attempt that
is not refused and succeeds under first come is what only a claim defends against.

";

fn write(rows: &[Row], line: &str) -> Result<()> {
    let lines: Vec<_> = rows.iter().map(Row::line).collect();
    let page = format!(
        "{HEAD}{line}.\n\n| attempt | nothing | first come | claims |\n|---|---|---|---|\n{}\n\nAn attempt that says that an object is older than \
         others fails in a cluster, where the API server says how old it is; in a folder it is tested as well. Emissary's kinds and \
         Services take rights that this user does not have; with them, the attempts fail the same way in the tests of the compiler.\n",
        lines.join("\n"),
    );
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/reference/ownership.md");
    fs::write(path, page).context("writing docs/reference/ownership.md")
}
