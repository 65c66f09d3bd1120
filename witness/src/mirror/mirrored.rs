//! One log's copy, and where its manifests can be had.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use client::LogClient;
use store::Store;
use tlog::Tree;

use super::copy::{Copy, Piece};
use super::{Refused, claims};
use crate::{Failure, Log};

/// How long a log may take to give a manifest.
const MANIFEST_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct Mirrored {
    pub(super) origin: String,
    pub(super) copy: Copy,
    sources: Vec<LogClient>,
}

impl Mirrored {
    pub(super) fn new(log: &Log, store: &Arc<dyn Store>) -> io::Result<Self> {
        let client = |url: &String| LogClient::with_timeout(url, MANIFEST_TIMEOUT).map_err(io::Error::other);
        let sources = log.urls.iter().map(client).collect::<io::Result<_>>()?;
        Ok(Self { origin: log.origin.clone(), copy: Copy::new(Arc::clone(store), &log.id()), sources })
    }

    pub(super) async fn tree(self: &Arc<Self>) -> Result<Tree, Failure> {
        self.work(|mirrored| mirrored.copy.tree()).await
    }

    /// Runs blocking work, to its end even if the client has gone.
    pub(super) async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let mirrored = Arc::clone(self);
        match tokio::task::spawn_blocking(move || work(&mirrored)).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(problem)) => {
                tracing::error!(origin = self.origin, %problem, "the copy could not be read or written");
                Err(Failure::NotSaved)
            }
            Err(_) => Err(Failure::NotSaved),
        }
    }

    /// Fetches the manifests that these entries claim and that are not here; nothing where the list gives no address. Those that
    /// came before the time was over are kept.
    pub(super) async fn manifests(self: &Arc<Self>, batch: &[Piece], within: Duration) -> Result<(), Refused> {
        if self.sources.is_empty() {
            return Ok(());
        }
        let fetched = tokio::time::timeout(within, self.fetch_manifests(batch)).await;
        fetched.unwrap_or_else(|_| Err(Refused::NoManifest(format!("its address took more than {} seconds", within.as_secs()))))
    }

    async fn fetch_manifests(self: &Arc<Self>, batch: &[Piece]) -> Result<(), Refused> {
        for root in claims::manifests(batch.iter().flat_map(|piece| &piece.entries)) {
            if self.work(move |mirrored| mirrored.copy.object(&format!("manifest/{root}"))).await?.is_some() {
                continue;
            }
            let mut problem = String::new();
            let mut text = None;
            for source in &self.sources {
                match source.manifest(&root).await {
                    Ok(bytes) if attest::manifest::tree_of(&bytes).root == root => text = Some(bytes),
                    Ok(_) => problem = format!("manifest {root}: its root is not its name"),
                    Err(error) => problem = error.to_string(),
                }
                if text.is_some() {
                    break;
                }
            }
            let text = text.ok_or(Refused::NoManifest(problem))?;
            self.work(move |mirrored| mirrored.copy.put_manifest(&root, &text)).await?;
        }
        Ok(())
    }
}
