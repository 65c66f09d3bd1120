//! Prints the manifests of package files: `cargo run -p package --example manifest FILE...`

use package::deb::{Limits, read};
use std::fs::File;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> io::Result<ExitCode> {
    let mut exit = ExitCode::SUCCESS;
    for path in std::env::args_os().skip(1) {
        match read(File::open(&path)?, &Limits::default()) {
            Ok(deb) => io::stdout().write_all(&deb.manifest.encode())?,
            Err(error) => {
                eprintln!("error: {}: {error}", path.display());
                exit = ExitCode::FAILURE;
            }
        }
    }
    Ok(exit)
}
