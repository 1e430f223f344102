//! The parts that are different in a folder and in a cluster.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context, Result};
use prometheus_client::registry::Registry;
use serde_json::json;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tracing::{error, info, warn};

use super::{Snapshots, Stoppable};
use crate::{
    admin,
    compile::{Backend, Environment, Options},
    config::{DEFAULT_NAMESPACE, Serve, StatusGroup},
    echo::{EMBEDDED, Echo},
    resource::{Group, ObjectKey},
    source::{
        Change,
        dir::Dir,
        kept::{Owner, StateDir},
        kube::{Connection, Kube, connect},
    },
    status::{self, Status, StatusMetrics},
    telemetry::{health::Health, metrics::VERSION, watches::WatchMetrics},
};

/// Where the resources are.
pub(super) enum Place {
    Folder {
        path: PathBuf,
    },
    Cluster {
        connection: Connection,
        watches: WatchMetrics,
        status: StatusMetrics,
    },
}

/// A place, and what both kinds of it have.
pub(super) struct Site {
    place: Place,
    /// Postern's own namespace.
    namespace: String,
    echo: Option<SocketAddr>,
}

impl Site {
    /// Finds out where the resources are, and starts what the compiler must know the address of.
    pub(super) async fn find(serve: &Serve, registry: &mut Registry) -> Result<Self> {
        let (place, default_namespace) = if let Some(path) = &serve.dir {
            (Place::Folder { path: path.clone() }, None)
        } else {
            let connection = connect(serve.kubeconfig.as_deref()).await?;
            let namespace = connection.namespace.clone();
            let place = Place::Cluster {
                connection,
                watches: WatchMetrics::register(registry),
                status: StatusMetrics::register(registry),
            };
            (place, namespace)
        };
        let namespace = serve
            .namespace
            .clone()
            .or(default_namespace)
            .unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
        Ok(Self {
            place,
            namespace,
            echo: if serve.echo {
                Some(start_echo().await?)
            } else {
                None
            },
        })
    }

    pub(super) fn compiler_options(&self, serve: &Serve) -> Options {
        let environment = match &self.place {
            Place::Folder { .. } => Environment::Folder {
                backends: backends(serve),
                echo: self.echo,
            },
            Place::Cluster { .. } => Environment::Cluster {
                domain: serve.cluster_domain.as_str().into(),
                own_addresses: own_addresses(serve),
                echo: self.echo,
            },
        };
        Options {
            namespace: self.namespace.as_str().into(),
            installation: serve.installation.as_str().into(),
            own_ports: own_ports(serve),
            environment,
        }
    }

    /// Sends what there is and what changes. The task ends only when something is wrong.
    pub(super) fn run_source(
        &self,
        serve: &Serve,
        health: &Health,
        changes: mpsc::Sender<Vec<Change>>,
        wanted: watch::Receiver<Arc<BTreeSet<ObjectKey>>>,
    ) -> JoinHandle<Result<()>> {
        match &self.place {
            Place::Folder { path } => {
                let dir = Dir {
                    paths: vec![path.clone()],
                    default_namespace: self.namespace.clone(),
                    follow: true,
                };
                tokio::spawn(async move { Ok(dir.run(changes, wanted).await?) })
            }
            Place::Cluster {
                connection,
                watches,
                ..
            } => {
                let kube = Kube {
                    selector: serve.selector.clone(),
                    spares_own_kinds: serve.compat.is_some(),
                    client: connection.client.clone(),
                    namespaces: serve.watch_namespaces.clone(),
                    secret_namespaces: serve.secret_namespaces.clone(),
                    secret_names: serve.secret_names.clone(),
                    own_namespace: self.namespace.clone(),
                    health: health.clone(),
                    metrics: watches.clone(),
                    state: self.state_dir(serve, connection),
                };
                tokio::spawn(async move { Ok(kube.run(changes, wanted).await?) })
            }
        }
    }

    fn state_dir(&self, serve: &Serve, connection: &Connection) -> Option<StateDir> {
        let folder = serve.state_dir.clone()?;
        let mut watch_namespaces = serve.watch_namespaces.clone();
        watch_namespaces.sort_unstable();
        let owner = Owner {
            server: connection.server.clone(),
            installation: serve.installation.clone(),
            namespace: self.namespace.clone(),
            watch_namespaces,
        };
        Some(StateDir {
            folder,
            is_good: crate::compile::holds_certificate,
            owner,
        })
    }

    /// Keeps the status of objects true. In a folder nobody has one.
    pub(super) fn write_status(
        &self,
        serve: &Serve,
        health: &Health,
        unbound: impl Fn() -> BTreeSet<u16> + Send + Sync + 'static,
        published: Snapshots,
    ) -> Stoppable {
        let Place::Cluster {
            connection, status, ..
        } = &self.place
        else {
            return Stoppable::default();
        };
        let last = published.clone();
        let digest = move || {
            let graph = last.borrow().as_ref().map(|last| last.graph.clone());
            graph.map_or_else(String::new, |graph| admin::digest(&graph))
        };
        let options = status::Options {
            installation: serve.installation.clone(),
            namespace: self.namespace.clone(),
            replica: serve.pod.pod_name.clone().unwrap_or_else(machine_name),
            pod_uid: serve.pod.pod_uid.clone(),
            namespaces: serve.watch_namespaces.clone(),
            silent: silent(serve),
            publish: serve.publish_service.clone(),
            node_addresses: serve.node_addresses.clone(),
            build: VERSION.to_owned(),
            preset: serve
                .compat
                .map(|crate::config::Compat::Emissary| "emissary".to_owned()),
            digest: Box::new(digest),
            unbound: Box::new(unbound),
            health: health.clone(),
            metrics: status.clone(),
            timing: status::Timing::default(),
        };
        let client = connection.client.clone();
        let snapshots = status_snapshots(published);
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let stop = async move {
                // The sender is dropped only when the process ends.
                let _ended = stopped.wait_for(|stop| *stop).await;
            };
            if let Err(error) = Status::run(client, options, snapshots, stop).await {
                error!(%error, "No status is written");
            }
        });
        Stoppable(Some((stop, task)))
    }

    /// The settings of the process, for the diagnostics port.
    pub(super) fn shown_config(&self, serve: &Serve) -> serde_json::Value {
        json!({
            "dir": serve.dir,
            "namespace": self.namespace,
            "installation": serve.installation,
            "kubeconfig": serve.kubeconfig,
            "watchNamespaces": serve.watch_namespaces,
            "secretNamespaces": serve.secret_namespaces,
            "secretNames": serve.secret_names.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "publishService": serve.publish_service.as_ref().map(ToString::to_string),
            "nodeAddresses": serve.node_addresses,
            "stateDir": serve.state_dir,
            "compat": serve.compat.map(|compat| format!("{compat:?}")),
            "labelSelector": serve.selector.labels,
            "fieldSelector": serve.selector.fields,
            "noStatus": serve.no_status.iter().map(|group| format!("{group:?}")).collect::<Vec<_>>(),
            "clusterDomain": serve.cluster_domain,
            "holdOff": format!("{:?}", serve.hold_off),
            "echo": serve.echo,
            "backends": serve.backends.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "workers": serve.workers(),
            "binds": serve
                .binds
                .iter()
                .map(|bind| format!("{}={}", bind.port, bind.address))
                .collect::<Vec<_>>(),
            "drainDelay": format!("{:?}", serve.drain_delay()),
            "drainTimeout": format!("{:?}", serve.drain_timeout),
            "adminAddress": serve.admin_address,
            "diagnosticsAddress": serve.diagnostics_address,
            "accessLog": format!("{:?}", serve.access_log),
            "routeMetrics": serve.route_metrics,
            "podName": serve.pod.pod_name,
            "podIps": serve.pod.pod_ips,
            "zone": serve.pod.zone,
        })
    }
}

/// The groups whose objects get no status.
fn silent(serve: &Serve) -> Vec<Group> {
    let groups = serve.no_status.iter();
    let named = groups.map(|group| match group {
        StatusGroup::Postern => Group::Postern,
        StatusGroup::Emissary => Group::Emissary,
    });
    named.collect()
}

/// Ports of health, metrics and diagnostics, but for those that no Listener would be bound to.
fn own_ports(serve: &Serve) -> Vec<u16> {
    let ports = [serve.admin_address, serve.diagnostics_address].map(|address| address.port());
    let is_elsewhere = |port: u16| serve.binds.iter().any(|bind| bind.port == port);
    let own = ports.into_iter();
    own.filter(|port| *port > 0 && !is_elsewhere(*port))
        .collect()
}

async fn start_echo() -> Result<SocketAddr> {
    let echo = Echo::bind(EMBEDDED, "echo")
        .await
        .context("starting the echo server")?;
    let address = echo.address();
    info!(server.addr = %address, "Echoing for every Service without a backend");
    tokio::spawn(echo.run());
    Ok(address)
}

/// Those that the pod was told, and those of its interfaces.
fn own_addresses(serve: &Serve) -> Vec<IpAddr> {
    let mut addresses = serve.pod.pod_ips.clone();
    match if_addrs::get_if_addrs() {
        Ok(interfaces) => addresses.extend(interfaces.iter().map(if_addrs::Interface::ip)),
        Err(error) => warn!(
            %error,
            "Cannot read the addresses of this machine: only those of --pod-ip are never dialled"
        ),
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

fn backends(serve: &Serve) -> Vec<Backend> {
    let backends = serve.backends.iter();
    backends
        .map(|backend| Backend {
            namespace: backend.namespace.as_str().into(),
            name: backend.name.as_str().into(),
            port: backend.port,
            host: backend.host.as_str().into(),
            host_port: backend.host_port,
        })
        .collect()
}

/// What the status writer needs of what is published. What an earlier process has kept is not the API server's word of today:
/// it has no versions, and nobody's status is written from it.
fn status_snapshots(mut published: Snapshots) -> watch::Receiver<Option<status::Snapshot>> {
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        loop {
            let snapshot = published
                .borrow_and_update()
                .as_ref()
                .filter(|published| !published.versions.is_empty())
                .map(|published| status::Snapshot {
                    report: published.report.clone(),
                    versions: published.versions.clone(),
                    generation: published.generation,
                });
            sender.send_replace(snapshot);
            if published.changed().await.is_err() {
                // The last one stays true.
                sender.closed().await;
                return;
            }
        }
    });
    receiver
}

/// The name of this machine or pod.
pub(super) fn machine_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::compile::OWN_PORTS;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        serve: Serve,
    }

    #[test]
    fn ports_of_the_process_are_reserved_unless_their_listener_is_bound_elsewhere() {
        let cases: [(&str, &[u16]); 4] = [
            ("", &OWN_PORTS),
            ("--admin-address 127.0.0.1:0", &[8878]),
            ("--diagnostics-address 127.0.0.1:9000", &[8877, 9000]),
            ("--bind 8877=127.0.0.1:0", &[8878]),
        ];
        for (flags, expected) in cases {
            let words = std::iter::once("postern").chain(flags.split_whitespace());
            let command = Command::try_parse_from(words).unwrap();
            assert_eq!(own_ports(&command.serve), expected, "{flags:?}");
        }
    }
}
