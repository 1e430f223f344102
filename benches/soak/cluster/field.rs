//! An API server with routes in it, three replicas, and a backend.

use std::{collections::BTreeMap, fs, process::Stdio, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use futures_util::StreamExt;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::watcher,
};
use parking_lot::Mutex;
use serde_json::json;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout},
};

use super::server::{ADMIN_TOKEN, POSTERN_TOKEN, POSTERN_USER, Server};
use crate::{
    changes::{HOSTNAME, place, write_routes},
    connection::{Connection, Outcome, Place, Speech},
    harness::{
        gateway::{Gateway, PROGRAM},
        manifest,
        process::{self, Owned, local},
    },
};

/// Where the API server takes ClusterIPs from.
pub(super) const SERVICES: &str = "10.96.0.0/16";

const REPLICAS: usize = 3;
const NAMESPACE: &str = "team";
/// For anything that should come soon.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

pub(super) struct Field {
    pub(super) server: Server,
    pub(super) replicas: Vec<Gateway>,
    places: Vec<Place>,
    mappings: Api<DynamicObject>,
    /// When each Mapping was first seen to be programmed.
    programmed: Arc<Mutex<BTreeMap<String, Instant>>>,
    _echo: Owned,
}

/// How long after the API server's answer something was so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// The first 200 of one replica.
    pub(super) first: Duration,
    /// The first 200 of the last replica.
    pub(super) everywhere: Duration,
    pub(super) programmed: Duration,
}

impl Field {
    pub(super) fn new(routes: usize, runtime: &Handle) -> Result<Self> {
        let mut echo = process::tied(PROGRAM);
        echo.args(["echo", "--address", "0.0.0.0:80"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut echo = Owned::start("postern echo", &mut echo)?;
        echo.wait_for(local(80), PATIENCE)?;
        let server = Server::start();
        eprintln!("soak: the API server runs; making {routes} routes");
        fill(&server, routes)?;
        let mappings = runtime.block_on(mappings(&server))?;
        let programmed = Arc::default();
        runtime.spawn(note_programmed(mappings.clone(), Arc::clone(&programmed)));
        let replicas = replicas(&server)?;
        let places = replicas.iter().map(place).collect::<Result<_>>()?;
        Ok(Self {
            server,
            replicas,
            places,
            mappings,
            programmed,
            _echo: echo,
        })
    }

    /// Where the first replica is found.
    pub(super) fn place(&self) -> Result<&Place> {
        self.places.first().context("there are replicas")
    }

    /// Makes routes, each when the one before is served by all.
    pub(super) async fn create_all(&self, count: usize) -> Result<Vec<Times>> {
        let mut served = Vec::new();
        for number in 0..count {
            let name = format!("live-{number}");
            let (written, times) = self.create_and_ask(&name).await?;
            served.push((name, written, times));
        }
        let mut all = Vec::new();
        for (name, written, mut times) in served {
            times.programmed = self.until_programmed(&name, written, PATIENCE).await?;
            all.push(times);
        }
        Ok(all)
    }

    /// Makes one route, and waits until it is programmed.
    pub(super) async fn create(&self, name: &str) -> Result<Times> {
        let (written, mut times) = self.create_and_ask(name).await?;
        times.programmed = self.until_programmed(name, written, PATIENCE).await?;
        Ok(times)
    }

    /// Makes one route, and waits until it is programmed, whoever serves it.
    pub(super) async fn programmed_alone(&self, name: &str, limit: Duration) -> Result<Duration> {
        let written = self.write(name).await?;
        self.until_programmed(name, written, limit).await
    }

    /// Makes a route and asks for it until it is there.
    async fn create_and_ask(&self, name: &str) -> Result<(Instant, Times)> {
        const CLEARTEXT: Speech = Speech {
            tls: false,
            http2: false,
        };
        let mut connections = Vec::new();
        for place in &self.places {
            connections.push((place, Connection::open(place, CLEARTEXT).await?));
        }
        let path = format!("/{name}/a");
        let written = self.write(name).await?;
        let mut live = Vec::new();
        for (place, connection) in &mut connections {
            loop {
                match connection.sender.send(place, &path).await {
                    Outcome::Answered { status: 200, .. } => break,
                    Outcome::Answered { status: 404, .. } => {}
                    // The API server took so long that a connection without a request was given up.
                    Outcome::Unsent => *connection = Connection::open(place, CLEARTEXT).await?,
                    other => bail!("{path} came to {other:?} while it became live"),
                }
                ensure!(
                    written.elapsed() < PATIENCE,
                    "{path} is not served after {PATIENCE:?}"
                );
            }
            live.push(written.elapsed());
        }
        let times = Times {
            first: live.first().copied().unwrap_or_default(),
            everywhere: live.last().copied().unwrap_or_default(),
            programmed: Duration::ZERO,
        };
        Ok((written, times))
    }

    /// Makes a route; returns when the API server answered.
    async fn write(&self, name: &str) -> Result<Instant> {
        let object = serde_json::from_value(json!({
            "apiVersion": "postern.dev/v1alpha1",
            "kind": "Mapping",
            "metadata": { "name": name },
            "spec": { "hostname": HOSTNAME, "prefix": format!("/{name}/"), "service": "web:80" },
        }))?;
        let plain = PostParams::default();
        let made = self.mappings.create(&plain, &object).await;
        made.with_context(|| format!("making {name}"))?;
        Ok(Instant::now())
    }

    async fn until_programmed(
        &self,
        name: &str,
        written: Instant,
        limit: Duration,
    ) -> Result<Duration> {
        let seen = async {
            loop {
                if let Some(at) = self.programmed.lock().get(name) {
                    return at.saturating_duration_since(written);
                }
                sleep(Duration::from_millis(2)).await;
            }
        };
        let seen = timeout(limit, seen).await;
        seen.with_context(|| format!("{name} is not programmed after {limit:?}"))
    }
}

/// The Mappings of the API server, for somebody who may do anything.
pub(super) async fn mappings(server: &Server) -> Result<Api<DynamicObject>> {
    let kubeconfig = Kubeconfig::read_from(server.kubeconfig(ADMIN_TOKEN, NAMESPACE))?;
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    let kind = GroupVersionKind::gvk("postern.dev", "v1alpha1", "Mapping");
    let kind = ApiResource::from_gvk_with_plural(&kind, "mappings");
    Ok(Api::namespaced_with(
        Client::try_from(config)?,
        NAMESPACE,
        &kind,
    ))
}

/// What every cluster with Postern has, and the routes.
fn fill(server: &Server, routes: usize) -> Result<()> {
    install(server)?;
    let folder = tempfile::tempdir()?;
    write_routes(folder.path())?;
    fs::write(
        folder.path().join("others.yaml"),
        manifest::mappings(10, routes / 10, "web:80"),
    )?;
    let folder = folder.path().display().to_string();
    kubectl(server, &["-n", NAMESPACE, "create", "-f", &folder])
}

/// What every cluster with Postern has, and the Services of the routes.
pub(super) fn install(server: &Server) -> Result<()> {
    let root = env!("CARGO_MANIFEST_DIR");
    let user = format!("--user={POSTERN_USER}");
    let (crds, roles) = (
        format!("{root}/crds"),
        format!("{root}/helm/postern/templates/rbac.yaml"),
    );
    let service = |name| {
        vec![
            "-n",
            NAMESPACE,
            "create",
            "service",
            "clusterip",
            name,
            "--tcp=80",
        ]
    };
    let steps = [
        vec!["apply", "--server-side", "-f", &crds],
        vec![
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "crd",
            "--all",
        ],
        vec!["create", "namespace", "postern"],
        vec!["create", "namespace", NAMESPACE],
        vec!["apply", "-f", &roles],
        vec![
            "create",
            "clusterrolebinding",
            "soak",
            "--clusterrole=postern",
            &user,
        ],
        vec![
            "-n",
            "postern",
            "create",
            "rolebinding",
            "soak",
            "--role=postern",
            &user,
        ],
        service("web"),
        service("canary"),
    ];
    steps
        .iter()
        .try_for_each(|arguments| kubectl(server, arguments))
}

fn kubectl(server: &Server, arguments: &[&str]) -> Result<()> {
    let mut command = server.kubectl();
    process::output(command.args(arguments).stdin(Stdio::null()))
        .with_context(|| format!("kubectl {}", arguments.join(" ")))?;
    Ok(())
}

fn replicas(server: &Server) -> Result<Vec<Gateway>> {
    let started = (0..REPLICAS).map(|number| replica(server, number));
    let mut replicas = started.collect::<Result<Vec<_>>>()?;
    for replica in &mut replicas {
        replica.wait_until_ready(PATIENCE)?;
    }
    Ok(replicas)
}

/// Starts a replica, and does not wait for it.
pub(super) fn replica(server: &Server, number: usize) -> Result<Gateway> {
    let kubeconfig = server.kubeconfig(POSTERN_TOKEN, "postern");
    let kubeconfig = kubeconfig.display().to_string();
    let name = format!("replica-{number}");
    let arguments = [
        "--kubeconfig",
        &kubeconfig,
        "--pod-name",
        &name,
        "--workers",
        "1",
    ];
    Gateway::launch(process::tied(PROGRAM), &arguments)
}

/// Watches the Mappings for as long as the runtime is there.
async fn note_programmed(
    mappings: Api<DynamicObject>,
    programmed: Arc<Mutex<BTreeMap<String, Instant>>>,
) {
    let mut events = watcher(mappings, watcher::Config::default()).boxed();
    while let Some(event) = events.next().await {
        let object = match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => object,
            Ok(_) => continue,
            Err(_) => {
                // The API server may be away: that is one of the proofs.
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if is_programmed(&object) {
            let name = object.metadata.name.unwrap_or_default();
            programmed.lock().entry(name).or_insert_with(Instant::now);
        }
    }
}

fn is_programmed(object: &DynamicObject) -> bool {
    let conditions = object.data["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| {
        condition["type"] == "Programmed"
            && condition["status"] == "True"
            && condition["observedGeneration"].as_i64() == object.metadata.generation
    })
}
