//! `tally`: maps every outcome to an exit status, and nothing else.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use tally::cli::Cli;
use tally::exit;

fn main() -> ExitCode {
    client::cli::log_to_stderr();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { exit::USAGE } else { exit::CLEAN });
        }
    };
    match tally::run::run(cli) {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            // Nothing is left to be done where even this fails.
            let _ = writeln!(std::io::stderr(), "error: {failure}\nhint: {}", failure.hint());
            ExitCode::from(failure.status())
        }
    }
}
