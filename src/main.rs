//! The gateway's binary: see [`postern::cli`].

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A page of 2 MiB is resident as a whole, for the first byte that each thread's part of the heap has in it. Where the
    // kernel has no such setting there are no such pages.
    #[cfg(target_os = "linux")]
    let _unsupported = rustix::thread::disable_transparent_huge_pages(true);
    // Named, because two libraries in the process could each bring another.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing must have chosen a provider before main");
    postern::cli::run()
}
