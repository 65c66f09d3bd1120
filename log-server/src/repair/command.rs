//! `tally-log repair`: its arguments and its exit status.

use std::path::PathBuf;

use anyhow::Context as _;
use client::cli::Advice;
use serde_json::json;
use store::Directory;
use tlog::VerifierKey;

use super::{Donor, Fate, Outcome, Own, Repair, RepairError};
use crate::fsck::DirectorySource;
use crate::fsck::command::open;
use crate::server::read_settings;

/// What `tally-log repair` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The log's directory; a server may run on it
    #[arg(long)]
    dir: PathBuf,
    /// A mirror of the log, by URL or directory: its copies are compared with the log's own tree, never believed
    #[arg(long, value_name = "URL|DIR")]
    from: Vec<String>,
    /// Say what would be done and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the outcome as one JSON object
    #[arg(long)]
    json: bool,
    /// Objects as `fsck` names them; everything if none is given
    #[arg(value_name = "OBJECT")]
    objects: Vec<String>,
}

impl Arguments {
    /// Repairs, says what was done and returns the exit status: 1 if something remains damaged, 2 if nothing could be told.
    pub fn run(&self) -> anyhow::Result<u8> {
        let settings = read_settings(&self.dir)?;
        let keys = settings.keys.iter().map(|key| VerifierKey::parse(key)).collect::<Result<Vec<_>, _>>();
        let keys = keys.map_err(|error| anyhow::anyhow!("log.toml: not a verifier key: {error}"))?;
        let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
        let own = Own::read(&self.dir, &settings.origin, &keys).map_err(advise)?;
        if own.lock.is_none() {
            tracing::info!("a server runs on this directory: what it has published is looked at");
        }
        let mut donors: Vec<Donor> = own.stage.into_iter().map(Donor::stage).collect();
        for name in &self.from {
            donors.push(Donor::mirror(name, open(name, runtime.handle())?, &own.origin).map_err(advise)?);
        }
        let directory = match self.dry_run {
            true => None,
            false => Some(Directory::open(&self.dir).with_context(|| format!("opening {}", self.dir.display()))?),
        };
        let source = DirectorySource::open(&self.dir)?;
        let mut repair = Repair::new(source, directory.as_ref(), own.tree, donors).map_err(advise)?;
        match self.objects.is_empty() {
            true => repair.everything().map_err(advise)?,
            false => self.objects.iter().try_for_each(|path| repair.object(path)).map_err(advise)?,
        }
        let outcome = repair.outcome();
        match self.json {
            true => println!("{}", json(&outcome)),
            false => print!("{}", self.text(&outcome)),
        }
        Ok(u8::from(outcome.remaining().next().is_some()))
    }

    fn text(&self, outcome: &Outcome) -> String {
        let done = if self.dry_run { "could be restored" } else { "restored" };
        let mut text = String::new();
        for (object, from) in &outcome.refused {
            text.push_str(&format!("{object}: refused the copy of {from}: it is not this object\n"));
        }
        for mended in &outcome.mended {
            match &mended.fate {
                Fate::Restored(from) => text.push_str(&format!("{}: {done} from {from}\n", mended.object)),
                Fate::Remains(why) => text.push_str(&format!("{}: REMAINS DAMAGED: {why}\n", mended.object)),
            }
        }
        let remaining = outcome.remaining().count();
        let restored = outcome.mended.len() - remaining;
        text.push_str(&format!("{} objects checked, {restored} {done}, {remaining} remain damaged\n", outcome.checked));
        if remaining > 0 && self.from.is_empty() {
            text.push_str("hint: name mirrors of this log with --from URL or --from DIR\n");
        }
        text
    }
}

fn json(outcome: &Outcome) -> serde_json::Value {
    let mended = outcome.mended.iter().map(|mended| match &mended.fate {
        Fate::Restored(from) => json!({ "object": mended.object, "restored_from": from }),
        Fate::Remains(why) => json!({ "object": mended.object, "remains": why }),
    });
    let refused = outcome.refused.iter().map(|(object, from)| json!({ "object": object, "from": from }));
    json!({ "checked": outcome.checked, "objects": mended.collect::<Vec<_>>(), "refused": refused.collect::<Vec<_>>() })
}

fn advise(error: RepairError) -> anyhow::Error {
    let hint = match &error {
        RepairError::Checkpoint(_) => "nothing was changed; restore the checkpoint first, from a backup of the same age or younger",
        RepairError::WrongMirror(..) => "nothing was changed; name a mirror of this log",
        RepairError::NoEdge => "nothing was changed; name a mirror of this log, or another one, with --from",
        RepairError::NoObject(_) => "name objects as fsck does, such as tile/entries/x001/234",
        RepairError::Directory(_) | RepairError::Mirror(..) => return error.into(),
    };
    Advice::new(error.to_string(), hint).into()
}
