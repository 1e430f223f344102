//! The plugin `kubectl postern`: not there yet, and it says so.

use std::{
    io::{self, Write},
    process::ExitCode,
};

const NOT_YET: &str = "\
kubectl postern: this plugin does nothing yet.

Until it does:
  kubectl get mappings,hosts,listeners -A        what is live, and why not
  kubectl -n NAMESPACE port-forward POD 8878     then ask the replica itself:
    curl 'localhost:8878/report?object=apps/quote'
    curl 'localhost:8878/why?url=https://example.com/path'
";

fn main() -> ExitCode {
    // There is nowhere left to say that standard error is closed.
    let _unseen = io::stderr().write_all(NOT_YET.as_bytes());
    ExitCode::FAILURE
}
