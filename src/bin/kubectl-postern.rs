//! The plugin `kubectl postern`: see [`postern::plugin`].

use std::process::ExitCode;

fn main() -> ExitCode {
    // Named, because two libraries in the process could each bring another.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing must have chosen a provider before main");
    postern::plugin::run()
}
