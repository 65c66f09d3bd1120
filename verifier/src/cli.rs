//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use client::cli::Documentation;

/// Verifies installed packages against what independent builders attested in a transparency log
#[derive(Debug, Parser)]
#[command(name = "tally", version, max_term_width = 110, after_help = STATUSES)]
pub struct Cli {
    /// The configuration
    #[arg(long, global = true, default_value = "/etc/tallystick/tally.toml", value_name = "FILE")]
    pub config: PathBuf,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring the cache up to date; the only command that has to use the network
    #[command(after_help = "Examples:\n  tally sync\n  tally sync --full\n  tally sync --root /mnt")]
    Sync(SyncArgs),
    /// Judge what is installed; never uses the network
    #[command(
        after_help = "Examples:\n  tally verify --all\n  tally verify coreutils openssh-server\n  tally verify --all --root /mnt --json"
    )]
    Verify(VerifyArgs),
    /// Judge downloaded package files before they are installed
    #[command(after_help = "Example:\n  tally check /var/cache/apt/archives/*.deb")]
    Check(CheckArgs),
    /// Tell the whole story of one installed file
    #[command(after_help = "Example:\n  tally explain /usr/bin/ping")]
    Explain(ExplainArgs),
    /// Carry what is known to machines without a network
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// Verify a proof that a builder or another user hands over
    #[command(subcommand)]
    Proof(ProofCommand),
    /// Look after the log itself
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Completions and manual pages
    #[command(flatten)]
    Documentation(Documentation),
}

/// `tally sync`.
#[derive(Debug, Args)]
pub struct SyncArgs {
    /// Fetch every entry of the log: nobody learns what is installed here, and nothing can be withheld
    #[arg(long)]
    pub full: bool,
    /// A root whose packages are looked up; can be given several times
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: Vec<PathBuf>,
    /// Forget names of earlier syncs that are not installed any more
    #[arg(long)]
    pub prune: bool,
    /// Further package URLs to look up
    #[arg(value_name = "PURL")]
    pub names: Vec<String>,
}

/// `tally verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Everything that is installed
    #[arg(long, conflicts_with = "packages", required_unless_present = "packages")]
    pub all: bool,
    /// Packages: NAME or NAME:ARCH
    #[arg(value_name = "PACKAGE")]
    pub packages: Vec<String>,
    /// The root to judge
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// A list of packages kept off the machine: lines of NAME[:ARCH] VERSION, as dpkg-query -W prints them
    #[arg(long, value_name = "LIST")]
    pub expect: Option<PathBuf>,
    /// How to report
    #[command(flatten)]
    pub output: OutputArgs,
    /// Never open a socket (verify never does; the flag says so to readers of scripts)
    #[arg(long)]
    pub offline: bool,
}

/// How to report.
#[derive(Clone, Copy, Debug, Args)]
pub struct OutputArgs {
    /// One JSON object with all findings
    #[arg(long)]
    pub json: bool,
    /// List every finding, explained ones too
    #[arg(long, short)]
    pub verbose: bool,
}

/// `tally check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Package files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Use only the cache
    #[arg(long)]
    pub offline: bool,
    /// How to report
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `tally explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The file
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The root that it is on
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// `tally bundle`.
#[derive(Debug, Subcommand)]
pub enum BundleCommand {
    /// Write everything that is known into one file
    #[command(after_help = "Example:\n  tally bundle export /media/usb/tally.bundle")]
    Export {
        /// The file to write
        file: PathBuf,
    },
    /// Verify such a file and take it into the cache
    #[command(after_help = "Example:\n  tally bundle import /media/usb/tally.bundle")]
    Import {
        /// The file to read
        file: PathBuf,
    },
}

/// `tally proof`.
#[derive(Debug, Subcommand)]
pub enum ProofCommand {
    /// Verify that an entry is in the log
    #[command(after_help = "Example:\n  tally proof verify receipt.tlog-proof --entry envelope.json")]
    Verify {
        /// The proof (c2sp.org/tlog-proof)
        proof: PathBuf,
        /// The entry's bytes
        #[arg(long, value_name = "FILE")]
        entry: PathBuf,
        /// The witness policy; that of the configuration if not given
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
    },
}

/// `tally audit`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Verify evidence of a split view, with nothing but the log's key
    #[command(after_help = "Example:\n  tally audit evidence fork.evidence --key example.com/log+1a2b3c4d+AQ…")]
    Evidence {
        /// The evidence
        file: PathBuf,
        /// A verifier key of the log; can be given several times
        #[arg(long, required = true, value_name = "VKEY")]
        key: Vec<String>,
    },
}

const STATUSES: &str = "Exit status:
  0   as attested, or explained
  1   modified, missing, builders in conflict, or a forked log
  2   too little is known: unattested, too few builders, unreadable
  3   what is known is too old
  4   the security team warns
  10  and above: no verdict (11 no cache, 12 busy, 13 clock, 14 network, 15 configuration, 16 database, 64 usage)

Examples:
  tally sync
  tally verify --all
  tally explain /usr/bin/ping";
