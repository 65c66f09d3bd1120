//! A mirror (C2SP tlog-mirror, `specs/mirror.md`): a cosigner that keeps the entries of the logs that it cosigns.
//!
//! `add-checkpoint` goes through the same door as a witness's and makes a checkpoint *pending*; entries are then uploaded, each package
//! with its proof to that checkpoint; when all of them are durable, and not before, the mirror's keys sign.

pub mod claims;
pub mod copy;
pub mod http;
pub mod incoming;
mod next;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use client::LogClient;
use store::Store;
use tlog::mirror::{MirrorInfo, Upload};
use tlog::{SignedCheckpoint, Tree};
use tokio::sync::Semaphore;
use tracing::warn;

use crate::{Failure, Known, Witness};
use copy::{Copy, Piece};
use incoming::Incoming;

/// Entries are made durable when so many bytes of them have come in.
const BATCH: usize = 4 << 20;
/// Uploads at a time; each holds a batch and a package at most.
const UPLOADS: usize = 16;
/// How many entries that are here may be uploaded once more.
const MAX_REPEATED: u64 = 32 * tlog::mirror::PACKAGE;
/// How long a log may take to give a manifest.
const MANIFEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A mirror of the logs on its list.
pub struct Mirror {
    witness: Arc<Witness>,
    /// By origin.
    copies: BTreeMap<String, Arc<Mirrored>>,
    places: Semaphore,
}

/// One log's copy, and where its manifests can be had.
struct Mirrored {
    copy: Copy,
    sources: Vec<LogClient>,
}

/// What an upload comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uploaded {
    /// All entries are held: the mirror's signature lines (200).
    Vouched(String),
    /// Some entries are held that were not before; there is more to come (202).
    Partly(MirrorInfo),
    /// Another start or end is needed (409).
    Elsewhere(MirrorInfo),
}

/// Why an upload comes to nothing, beyond what [`Failure`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// As with a witness.
    Failure(Failure),
    /// The body is not as specified, or ends before its first package does (400).
    Malformed,
    /// A proof does not lead to the checkpoint (422).
    Unproven,
    /// A manifest that an entry claims cannot be had; in words (503).
    NoManifest(String),
}

impl<F: Into<Failure>> From<F> for Refused {
    fn from(failure: F) -> Self {
        Self::Failure(failure.into())
    }
}

impl Mirror {
    /// Opens the copy of every log of the witness, which must have been made in the role of a mirror.
    ///
    /// # Errors
    /// The store's; of kind `InvalidData` if a copy is damaged.
    pub fn new(witness: Arc<Witness>, store: &Arc<dyn Store>) -> io::Result<Arc<Self>> {
        let mut copies = BTreeMap::new();
        for log in witness.logs() {
            let copy = Copy::new(Arc::clone(store), &log.id());
            let size = copy.size().map_err(|problem| io::Error::new(problem.kind(), format!("the copy of {}: {problem}", log.origin)))?;
            witness.metrics().mirrored(&log.origin, size);
            let client = |url: &String| LogClient::with_timeout(url, MANIFEST_TIMEOUT).map_err(io::Error::other);
            let sources = log.urls.iter().map(client).collect::<io::Result<_>>()?;
            copies.insert(log.origin.clone(), Arc::new(Mirrored { copy, sources }));
        }
        let mirror = Self { witness, copies, places: Semaphore::new(UPLOADS) };
        mirror.incomplete().iter().for_each(|line| warn!("{line}"));
        Ok(Arc::new(mirror))
    }

    /// The cosigner.
    #[must_use]
    pub fn witness(&self) -> &Arc<Witness> {
        &self.witness
    }

    /// One line for each log of which less is here than was vouched for.
    #[must_use]
    pub fn incomplete(&self) -> Vec<String> {
        let line = |(origin, mirrored): (&String, &Arc<Mirrored>)| {
            let vouched = self.witness.vouched_size(origin).ok()?;
            let size = mirrored.copy.size().ok()?;
            let what =
                format!("incomplete {origin}: {size} entries are here, and {vouched} were vouched for; the log must upload them again");
            (size < vouched).then_some(what)
        };
        self.copies.iter().filter_map(line).collect()
    }

    /// The newest checkpoint with the mirror's lines; `None` if there is none, or not all of its entries are here.
    ///
    /// # Errors
    /// As [`Witness::newest`].
    pub async fn newest(&self, id: &str) -> Result<Option<Arc<str>>, Failure> {
        let Some(shown) = self.witness.newest(id).await? else { return Ok(None) };
        let Ok(signed) = SignedCheckpoint::parse(shown.as_bytes()) else { return Ok(None) };
        let mirrored = self.copies.get(&signed.checkpoint.origin);
        let size = mirrored.map_or(Ok(0), |mirrored| mirrored.copy.size()).map_err(|_| Failure::NotSaved)?;
        Ok((size >= signed.checkpoint.tree.size).then_some(shown))
    }

    /// An object of the copy of the log with this ID.
    ///
    /// # Errors
    /// The store's.
    pub fn object(&self, id: &str, path: &str) -> io::Result<Option<Vec<u8>>> {
        let mut copies = self.copies.iter();
        let found = copies.find(|(origin, _)| crate::logs::id(origin) == id);
        found.map_or(Ok(None), |(_, mirrored)| mirrored.copy.object(path))
    }

    /// `add-entries`.
    ///
    /// # Errors
    /// See [`Refused`]. Packages before the one that is refused are kept.
    pub async fn add_entries(&self, incoming: &mut Incoming) -> Result<Uploaded, Refused> {
        let _place = self.places.try_acquire().map_err(|_| Failure::Busy)?;
        let upload = incoming.head().await.map_err(|_| Refused::Malformed)?;
        let mirrored = self.copies.get(&upload.origin).ok_or(crate::Refusal::UnknownLog)?;
        let pending = self.witness.pending(&upload.origin).await?;
        let next = mirrored.size().await?;
        let known = pending.iter().rev().find(|known| known.tree().size == upload.end);
        let vouched = self.witness.vouched_size(&upload.origin)?;
        let Some(known) = known.filter(|_| upload.end >= vouched && upload.start <= next && upload.start + MAX_REPEATED >= next) else {
            return Ok(Uploaded::Elsewhere(info(known.or(pending.last()), next)));
        };
        let taken = self.take(mirrored, &upload, known.tree(), incoming).await?;
        let next = mirrored.size().await?;
        if next < upload.end {
            return if taken { Ok(Uploaded::Partly(info(Some(known), next))) } else { Err(Refused::Malformed) };
        }
        match self.witness.vouch(&upload.origin, known.clone()).await? {
            Some(lines) => Ok(Uploaded::Vouched(lines)),
            None => Ok(Uploaded::Elsewhere(info(pending.last(), next))),
        }
    }

    /// Takes the packages as they come, a batch at a time. Returns whether there was one.
    async fn take(&self, mirrored: &Arc<Mirrored>, upload: &Upload, tree: Tree, incoming: &mut Incoming) -> Result<bool, Refused> {
        let mut spans = upload.spans();
        let (mut taken, mut is_whole) = (false, false);
        while !is_whole {
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while bytes < BATCH {
                let Some(span) = spans.next() else {
                    is_whole = true;
                    break;
                };
                let Some(piece) = incoming.package(span).await.map_err(|_| Refused::Malformed)? else {
                    is_whole = true;
                    break;
                };
                bytes += piece.entries.iter().map(|entry| entry.len() + 2).sum::<usize>();
                batch.push(piece);
            }
            if batch.is_empty() {
                break;
            }
            let (count, all) = (batch.len(), self.keep(mirrored, &upload.origin, tree, batch).await?);
            if all < count {
                return Err(Refused::Unproven);
            }
            taken = true;
        }
        if spans.next().is_none() && !incoming.is_over().await {
            return Err(Refused::Malformed);
        }
        Ok(taken)
    }

    /// Keeps those of the packages that are proven, and first the manifests that they claim; returns how many.
    async fn keep(&self, mirrored: &Arc<Mirrored>, origin: &str, tree: Tree, mut batch: Vec<Piece>) -> Result<usize, Refused> {
        let (proven, batch) = mirrored
            .work(move |mirrored| {
                let proven = mirrored.copy.proven(&tree, &batch)?;
                batch.truncate(proven);
                Ok((proven, batch))
            })
            .await?;
        mirrored.manifests(&batch).await?;
        let size = mirrored.work(move |mirrored| mirrored.copy.take(&batch)).await?;
        self.witness.metrics().mirrored(origin, size);
        Ok(proven)
    }
}

impl Mirrored {
    async fn size(self: &Arc<Self>) -> Result<u64, Failure> {
        self.work(|mirrored| mirrored.copy.size()).await
    }

    /// Runs blocking work, to its end even if the client has gone.
    async fn work<T: Send + 'static>(self: &Arc<Self>, work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static) -> Result<T, Failure> {
        let mirrored = Arc::clone(self);
        match tokio::task::spawn_blocking(move || work(&mirrored)).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(problem)) => {
                tracing::error!(%problem, "the copy could not be read or written");
                Err(Failure::NotSaved)
            }
            Err(_) => Err(Failure::NotSaved),
        }
    }

    /// Fetches the manifests that these entries claim and that are not here; nothing where the list gives no address.
    async fn manifests(self: &Arc<Self>, batch: &[Piece]) -> Result<(), Refused> {
        if self.sources.is_empty() {
            return Ok(());
        }
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

fn info(known: Option<&Known>, next: u64) -> MirrorInfo {
    MirrorInfo { size: known.map_or(0, |known| known.tree().size), next, ticket: Vec::new() }
}
