//! The commands beside `serve` that an operator needs once in a while: `restore` and `freeze`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::frozen::freeze;
use crate::fsck::command::open;
use crate::restore::restore;

/// `tally-log restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// Where to make the log: a new directory
    #[arg(long)]
    dir: PathBuf,
    /// A backup of the log's directory, or the URL of the log or of any mirror of it
    #[arg(long, value_name = "DIR|URL")]
    from: String,
    /// A directory with the log's keys/ and log.toml, where --from has none
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
}

impl Restore {
    /// Restores, and says what.
    pub fn run(&self) -> anyhow::Result<u8> {
        let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
        let source = open(&self.from, runtime.handle())?;
        let keys = self.keys.clone().or_else(|| source.listing().map(|_| PathBuf::from(&self.from)));
        let keys = keys.ok_or_else(|| {
            client::cli::Advice::new("a mirror has no keys of the log", "name the directory that has keys/ and log.toml with --keys DIR")
        })?;
        let restored = restore(&self.dir, &*source, &keys)?;
        println!("restored: size {} root {}, {} manifests", restored.tree.size, restored.tree.root, restored.manifests);
        Ok(0)
    }
}

/// `tally-log freeze`.
#[derive(Debug, Args)]
pub struct Freeze {
    /// The log's directory; no server may run on it
    #[arg(long)]
    dir: PathBuf,
    /// Why, in one line for those who want to add something
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The log to go to instead: its origin or address
    #[arg(long, value_name = "NAME")]
    successor: Option<String>,
}

impl Freeze {
    /// Freezes, and prints the last checkpoint.
    pub fn run(&self) -> anyhow::Result<u8> {
        let last = freeze(&self.dir, &self.reason, self.successor.as_deref())?;
        print!("{}", String::from_utf8_lossy(&last.note));
        Ok(0)
    }
}
