//! The one binary: allocator, cryptography, then the command line.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything can make a TLS connection: the choice of provider is then never ambiguous.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tidemill::cli::main(std::env::args_os())
}
