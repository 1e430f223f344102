//! What several fuzz targets need.

use std::sync::Arc;

use postern::{
    compile::{Backend, Environment, Options},
    resource::{
        Origin, Position, ResourceSet,
        decode::{self, Decoded},
    },
    source::{
        annotation,
        yaml::{self, Document},
    },
};

/// More would make one run slow, and shows nothing that these do not.
const MAX_DOCUMENTS: usize = 32;

/// The first documents of a file.
pub fn documents(bytes: &[u8]) -> impl Iterator<Item = Document> {
    yaml::read(bytes).documents.into_iter().take(MAX_DOCUMENTS)
}

/// A place in a file.
pub fn origin(at: Position) -> Origin {
    Origin::File {
        path: Arc::new("fuzz.yaml".to_owned()),
        at,
    }
}

/// Everything that a file holds, annotations included; of objects with the same name the last counts.
pub fn resources(bytes: &[u8]) -> ResourceSet {
    let mut set = ResourceSet::default();
    for document in documents(bytes) {
        let decoded = decode::object(
            &document.value,
            origin(document.at),
            "default",
            document.positions.into(),
        );
        if let Decoded::Object(object) = decoded {
            for (_, carried) in annotation::objects(&object).objects {
                set.insert(carried);
            }
            set.insert(object);
        }
    }
    set
}

/// A cluster, and a folder with an echo server and a backend.
pub fn environments() -> [Options; 2] {
    let options = |environment| Options {
        namespace: "default".into(),
        installation: "default".into(),
        own_ports: postern::compile::OWN_PORTS.to_vec(),
        environment,
    };
    [
        options(Environment::Cluster {
            domain: "cluster.local".into(),
            own_addresses: vec![[10, 0, 0, 9].into()],
            echo: None,
        }),
        options(Environment::Folder {
            backends: vec![Backend {
                namespace: "default".into(),
                name: "quote".into(),
                port: None,
                host: "127.0.0.1".into(),
                host_port: 9000,
            }],
            echo: Some(([127, 0, 0, 1], 9001).into()),
        }),
    ]
}
