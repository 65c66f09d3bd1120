//! A worker for tests, with a directory of its own and nothing to work on.

use std::sync::atomic::AtomicBool;

use tlog::KeyName;
use tokio::sync::Notify;

use super::{Flights, Metrics, Queue, Shard, Worker};
use crate::config::Config;
use crate::home::Home;
use crate::progress::Progress;
use crate::record::Record;

pub(super) struct Yard {
    dir: tempfile::TempDir,
    pub(super) home: Home,
    pub(super) halt: AtomicBool,
}

impl Yard {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Home::create(&dir.path().join("b"), &KeyName::parse("example.org/b").unwrap()).unwrap();
        let home = Home::open(&dir.path().join("b")).unwrap();
        Self { dir, home, halt: AtomicBool::new(false) }
    }

    /// Does something with a worker.
    pub(super) fn with<T>(&self, queue: &Queue, record: &Record, work: impl FnOnce(&Worker<'_>) -> T) -> T {
        let text = "dir = \"b\"\nkeyring = \"/k.gpg\"\nsuite = \"bookworm\"\n";
        let config = Config::parse(text, &self.dir.path().join("builder.toml")).unwrap();
        let signer = self.home.signer().unwrap();
        let (progress, metrics, spooled, flights) = (Progress::silent(), Metrics::default(), Notify::new(), Flights::default());
        work(&Worker {
            config: &config,
            home: &self.home,
            signer: signer.as_ref(),
            progress: &progress,
            record,
            queue,
            metrics: &metrics,
            shard: Shard::WHOLE,
            halt: &self.halt,
            spooled: &spooled,
            flights: &flights,
        })
    }
}
