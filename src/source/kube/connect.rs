//! A client for the API server, from whatever says where it is.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use kube::{
    Config,
    config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError},
};

/// A server that does not even take the connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Above the length of a watch, so that only a connection that is dead is ended by it.
const READ_LIMIT: Duration = Duration::from_secs(55);
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// Why there is no client, or no source.
#[derive(Debug, thiserror::Error)]
pub enum KubeError {
    /// The file that was given cannot be used.
    #[error("cannot use the kubeconfig {}", path.display())]
    Kubeconfig {
        path: PathBuf,
        #[source]
        cause: Box<KubeconfigError>,
    },
    /// Nothing says where the API server is.
    #[error(
        "no API server to watch: this is not a pod ({in_cluster}), and there is no usable kubeconfig in $KUBECONFIG or \
         ~/.kube/config ({kubeconfig}); name one with --kubeconfig FILE, or serve a folder with `postern serve DIR`"
    )]
    Nowhere {
        in_cluster: Box<InClusterError>,
        kubeconfig: Box<KubeconfigError>,
    },
    /// The context that was named is not there.
    #[error("cannot use the kubeconfig")]
    Context {
        #[source]
        kubeconfig: Box<KubeconfigError>,
    },
    /// What says where the API server is cannot be used.
    #[error("cannot make a client for the API server at {url}")]
    Client {
        url: http::Uri,
        #[source]
        cause: Box<kube::Error>,
    },
    /// A task of the source has panicked: what was sent stays, but nothing new would come.
    #[error("a task that watches the API server has ended by a bug")]
    Lost(#[source] tokio::task::JoinError),
}

/// A client, and what goes with it.
#[derive(Clone)]
pub struct Connection {
    pub client: kube::Client,
    pub namespace: Option<String>,
    /// The API server, as a URL.
    pub server: String,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("namespace", &self.namespace)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// Of `--kubeconfig` if given, then of the pod's service account, then of $KUBECONFIG or `~/.kube/config`.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Connection, KubeError> {
    let config = match kubeconfig {
        Some(path) => from_file(path, None)
            .await
            .map_err(|cause| KubeError::Kubeconfig {
                path: path.to_owned(),
                cause: Box::new(cause),
            })?,
        None => infer().await?,
    };
    client(config)
}

/// The same as kubectl finds it: `--kubeconfig` if given, else $KUBECONFIG or `~/.kube/config`, then the pod's service
/// account; with the context that is named, else the current one.
pub async fn connect_as_kubectl(
    kubeconfig: Option<&Path>,
    context: Option<&str>,
) -> Result<Connection, KubeError> {
    if let Some(path) = kubeconfig {
        let config = from_file(path, context)
            .await
            .map_err(|cause| KubeError::Kubeconfig {
                path: path.to_owned(),
                cause: Box::new(cause),
            })?;
        return client(config);
    }
    let kubeconfig = match Config::from_kubeconfig(&options(context)).await {
        Ok(config) => return client(config),
        Err(error) => Box::new(error),
    };
    // A context that was asked for is in no pod.
    match Config::incluster() {
        Ok(config) if context.is_none() => client(config),
        Ok(_) => Err(KubeError::Context { kubeconfig }),
        Err(in_cluster) => Err(KubeError::Nowhere {
            in_cluster: Box::new(in_cluster),
            kubeconfig,
        }),
    }
}

fn client(mut config: Config) -> Result<Connection, KubeError> {
    config.connect_timeout = Some(CONNECT_LIMIT);
    config.read_timeout = Some(READ_LIMIT);
    config.write_timeout = Some(WRITE_LIMIT);
    // Whoever asks has a back-off of its own, and wants to know at once.
    config.default_retry = false;
    let namespace = Some(config.default_namespace.clone()).filter(|name| !name.is_empty());
    let url = config.cluster_url.clone();
    let server = url.to_string();
    let client = kube::Client::try_from(config).map_err(|cause| KubeError::Client {
        url,
        cause: Box::new(cause),
    })?;
    Ok(Connection {
        client,
        namespace,
        server,
    })
}

async fn from_file(path: &Path, context: Option<&str>) -> Result<Config, KubeconfigError> {
    let kubeconfig = Kubeconfig::read_from(path)?;
    Config::from_custom_kubeconfig(kubeconfig, &options(context)).await
}

fn options(context: Option<&str>) -> KubeConfigOptions {
    KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    }
}

async fn infer() -> Result<Config, KubeError> {
    let in_cluster = match Config::incluster() {
        Ok(config) => return Ok(config),
        Err(error) => Box::new(error),
    };
    Config::from_kubeconfig(&KubeConfigOptions::default())
        .await
        .map_err(|kubeconfig| KubeError::Nowhere {
            in_cluster,
            kubeconfig: Box::new(kubeconfig),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_kubeconfig_that_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let table = [
            ("missing", None),
            ("broken", Some(": : :")),
            ("empty", Some("apiVersion: v1\nkind: Config\n")),
        ];
        for (name, text) in table {
            let path = folder.path().join(name);
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
            }
            let error = connect(Some(&path)).await.err().unwrap();
            assert!(
                error.to_string().contains(&path.display().to_string()),
                "{name}: {error}"
            );
        }
    }

    #[tokio::test]
    async fn the_namespace_of_the_context_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let text = "apiVersion: v1\nkind: Config\ncurrent-context: a\n\
                    clusters: [{name: a, cluster: {server: 'https://192.0.2.1:6443'}}]\n\
                    users: [{name: a, user: {token: t}}]\n\
                    contexts: [{name: a, context: {cluster: a, user: a, namespace: edge}}]\n";
        std::fs::write(&path, text).unwrap();
        let connection = connect(Some(&path)).await.unwrap();
        assert_eq!(connection.namespace.as_deref(), Some("edge"));
        assert_eq!(connection.server, "https://192.0.2.1:6443/");
    }
}
