//! The words of `tally repo`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{OutputArgs, SigningArgs};

/// `tally repo`.
#[derive(Debug, Subcommand)]
pub enum RepoCommand {
    /// Judge the indexes that package managers keep here: current, registered, attested, warned?
    #[command(
        after_help = "Examples:\n  tally repo check\n  tally repo check --suite bookworm-security --json\n  tally repo check --file repomd.xml --name rpm/opensuse/tumbleweed\n\nExit status: as of tally verify; 3 stale or frozen, 2 not registered or attested by too few, 4 warned"
    )]
    Check(RepoCheckArgs),
    /// Say, as an admin, that an index is the current one
    #[command(
        after_help = "Examples:\n  tally repo register --key admin.key dists/bookworm/InRelease\n  tally repo register --key admin.key --name rpm/opensuse/tumbleweed repodata/repomd.xml"
    )]
    Register(RegisterArgs),
    /// Judge new metadata for zypper; libzypp's plugin calls it
    #[command(
        after_help = "Example, as in /usr/lib/zypp/plugins/repoverification/tally:\n  exec /usr/bin/tally repo zypper \"$@\"\n\nExit status: 0 zypper goes on; anything else, the metadata are discarded"
    )]
    Zypper(ZypperArgs),
    /// Answer libzypp about the new index of a repository whose definition demands it; libzypp's plugin calls it
    #[command(
        after_help = "Example, as in /usr/lib/zypp/plugins/sigcheck/tallystick, which a .repo file demands with repo_sigcheck_plugin=tallystick oss:\n  exec /usr/bin/tally repo sigcheck oss\n\nExit status: 0 libzypp was answered; anything else, it takes nothing in"
    )]
    Sigcheck(SigcheckArgs),
}

/// `tally repo check`.
#[derive(Debug, Args)]
pub struct RepoCheckArgs {
    /// Judge this index instead of those of the root; can be given several times
    #[arg(long, value_name = "FILE")]
    pub file: Vec<PathBuf>,
    /// The repository's name in the log, where neither the index nor the policy says it
    #[arg(long, value_name = "NAME", requires = "file", value_parser = name)]
    pub name: Option<String>,
    /// What its package manager calls the repository of the file
    #[arg(long, value_name = "ALIAS", requires = "file")]
    pub alias: Option<String>,
    /// Only repositories of this suite or alias
    #[arg(long, value_name = "SUITE")]
    pub suite: Option<String>,
    /// The root whose indexes are judged
    #[arg(long, value_name = "DIR", default_value = "/", conflicts_with = "file")]
    pub root: PathBuf,
    /// Use only the cache
    #[arg(long)]
    pub offline: bool,
    /// How to report
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `tally repo register`.
#[derive(Debug, Args)]
pub struct RegisterArgs {
    /// The index: InRelease, repomd.xml, NAME.db or index.json
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// How to sign and wait
    #[command(flatten)]
    pub signing: SigningArgs,
    /// The repository's name in the log, where neither the index nor the policy says it
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub name: Option<String>,
    /// What its package manager calls the repository
    #[arg(long, value_name = "ALIAS")]
    pub alias: Option<String>,
    /// Register it although the registered index is of a later time
    #[arg(long)]
    pub older: bool,
}

/// `tally repo zypper`.
#[derive(Debug, Args)]
pub struct ZypperArgs {
    /// The master index
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
    /// Its signature; not looked at, since the log speaks of the index itself
    #[arg(long, value_name = "FILE")]
    pub fsig: Option<PathBuf>,
    /// The key of the signature; not looked at
    #[arg(long, value_name = "FILE")]
    pub fkey: Option<PathBuf>,
    /// What zypper calls the repository
    #[arg(long, value_name = "ALIAS")]
    pub ralias: String,
    /// How to report
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `tally repo sigcheck`.
#[derive(Debug, Args)]
pub struct SigcheckArgs {
    /// What zypper calls the repository
    #[arg(value_name = "ALIAS")]
    pub alias: String,
}

fn name(text: &str) -> Result<String, String> {
    let is_name = attest::predicate::RepositoryState::is_repository(text);
    if is_name { Ok(text.to_owned()) } else { Err("a name is TYPE/VENDOR/SUITE, such as rpm/opensuse/tumbleweed".to_owned()) }
}
