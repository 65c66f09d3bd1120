//! The words of `tally advise`.

use std::path::PathBuf;

use attest::predicate::Affected;
use clap::{Args, Subcommand};
use tlog::Hash;

/// `tally advise`.
#[derive(Debug, Subcommand)]
pub enum TeamCommand {
    /// Say something
    #[command(flatten)]
    Say(Box<AdviseCommand>),
    /// Print the confirmed warnings in force for other tools
    #[command(after_help = "Examples:\n  tally advise export --format osv > warnings.jsonl\n  tally advise export --format openvex")]
    Export {
        /// osv: a document a line; openvex: one document
        #[arg(long)]
        format: ExportFormat,
    },
}

/// Whose words warnings are told in.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum ExportFormat {
    /// The OSV schema
    Osv,
    /// OpenVEX
    Openvex,
}

/// What `tally advise` can say.
#[derive(Debug, Subcommand)]
pub enum AdviseCommand {
    /// Warn of packages, of package files, or of indexes of repositories
    #[command(
        after_help = "Examples:\n  tally advise warn --key team.key --id TSA-2026-0002 --repository rpm/opensuse/tumbleweed --digest 5bfc…8d08 --severity critical \\\n    --reference https://example.com/2 --summary \"the snapshot is broken\" --advice \"wait for the next one\"\n  tally advise warn --key team.key --id TSA-2026-0001 --package pkg:deb/debian/openssl --severity high \\\n    --reference CVE-2026-0001 --summary \"keys can be guessed\" --advice \"upgrade to 3.0.17-1\" --before 3.0.17-1"
    )]
    Warn {
        /// What is said
        #[command(flatten)]
        text: AdviseText,
        /// Of what
        #[command(flatten)]
        what: AffectedArgs,
        /// How bad it is
        #[arg(long)]
        severity: SeverityArg,
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
    /// Say that packages or a repository reach their end of life: nobody repairs them any more
    #[command(
        after_help = "Examples:\n  tally advise end-of-life --key team.key --source pkg:deb/debian/openjdk-11 --date 2026-06-30 \\\n    --reference https://example.com/eol --summary \"only 17 is maintained\" --successor pkg:deb/debian/openjdk-17\n  tally advise end-of-life --key admin.key --repository deb/debian/buster --date 2024-06-30 --successor deb/debian/bookworm \\\n    --reference https://example.com/eol --summary \"the release is over\""
    )]
    EndOfLife {
        /// What is said
        #[command(flatten)]
        text: LifecycleText,
        /// From which day on, in UTC
        #[arg(long, value_name = "YEAR-MONTH-DAY", value_parser = day)]
        date: u64,
        /// What to use instead: a package, or a repository
        #[arg(long, value_name = "NAME")]
        successor: Option<String>,
    },
    /// Say that something else has taken the place of packages or of a repository
    #[command(
        after_help = "Example:\n  tally advise superseded --key team.key --package pkg:deb/debian/iptables-legacy --by pkg:deb/debian/nftables --date 2026-01-01 \\\n    --reference https://example.com/nft --summary \"rules are written for nftables\""
    )]
    Superseded {
        /// What is said
        #[command(flatten)]
        text: LifecycleText,
        /// From which day on, in UTC
        #[arg(long, value_name = "YEAR-MONTH-DAY", value_parser = day)]
        date: u64,
        /// What has taken its place: a package, or a repository
        #[arg(long, value_name = "NAME")]
        by: String,
    },
    /// Take back what the same office said of the very same before: it is supported
    #[command(
        after_help = "Example:\n  tally advise supported --key team.key --source pkg:deb/debian/openjdk-11 --reference https://example.com/lts --summary \"the date was moved\""
    )]
    Supported {
        /// What is said
        #[command(flatten)]
        text: LifecycleText,
    },
    /// Say the same as another member of the team, so that the threshold is reached
    #[command(
        after_help = "Examples:\n  tally advise second --key mine.key --id TSA-2026-0001\n  tally advise second --key mine.key --lifecycle 7"
    )]
    Second {
        /// How to sign and wait
        #[command(flatten)]
        signing: SigningArgs,
        /// The warning's name; the newest advisory of this name is repeated
        #[arg(long, required_unless_present = "lifecycle")]
        id: Option<String>,
        /// The number of a statement of an end of life or a supersession
        #[arg(long, value_name = "NUMBER", conflicts_with = "id")]
        lifecycle: Option<u64>,
    },
    /// Vouch for the newest roles and advisories; to be run every few minutes
    #[command(after_help = "Example:\n  tally advise head --key team.key")]
    Head {
        /// How to sign and wait
        #[command(flatten)]
        signing: SigningArgs,
    },
}

/// What is warned of: at least one pattern or digest.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct AffectedArgs {
    /// A pattern of package URLs, such as pkg:deb/debian/openssl; can be given several times
    #[arg(long, value_name = "PATTERN")]
    pub package: Vec<String>,
    /// A pattern of package URLs of source packages, with their versions: everything that was built from them; can be given several times
    #[arg(long, value_name = "PATTERN", conflicts_with = "digest")]
    pub source: Vec<String>,
    /// A pattern of repositories, such as deb/debian/bookworm or rpm/opensuse/*; can be given several times
    #[arg(long, value_name = "PATTERN", conflicts_with_all = ["from", "before"])]
    pub repository: Vec<String>,
    /// Only package files, or indexes, with this SHA-256; can be given several times
    #[arg(long, value_name = "SHA256", value_parser = digest)]
    pub digest: Vec<Hash>,
    /// The first affected version; earlier ones are affected, too, if not given
    #[arg(long, value_name = "VERSION")]
    pub from: Option<String>,
    /// The first version that is not affected any more
    #[arg(long, value_name = "VERSION")]
    pub before: Option<String>,
}

/// Whose end it is: one pattern. Who speaks of the same again replaces what was said.
#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = false, args = ["package", "source", "repository"])]
pub struct LifecycleText {
    /// How to sign and wait
    #[command(flatten)]
    pub signing: SigningArgs,
    /// A pattern of package URLs, such as pkg:deb/debian/openjdk-11-jre
    #[arg(long, value_name = "PATTERN")]
    pub package: Option<String>,
    /// A pattern of package URLs of source packages: everything that was built from them
    #[arg(long, value_name = "PATTERN")]
    pub source: Option<String>,
    /// A pattern of repositories, such as deb/debian/buster or deb/debian/buster*
    #[arg(long, value_name = "PATTERN")]
    pub repository: Option<String>,
    /// The first version that is meant; earlier ones are, too, if not given
    #[arg(long, value_name = "VERSION", conflicts_with = "repository")]
    pub from: Option<String>,
    /// The first version that is not meant any more
    #[arg(long, value_name = "VERSION", conflicts_with = "repository")]
    pub before: Option<String>,
    /// Where to read more
    #[arg(long)]
    pub reference: String,
    /// Why, in one line
    #[arg(long)]
    pub summary: String,
}

impl LifecycleText {
    /// The pattern.
    #[must_use]
    pub fn affected(&self) -> Affected {
        let affected = match (&self.package, &self.source, &self.repository) {
            (Some(pattern), ..) => Affected::packages(pattern),
            (None, Some(pattern), _) => Affected::sources(pattern),
            (None, None, repository) => Affected::repositories(repository.as_deref().unwrap_or_default()),
        };
        Affected { before: self.before.clone(), from: self.from.clone(), ..affected }
    }
}

/// The first second of a day.
fn day(text: &str) -> Result<u64, &'static str> {
    let days = attest::day::parse(text).ok_or("no day such as 2026-06-30")?;
    days.checked_mul(86_400).ok_or("no day such as 2026-06-30")
}

fn digest(text: &str) -> Result<Hash, &'static str> {
    Hash::from_hex(text).ok_or("not 64 lowercase hexadecimal digits")
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
    /// A key file of the security team; for ends of life and supersession also of an admin
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Also write the signed entry here, before it is submitted: tally bundle import takes it even if the log refuses it
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
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
            Self::EndOfLife { text, .. } | Self::Superseded { text, .. } | Self::Supported { text } => &text.signing,
            Self::Second { signing, .. } | Self::Head { signing } => signing,
        }
    }
}
