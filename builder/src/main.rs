//! `tally-builder`: attests what packages contain, from clean containers.

use std::process::ExitCode;

use clap::Parser as _;
use tally_builder::cli::{Cli, run};

fn main() -> ExitCode {
    client::cli::log_to_stderr();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let result = runtime.block_on(run(cli));
    // Whoever interrupts it does not wait for what a thread still compares.
    runtime.shutdown_background();
    match result {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    client::cli::report(error);
    ExitCode::from(OPERATIONAL)
}

/// Nothing could be done.
const OPERATIONAL: u8 = 10;
