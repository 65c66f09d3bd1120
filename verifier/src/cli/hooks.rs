//! The words of `tally gate` and `tally setup`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `tally gate`.
#[derive(Debug, Subcommand)]
pub enum GateCommand {
    /// Judge what apt is about to unpack; apt's hook calls it (version 3 of the protocol of DPkg::Pre-Install-Pkgs)
    #[command(
        after_help = "Example, as in the file that tally setup apt writes:\n  DPkg::Pre-Install-Pkgs { \"/usr/bin/tally gate apt\"; };\n\nExit status: 0 apt goes on; 1, 2, 3, 4 it is refused, as by tally check; 10 and above nothing could be judged"
    )]
    Apt,
    /// Pass over the next refusal; it is recorded with the reason
    #[command(after_help = "Example:\n  tally gate allow --once --reason \"needed tonight, ticket 17\" hello")]
    Allow(AllowArgs),
}

/// `tally gate allow`.
#[derive(Debug, Args)]
pub struct AllowArgs {
    /// Once, and not again (there is no other way)
    #[arg(long, required = true)]
    pub once: bool,
    /// Why; it stands in the record
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// For how long it waits to be used
    #[arg(long, value_name = "SPAN", default_value = "1h")]
    pub within: String,
    /// Only for these packages, named as the refusal names them; else for whatever is refused, a stale head too
    #[arg(value_name = "PACKAGE")]
    pub packages: Vec<String>,
}

/// `tally setup`.
#[derive(Debug, Subcommand)]
pub enum SetupCommand {
    /// Have apt ask tally before it unpacks packages
    #[command(
        after_help = "Examples:\n  tally setup apt\n  tally setup apt --remove\n  tally setup apt --root /mnt/image --program /usr/bin/tally"
    )]
    Apt(HookArgs),
    /// Have systemd synchronise and verify every day
    #[command(
        after_help = "Examples:\n  tally setup timer\n  tally setup timer --remove\n  tally setup timer --root /mnt/image --program /usr/bin/tally"
    )]
    Timer(HookArgs),
}

/// What is installed where.
#[derive(Debug, Args)]
pub struct HookArgs {
    /// The root to install it on
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Take it away
    #[arg(long)]
    pub remove: bool,
    /// Where tally is on that root; where this program is, if not given
    #[arg(long, value_name = "PATH")]
    pub program: Option<PathBuf>,
}
