//! The command line.

mod advise;
mod hooks;
mod repo;
mod roles;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use client::cli::Documentation;

pub use advise::{AdviseCommand, AdviseText, AffectedArgs, ExportFormat, LifecycleText, SeverityArg, SigningArgs, TeamCommand};
pub use hooks::{AllowArgs, CommitArgs, ControlHeadArgs, GateCommand, HookArgs, PacmanArgs, SetupCommand, StatusArgs};
pub use repo::{RegisterArgs, RepoCheckArgs, RepoCommand, SigcheckArgs, ZypperArgs};
pub use roles::{RolesCommand, SubmitArgs};

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
    #[command(
        after_help = "Examples:\n  tally sync\n  tally sync --full\n  tally sync --root /mnt\n  tally sync --compare witnesses --compare https://mirror.example/log"
    )]
    Sync(SyncArgs),
    /// Judge what is installed; never uses the network
    #[command(
        after_help = "Examples:\n  tally verify --all\n  tally verify coreutils openssh-server\n  tally verify --all --root /mnt --json\n  tally verify --all --unowned\n  tally verify --all --statement host1.vsa.json --sign host1.key\n  tally verify --all --since-last --quiet --metrics /var/lib/prometheus/node-exporter/tally.prom"
    )]
    Verify(VerifyArgs),
    /// Judge downloaded package files before they are installed
    #[command(after_help = "Example:\n  tally check /var/cache/apt/archives/*.deb")]
    Check(CheckArgs),
    /// Judge packages before a package manager installs them
    #[command(
        subcommand,
        after_help = "Examples:\n  tally setup apt\n  tally gate allow --once --reason \"the log is moving, ticket 17\" hello"
    )]
    Gate(GateCommand),
    /// Install or remove what makes other programs call tally
    #[command(subcommand, after_help = "Examples:\n  tally setup apt\n  tally setup apt --remove")]
    Setup(SetupCommand),
    /// Tell the whole story of one installed file
    #[command(after_help = "Example:\n  tally explain /usr/bin/ping")]
    Explain(ExplainArgs),
    /// Carry what is known to machines without a network
    #[command(
        subcommand,
        after_help = "Examples:\n  tally bundle export /media/usb/tally.bundle\n  tally bundle import /media/usb/tally.bundle"
    )]
    Bundle(BundleCommand),
    /// Verify a proof that a builder or another user hands over
    #[command(subcommand, after_help = "Example:\n  tally proof verify receipt.tlog-proof --entry envelope.json")]
    Proof(ProofCommand),
    /// Say something as the security team
    #[command(
        subcommand,
        after_help = "Examples:\n  tally advise second --key mine.key --id TSA-2026-0001\n  tally advise head --key team.key"
    )]
    Advise(TeamCommand),
    /// Look at the roles: who may say what, and how that changed
    #[command(subcommand, after_help = "Examples:\n  tally roles show\n  tally roles diff --file roles-5.txt\n  tally roles history")]
    Roles(RolesCommand),
    /// Judge or register the indexes of repositories
    #[command(subcommand, after_help = "Examples:\n  tally repo check\n  tally repo register --key admin.key dists/bookworm/InRelease")]
    Repo(RepoCommand),
    /// Follow the log and judge every entry again; or verify evidence
    #[command(
        args_conflicts_with_subcommands = true,
        after_help = "Examples:\n  tally audit --once\n  tally audit --watch 'pkg:deb/debian/openssl*' --mail 'mail -s \"tally audit\" root'\n  tally audit --mirror /srv/log-mirror --json --webhook https://example.com/hook\n  tally audit --once --compare https://mirror.example/log --compare /media/usb/checkpoint\n  tally audit evidence fork.evidence --key example.com/log+1a2b3c4d+AQ…"
    )]
    Audit(AuditArgs),
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
    /// Compare what the log shows here with what others have seen: `witnesses`, a mirror's address, or a file with a checkpoint or evidence;
    /// can be given several times, and stands beside `compare` in the configuration
    #[arg(long, value_name = "PLACE")]
    pub compare: Vec<String>,
    /// Further package URLs to look up
    #[arg(value_name = "PURL")]
    pub names: Vec<String>,
}

/// `tally verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Everything that is installed; so it is without packages
    #[arg(long, conflicts_with = "packages")]
    pub all: bool,
    /// Packages: NAME or NAME:ARCH
    #[arg(value_name = "PACKAGE")]
    pub packages: Vec<String>,
    /// The root to judge
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// A list of packages kept off the machine: lines of NAME VERSION or NAME:ARCH VERSION, as dpkg-query -W prints them
    #[arg(long, value_name = "LIST")]
    pub expect: Option<PathBuf>,
    /// Look also for programs, libraries and bytecode in the system's directories that no package put there
    #[arg(long, conflicts_with = "packages")]
    pub unowned: bool,
    /// How to report
    #[command(flatten)]
    pub output: OutputArgs,
    /// Tell only what the last such run did not find; the exit status still stands for all of it
    #[arg(long, conflicts_with = "packages")]
    pub since_last: bool,
    /// Write numbers for node_exporter's textfile collector
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,
    /// Send the findings to the system's log, too, as --jsonl prints them
    #[arg(long, value_name = "SOCKET", num_args = 0..=1, default_missing_value = "/dev/log")]
    pub syslog: Option<PathBuf>,
    /// What to hand to others
    #[command(flatten)]
    pub statement: StatementArgs,
    /// Never open a socket (verify never does; the flag says so to readers of scripts)
    #[arg(long)]
    pub offline: bool,
}

/// How to report.
#[derive(Clone, Copy, Debug, Args)]
pub struct OutputArgs {
    /// The form of the report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
    /// One JSON object with all findings: --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// One JSON object a line, for log collectors: --format jsonl
    #[arg(long, conflicts_with_all = ["format", "json"])]
    pub jsonl: bool,
    /// List every finding, explained ones too
    #[arg(long, short)]
    pub verbose: bool,
    /// Say nothing where the exit status is 0, or with --since-last where nothing is new
    #[arg(long, short)]
    pub quiet: bool,
}

/// A verdict for others.
#[derive(Clone, Debug, Args)]
pub struct StatementArgs {
    /// Also write the verdict into this file as an in-toto statement, for others to rely on
    #[arg(long, value_name = "FILE")]
    pub statement: Option<PathBuf>,
    /// The statement's predicate
    #[arg(long, value_name = "PREDICATE", default_value = "vsa", requires = "statement")]
    pub predicate: PredicateArg,
    /// Sign it with this key file (tally proof verdict and every DSSE tool verify it)
    #[arg(long, value_name = "KEY", requires = "statement")]
    pub sign: Option<PathBuf>,
}

/// The predicates of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PredicateArg {
    /// SLSA's Verification Summary
    Vsa,
    /// in-toto's Simple Verification Result
    Svr,
}

impl OutputArgs {
    /// The form that was asked for.
    #[must_use]
    pub fn format(&self) -> Format {
        match (self.json, self.jsonl) {
            (true, _) => Format::Json,
            (_, true) => Format::Jsonl,
            _ => self.format,
        }
    }
}

/// The forms of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people: worst first, one screen
    Text,
    /// One JSON object
    Json,
    /// One JSON object a line: the run, then each finding
    Jsonl,
    /// SARIF 2.1.0, for code scanning tools
    Sarif,
    /// JUnit's XML, for build servers
    Junit,
    /// Lines as rpm -V prints them
    Rpm,
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
    /// What to hand to others
    #[command(flatten)]
    pub statement: StatementArgs,
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
    /// Verify such a file, or a signed warning that the log does not show, and take it into the cache
    #[command(
        after_help = "Examples:\n  tally bundle import /media/usb/tally.bundle\n  tally bundle import https://example.com/TSA-2026-0001.json"
    )]
    Import {
        /// A file, or an address of http or https
        source: String,
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
    /// Verify what tally verify --statement FILE --sign KEY made, and tell it
    #[command(
        after_help = "Example:\n  tally proof verdict host1.vsa.json --key host1.example/tally+1a2b3c4d+AQ… --max-age 2d\n\nExit status: the one that the verdict speaks of; 3 if it is older, 1 if none of the keys signed it"
    )]
    Verdict {
        /// The signed statement
        file: PathBuf,
        /// A verifier key that may sign it; can be given several times
        #[arg(long, required = true, value_name = "VKEY")]
        key: Vec<String>,
        /// How old it may be, such as 2d
        #[arg(long, value_name = "SPAN")]
        max_age: Option<String>,
    },
}

/// `tally audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Instead of following
    #[command(subcommand)]
    pub command: Option<AuditCommand>,
    /// Catch up once and end, with a status that says what was found
    #[arg(long)]
    pub once: bool,
    /// Keep a whole copy of the log in this directory, manifests too, for any static file server to serve
    #[arg(long, value_name = "DIR")]
    pub mirror: Option<PathBuf>,
    /// Tell everything that is said about these packages, such as pkg:deb/debian/openssl*; can be given several times
    #[arg(long, value_name = "PATTERN")]
    pub watch: Vec<String>,
    /// A key that is known to build or rebuild the watched packages, by its name or verifier key; what other keys say of them is a warning. Can
    /// be given several times
    #[arg(long, value_name = "KEY", requires = "watch")]
    pub known: Vec<String>,
    /// Compare with what others have seen, beside the policy's witnesses: a mirror's or another auditor's address, or a file with a
    /// checkpoint or evidence; can be given several times
    #[arg(long, value_name = "PLACE")]
    pub compare: Vec<String>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// POST what is found to this URL, as JSON
    #[arg(long, value_name = "URL")]
    pub webhook: Option<String>,
    /// Run this shell command with what is found on its standard input
    #[arg(long, value_name = "COMMAND")]
    pub mail: Option<String>,
    /// How often to look, such as 30s or 5m
    #[arg(long, value_name = "SPAN", default_value = "1m")]
    pub interval: String,
}

/// What `tally audit` can do instead of following.
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn every_command_shows_an_example() {
        assert_eq!(client::cli::without_example(&Cli::command()), Vec::<String>::new());
    }
}
