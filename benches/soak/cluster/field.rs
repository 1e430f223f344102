//! An API server with routes in it, three replicas, and a backend.

use std::{fs, process::Stdio, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    api::{
        ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
    },
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout},
};

use super::{
    record::Record,
    server::{ADMIN_TOKEN, POSTERN_TOKEN, POSTERN_USER, Server},
};
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
/// A Service that exists.
pub(super) const GOOD: &str = "web:80";
/// In a burst, as from several people and a robot.
const CHANGES_AT_ONCE: usize = 8;
/// For anything that should come soon.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

pub(super) struct Field {
    pub(super) server: Server,
    pub(super) replicas: Vec<Gateway>,
    /// From when all replicas were ready until the status of every route said so.
    pub(super) first_statuses: Duration,
    places: Vec<Place>,
    mappings: Api<DynamicObject>,
    pub(super) record: Arc<Record>,
    leases: Api<Lease>,
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

/// A change that the API server has answered.
#[derive(Clone, Debug)]
pub(super) struct Change {
    name: String,
    generation: i64,
    answered: Instant,
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
        let client = runtime.block_on(client(&server))?;
        let leases = Api::namespaced(client.clone(), "postern");
        let mappings = mappings(client);
        let record = Arc::<Record>::default();
        runtime.spawn({
            let (record, mappings) = (record.clone(), mappings.clone());
            async move { record.keep(mappings).await }
        });
        let replicas = replicas(&server)?;
        let ready = Instant::now();
        let places = replicas.iter().map(place).collect::<Result<_>>()?;
        let mut field = Self {
            server,
            replicas,
            places,
            mappings,
            record,
            leases,
            first_statuses: Duration::ZERO,
            _echo: echo,
        };
        runtime.block_on(field.until_all_have_a_status())?;
        field.first_statuses = ready.elapsed();
        Ok(field)
    }

    async fn until_all_have_a_status(&self) -> Result<()> {
        let list = self.mappings.list_metadata(&ListParams::default()).await?;
        let all = async {
            while self.record.objects() < list.items.len() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let all = timeout(PATIENCE, all).await;
        all.with_context(|| format!("no status of all objects after {PATIENCE:?}"))
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
            "spec": { "hostname": HOSTNAME, "prefix": format!("/{name}/"), "service": GOOD },
        }))?;
        let plain = PostParams::default();
        let made = self.mappings.create(&plain, &object).await;
        made.with_context(|| format!("making {name}"))?;
        Ok(Instant::now())
    }

    /// Gives routes another Service, a few at a time.
    pub(super) async fn change_all(&self, names: &[String], service: &str) -> Result<Vec<Change>> {
        let changes = names.iter().map(|name| self.change(name, service));
        stream::iter(changes)
            .buffered(CHANGES_AT_ONCE)
            .try_collect()
            .await
    }

    async fn change(&self, name: &str, service: &str) -> Result<Change> {
        let patch = Patch::Merge(json!({ "spec": { "service": service } }));
        let plain = PatchParams::default();
        let changed = self.mappings.patch(name, &plain, &patch).await;
        let changed = changed.with_context(|| format!("changing {name}"))?;
        Ok(Change {
            name: name.to_owned(),
            generation: changed.metadata.generation.unwrap_or_default(),
            answered: Instant::now(),
        })
    }

    /// The replica that writes status.
    pub(super) async fn leader(&self) -> Result<&Gateway> {
        let lease = self.leases.get("postern-default-leader").await?;
        let holder = lease.spec.and_then(|spec| spec.holder_identity);
        let holder = holder.context("somebody must lead")?;
        let number = holder.rsplit('-').next().and_then(|n| n.parse().ok());
        let number: usize = number.with_context(|| format!("{holder} is no replica"))?;
        self.replicas.get(number).context("there are replicas")
    }

    async fn until_programmed(
        &self,
        name: &str,
        written: Instant,
        limit: Duration,
    ) -> Result<Duration> {
        let made = Change {
            name: name.to_owned(),
            generation: 1,
            answered: written,
        };
        self.until_right(&made, limit).await
    }

    /// How long after the API server's answer the status was right.
    pub(super) async fn until_right(&self, change: &Change, limit: Duration) -> Result<Duration> {
        let Change {
            name,
            generation,
            answered,
        } = change;
        let seen = async {
            loop {
                if let Some(at) = self.record.right(name, *generation) {
                    return at.saturating_duration_since(*answered);
                }
                sleep(Duration::from_millis(2)).await;
            }
        };
        let seen = timeout(limit, seen).await;
        seen.with_context(|| format!("{name} has no right status after {limit:?}"))
    }
}

/// A client of somebody who may do anything.
pub(super) async fn client(server: &Server) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(server.kubeconfig(ADMIN_TOKEN, NAMESPACE))?;
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    Ok(Client::try_from(config)?)
}

pub(super) fn mappings(client: Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("postern.dev", "v1alpha1", "Mapping");
    let kind = ApiResource::from_gvk_with_plural(&kind, "mappings");
    Api::namespaced_with(client, NAMESPACE, &kind)
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
    let (crds, roles) = (format!("{root}/crds"), format!("{root}/helm/rbac.yaml"));
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
