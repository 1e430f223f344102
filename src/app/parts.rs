//! The parts that are different in a folder and in a cluster.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tracing::info;

use super::{Snapshots, Stoppable};
use crate::{
    compile::{Backend, Environment, Options},
    config::{DEFAULT_NAMESPACE, Serve},
    echo::{EMBEDDED, Echo},
    resource::ObjectKey,
    source::{Change, dir::Dir},
    telemetry::health::Health,
};

/// Where the resources are.
#[derive(Debug)]
pub(super) enum Place {
    Folder {
        path: PathBuf,
        echo: Option<SocketAddr>,
    },
}

impl Place {
    /// Starts what the compiler must know the address of.
    pub(super) async fn find(serve: &Serve) -> Result<Self> {
        let Some(path) = serve.dir.clone() else {
            bail!(
                "name a folder of manifests: `postern serve DIR`; serving from an API server is not there yet"
            );
        };
        let echo = if serve.echo {
            let echo = Echo::bind(EMBEDDED, "echo")
                .await
                .context("starting the echo server")?;
            let address = echo.address();
            info!(server.addr = %address, "Echoing for every Service without a backend");
            tokio::spawn(echo.run());
            Some(address)
        } else {
            None
        };
        Ok(Self::Folder { path, echo })
    }

    pub(super) fn compiler_options(&self, serve: &Serve) -> Options {
        let Self::Folder { echo, .. } = self;
        Options {
            namespace: namespace(serve).into(),
            installation: serve.installation.as_str().into(),
            environment: Environment::Folder {
                backends: backends(serve),
                echo: *echo,
            },
        }
    }

    pub(super) fn run_source(
        self,
        serve: &Serve,
        changes: mpsc::Sender<Vec<Change>>,
        wanted: watch::Receiver<Arc<BTreeSet<ObjectKey>>>,
    ) -> JoinHandle<Result<()>> {
        let Self::Folder { path, .. } = self;
        let dir = Dir {
            paths: vec![path],
            default_namespace: namespace(serve).to_owned(),
            follow: true,
        };
        tokio::spawn(async move { Ok(dir.run(changes, wanted).await?) })
    }

    /// In a folder nobody has a status.
    pub(super) fn write_status(&self, _health: &Health, _published: Snapshots) -> Stoppable {
        let Self::Folder { .. } = self;
        Stoppable::default()
    }
}

fn namespace(serve: &Serve) -> &str {
    serve.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE)
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

/// The name of this machine or pod.
pub(super) fn machine_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// The settings of the process, for the diagnostics port.
pub(super) fn shown_config(serve: &Serve) -> serde_json::Value {
    json!({
        "dir": serve.dir,
        "namespace": namespace(serve),
        "installation": serve.installation,
        "kubeconfig": serve.kubeconfig,
        "watchNamespaces": serve.watch_namespaces,
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
    })
}
