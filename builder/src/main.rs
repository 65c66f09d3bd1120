//! `tally-builder`: attests what packages contain, from clean containers.

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    client::cli::log_to_stderr();
    match tally_builder::cli::run(tally_builder::cli::Cli::parse()).await {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => {
            client::cli::report(&error);
            ExitCode::from(OPERATIONAL)
        }
    }
}

/// Nothing could be done.
const OPERATIONAL: u8 = 10;
