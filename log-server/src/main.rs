//! `tally-log`: maps a result to an exit status.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    client::cli::log_to_stderr_and(tally_log::telemetry::listener());
    match tally_log::cli::Cli::parse().run() {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            client::cli::report(&error);
            ExitCode::from(2)
        }
    }
}
