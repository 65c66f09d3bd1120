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
        after_help = "Examples:\n  tally verify --all\n  tally verify coreutils openssh-server\n  tally verify --all --root /mnt --json\n  tally verify --all --since-last --quiet --metrics /var/lib/prometheus/node-exporter/tally.prom"
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
    Advise(AdviseCommand),
    /// Follow the log and judge every entry again; or verify evidence
    #[command(
        args_conflicts_with_subcommands = true,
        after_help = "Examples:\n  tally audit --once\n  tally audit --watch 'pkg:deb/debian/openssl*' --mail 'mail -s \"tally audit\" root'\n  tally audit --mirror /srv/log-mirror --json --webhook https://example.com/hook\n  tally audit evidence fork.evidence --key example.com/log+1a2b3c4d+AQ…"
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
}

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

/// `tally advise`.
#[derive(Debug, Subcommand)]
pub enum AdviseCommand {
    /// Warn of packages
    #[command(
        after_help = "Example:\n  tally advise warn --key team.key --id TSA-2026-0001 --package pkg:deb/debian/openssl --severity high \\\n    --reference CVE-2026-0001 --summary \"keys can be guessed\" --advice \"upgrade to 3.0.17-1\" --before 3.0.17-1"
    )]
    Warn {
        /// What is said
        #[command(flatten)]
        text: AdviseText,
        /// A pattern of package URLs, such as pkg:deb/debian/openssl; can be given several times
        #[arg(long, required = true, value_name = "PATTERN")]
        package: Vec<String>,
        /// How bad it is
        #[arg(long)]
        severity: SeverityArg,
        /// The first affected version; earlier ones are affected, too, if not given
        #[arg(long, value_name = "VERSION")]
        from: Option<String>,
        /// The first version that is not affected any more
        #[arg(long, value_name = "VERSION")]
        before: Option<String>,
    },
    /// Withdraw a warning
    #[command(
        after_help = "Example:\n  tally advise withdraw --key team.key --id TSA-2026-0001 --reference CVE-2026-0001 \\\n    --summary \"a false alarm\" --advice \"nothing is to be done\""
    )]
    Withdraw {
        /// What is said
        #[command(flatten)]
        text: AdviseText,
    },
    /// Say the same as another member of the team, so that the threshold is reached
    #[command(after_help = "Example:\n  tally advise second --key mine.key --id TSA-2026-0001")]
    Second {
        /// How to sign and wait
        #[command(flatten)]
        signing: SigningArgs,
        /// The warning's name; the newest advisory of this name is repeated
        #[arg(long)]
        id: String,
    },
    /// Vouch for the newest roles and advisories; to be run every few minutes
    #[command(after_help = "Example:\n  tally advise head --key team.key")]
    Head {
        /// How to sign and wait
        #[command(flatten)]
        signing: SigningArgs,
    },
}

/// What an advisory says.
#[derive(Debug, Args)]
pub struct AdviseText {
    /// How to sign and wait
    #[command(flatten)]
    pub signing: SigningArgs,
    /// The warning's name
    #[arg(long)]
    pub id: String,
    /// Where to read more
    #[arg(long)]
    pub reference: String,
    /// What is wrong, in one line
    #[arg(long)]
    pub summary: String,
    /// What to do, in one line
    #[arg(long)]
    pub advice: String,
}

/// How to sign and wait.
#[derive(Debug, Args)]
pub struct SigningArgs {
    /// A key file of the security team
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// How long to wait until it is published, in seconds
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=60), value_name = "SECONDS")]
    pub wait: u64,
}

/// How bad a warning is.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum SeverityArg {
    /// Little harm, or only in unusual settings
    Low,
    /// Harm in common settings
    Medium,
    /// Act soon
    High,
    /// Act now
    Critical,
}

impl From<SeverityArg> for attest::predicate::Severity {
    fn from(severity: SeverityArg) -> Self {
        match severity {
            SeverityArg::Low => Self::Low,
            SeverityArg::Medium => Self::Medium,
            SeverityArg::High => Self::High,
            SeverityArg::Critical => Self::Critical,
        }
    }
}

impl AdviseCommand {
    /// How to sign and wait.
    #[must_use]
    pub fn signing(&self) -> &SigningArgs {
        match self {
            Self::Warn { text, .. } | Self::Withdraw { text } => &text.signing,
            Self::Second { signing, .. } | Self::Head { signing } => signing,
        }
    }
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
