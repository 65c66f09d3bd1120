//! `add-entries`: the head decides whether there is anything to do, packages are proven as they come, and kept a batch at a time.

use std::cmp::Ordering;
use std::sync::Arc;

use tlog::Tree;
use tlog::mirror::{MirrorInfo, PACKAGE, Span, Upload};
use tracing::error;

use super::copy::Piece;
use super::incoming::{Broken, Incoming};
use super::mirrored::Mirrored;
use super::places::Place;
use super::{Mirror, Refused, Uploaded};
use crate::{Failure, Known, Refusal, logs};

/// Entries are made durable when so much memory is held for them.
const BATCH: usize = 4 << 20;
/// How many entries that are here may be uploaded once more.
const MAX_REPEATED: u64 = 32 * PACKAGE;

impl From<Broken> for Refused {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Malformed => Self::Malformed,
            Broken::Slow => Self::Slow,
        }
    }
}

/// What a batch is followed by.
type Then = Result<bool, Refused>;

impl Mirror {
    /// `add-entries`.
    ///
    /// # Errors
    /// See [`Refused`]. Packages before the one that is refused are kept.
    pub async fn add_entries(&self, incoming: &mut Incoming) -> Result<Uploaded, Refused> {
        let upload = incoming.head().await?;
        let id = logs::id(&upload.origin);
        let mirrored = self.copies.get(&id).ok_or(Refusal::UnknownLog)?;
        let pending = self.witness.pending(&upload.origin).await?;
        let (next, vouched) = self.sizes(mirrored).await?;
        let known = pending.iter().find(|known| known.tree().size == upload.end && upload.end >= vouched.max(next));
        let Some(known) = known.filter(|_| upload.start <= next && upload.start + MAX_REPEATED >= next) else {
            return Ok(Uploaded::Elsewhere(info(known.or(pending.last()), next)));
        };
        let place = self.places.enter(&id).ok_or(Failure::Busy)?;
        let has_taken = self.take(mirrored, &upload, known.tree(), incoming, place).await?;
        let held = mirrored.tree().await?;
        match held.size.cmp(&upload.end) {
            Ordering::Less if has_taken => return Ok(Uploaded::Partly(info(Some(known), held.size))),
            Ordering::Less => return Err(Refused::Malformed),
            // Another upload was faster. What the smaller tree's root is cannot be seen any more.
            Ordering::Greater => return self.elsewhere(mirrored).await,
            Ordering::Equal if held != known.tree() => {
                let (origin, size) = (&mirrored.origin, held.size);
                error!(origin, size, "the copy is not of the tree that the log signed: nothing is vouched for; move it away");
                return Err(Failure::NotSaved.into());
            }
            Ordering::Equal => {}
        }
        match self.witness.vouch(&upload.origin, known.clone()).await? {
            Some(lines) => Ok(Uploaded::Vouched(lines)),
            None => self.elsewhere(mirrored).await,
        }
    }

    async fn elsewhere(&self, mirrored: &Arc<Mirrored>) -> Result<Uploaded, Refused> {
        let pending = self.witness.pending(&mirrored.origin).await?;
        Ok(Uploaded::Elsewhere(info(pending.last(), mirrored.tree().await?.size)))
    }

    /// How many entries are here, and how many were vouched for.
    async fn sizes(&self, mirrored: &Arc<Mirrored>) -> Result<(u64, u64), Failure> {
        let witness = Arc::clone(&self.witness);
        mirrored.work(move |mirrored| Ok((mirrored.copy.tree()?.size, witness.vouched_size(&mirrored.origin)?))).await
    }

    /// Takes the packages as they come. Returns whether there was one.
    async fn take(
        &self,
        mirrored: &Arc<Mirrored>,
        upload: &Upload,
        tree: Tree,
        incoming: &mut Incoming,
        mut place: Place,
    ) -> Result<bool, Refused> {
        let mut spans = upload.spans();
        let mut has_taken = false;
        loop {
            let (batch, then) = batch(mirrored, tree, &mut spans, incoming, &mut place).await;
            if !batch.is_empty() {
                // Also if the place was just given away: what is held of this upload ends with it.
                place.works();
                self.keep(mirrored, batch).await?;
                place.waits();
                has_taken = true;
            }
            match then {
                Ok(true) => {}
                Ok(false) => return Ok(has_taken),
                // As with a body that ends early: the client learns how far it has come.
                Err(Refused::Slow | Refused::Failure(Failure::Busy)) if has_taken => return Ok(true),
                Err(refused) => return Err(refused),
            }
        }
    }

    /// Makes proven packages durable, and before them the manifests that they claim.
    async fn keep(&self, mirrored: &Arc<Mirrored>, batch: Vec<Piece>) -> Result<(), Refused> {
        mirrored.manifests(&batch, self.patience.manifests).await?;
        let size = mirrored.work(move |mirrored| mirrored.copy.take(&batch)).await?;
        self.witness.metrics().mirrored(&mirrored.origin, size);
        Ok(())
    }
}

/// Proven packages, as many as are kept at a time; then `true` if there may be more.
async fn batch(
    mirrored: &Arc<Mirrored>,
    tree: Tree,
    spans: &mut impl Iterator<Item = Span>,
    incoming: &mut Incoming,
    place: &mut Place,
) -> (Vec<Piece>, Then) {
    let (mut batch, mut memory) = (Vec::new(), 0);
    while memory < BATCH {
        match piece(mirrored, tree, spans, incoming, place).await {
            Ok(Some(piece)) => {
                memory += piece.memory();
                batch.push(piece);
            }
            Ok(None) => return (batch, Ok(false)),
            Err(refused) => return (batch, Err(refused)),
        }
    }
    (batch, Ok(true))
}

/// The next package, proven to be of the tree; `None` at the end.
async fn piece(
    mirrored: &Arc<Mirrored>,
    tree: Tree,
    spans: &mut impl Iterator<Item = Span>,
    incoming: &mut Incoming,
    place: &mut Place,
) -> Result<Option<Piece>, Refused> {
    let read = tokio::select! {
        read = unproven(spans, incoming) => read?,
        () = place.given_away() => return Err(Failure::Busy.into()),
    };
    let Some(piece) = read else { return Ok(None) };
    if !place.works() {
        return Err(Failure::Busy.into());
    }
    let (is_proven, piece) = mirrored.work(move |mirrored| Ok((mirrored.copy.is_proven(&tree, &piece)?, piece))).await?;
    if !is_proven {
        return Err(Refused::Unproven);
    }
    place.waits();
    Ok(Some(piece))
}

async fn unproven(spans: &mut impl Iterator<Item = Span>, incoming: &mut Incoming) -> Result<Option<Piece>, Refused> {
    match spans.next() {
        Some(span) => Ok(incoming.package(span).await?),
        None if incoming.is_over().await? => Ok(None),
        None => Err(Refused::Malformed),
    }
}

fn info(known: Option<&Known>, next: u64) -> MirrorInfo {
    MirrorInfo { size: known.map_or(0, |known| known.tree().size), next, ticket: Vec::new() }
}
