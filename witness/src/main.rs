//! The program `tally-witness`; all of it is in the library.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = tally_witness::cli::Cli::parse();
    client::cli::log_to_stderr();
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            client::cli::report(&error);
            ExitCode::FAILURE
        }
    }
}
