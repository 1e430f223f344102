//! The gateway's binary: see [`postern::cli`].

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Named, because two libraries in the process could each bring another.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing must have chosen a provider before main");
    postern::cli::run()
}
