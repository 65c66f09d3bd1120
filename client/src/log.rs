//! Reading a log, submitting to it and looking things up in it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::Method;
use tlog::plan::Tiles;
use tlog::tile::BundleId;
use tlog::{Hash, InclusionProof, SignedCheckpoint, Signer, Tile, TlogProof};

use crate::http::{self, FetchError, Http};

/// The largest manifest in bytes.
pub const MAX_MANIFEST: usize = 64 << 20;
/// The largest answer to a lookup in bytes.
const MAX_LOOKUP: usize = 1 << 30;
/// The largest answer to a batch in bytes.
const MAX_BATCH: usize = 64 << 20;
/// How many tiles or bundles are fetched at a time.
const PARALLEL: usize = 8;

/// A log at a URL. What it returns is parsed and limited, but not verified.
#[derive(Clone, Debug)]
pub struct LogClient {
    http: Http,
    layout: Layout,
}

/// Which paths a log has its tiles under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// C2SP tlog-tiles: `checkpoint`, `tile/<level>/<index>`.
    Tiles,
    /// Go's checksum databases: `latest`, `tile/8/<level>/<index>`.
    ChecksumDatabase,
}

/// What became of a submitted entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It is in the published tree; unverified.
    Proven(Box<TlogProof>),
    /// The wait expired: the log has it, or not. The same bytes can be submitted again.
    Pending,
}

/// What became of one line of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchLine {
    /// As with a single entry.
    Submitted(Submitted),
    /// The log refuses this entry, with the status that it would have had alone.
    Refused {
        /// The HTTP status, 400 or more.
        status: u16,
        /// The log's words in one line, without control characters.
        reason: String,
    },
}

/// One leaf of a lookup's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its index in the log.
    pub index: u64,
    /// The entry's bytes.
    pub leaf: Vec<u8>,
    /// From the leaf to the answer's checkpoint.
    pub proof: InclusionProof,
}

/// A lookup's answer: a checkpoint and the leaves that match, by index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The checkpoint to which all proofs lead.
    pub checkpoint: SignedCheckpoint,
    /// The leaves, by rising index.
    pub found: Vec<Found>,
}

impl LogClient {
    /// A log whose tiles and checkpoint are below `url`.
    ///
    /// # Errors
    /// If the URL cannot be used.
    pub fn new(url: &str) -> Result<Self, FetchError> {
        // Longer than the longest `wait` of a submission, so that the server's answer comes first.
        Self::with_timeout(url, Duration::from_secs(90))
    }

    /// The same for callers that cannot wait as long for one answer.
    ///
    /// # Errors
    /// If the URL cannot be used.
    pub fn with_timeout(url: &str, timeout: Duration) -> Result<Self, FetchError> {
        Ok(Self { http: Http::new(url, timeout)?, layout: Layout::Tiles })
    }

    /// The same log with the paths of Go's checksum databases: its checkpoint and hash tiles can be read, its entries have a format of
    /// their own.
    #[must_use]
    pub fn of_checksum_database(self) -> Self {
        Self { layout: Layout::ChecksumDatabase, ..self }
    }

    /// The newest checkpoint.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn checkpoint(&self) -> Result<SignedCheckpoint, FetchError> {
        let path = match self.layout {
            Layout::Tiles => "checkpoint",
            Layout::ChecksumDatabase => "latest",
        };
        let answer = self.http.get(path, tlog::Note::MAX_BYTES).await?;
        SignedCheckpoint::parse(&answer.body).map_err(|_| self.malformed(path, "not a checkpoint"))
    }

    /// One tile, exactly `width * 32` bytes. Where a partial tile is gone, the full one is fetched and cut.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn tile(&self, tile: Tile) -> Result<Vec<u8>, FetchError> {
        let wanted = usize::from(tile.width()) * 32;
        let (path, full) = (self.tile_path(&tile), self.tile_path(&tile.full()));
        let mut bytes = self.partial_or_full(&path, &full, 256 * 32).await?;
        if bytes.len() < wanted {
            return Err(self.malformed(&path, "too short for a tile of its width"));
        }
        bytes.truncate(wanted);
        Ok(bytes)
    }

    /// The tiles of a plan, a few at a time.
    ///
    /// # Errors
    /// The first tile's that could not be fetched.
    pub async fn tiles(&self, tiles: &[Tile]) -> Result<Tiles, FetchError> {
        let fetch = |tile: Tile| async move { Ok((tile, self.tile(tile).await?)) };
        stream::iter(tiles.iter().copied().map(fetch)).buffer_unordered(PARALLEL).try_collect().await
    }

    /// One entry bundle's bytes; where a partial bundle is gone, the full one (the caller cuts it at the width that it needs).
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn bundle(&self, id: BundleId) -> Result<Vec<u8>, FetchError> {
        let full = BundleId::new(id.index(), 256).map_or_else(|| id.path(), |full| full.path());
        self.partial_or_full(&id.path(), &full, 256 * (tlog::bundle::MAX_ENTRY + 2)).await
    }

    /// The bytes of these bundles, in their order, a few fetched at a time.
    ///
    /// # Errors
    /// The first bundle's that could not be fetched.
    pub async fn bundles(&self, ids: &[BundleId]) -> Result<Vec<Vec<u8>>, FetchError> {
        stream::iter(ids.iter().map(|id| self.bundle(*id))).buffered(PARALLEL).try_collect().await
    }

    /// The manifest of this name; its root is not checked here.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn manifest(&self, root: &Hash) -> Result<Vec<u8>, FetchError> {
        Ok(self.http.get(&format!("manifest/{root}"), MAX_MANIFEST).await?.body)
    }

    /// The manifests of these names, a few fetched at a time; an answer for each, in order.
    pub async fn manifests(&self, roots: &[Hash]) -> Vec<Result<Vec<u8>, FetchError>> {
        stream::iter(roots.iter().map(|root| self.manifest(root))).buffered(PARALLEL).collect().await
    }

    /// Stores a manifest under its root, signed by a key that has a role.
    ///
    /// # Errors
    /// See [`FetchError`]; a key that cannot sign counts as unreachable.
    pub async fn put_manifest(&self, origin: &str, root: &Hash, body: Vec<u8>, signer: &dyn Signer) -> Result<(), FetchError> {
        let path = format!("manifest/{root}");
        let message = manifest_message(origin, root, &body);
        let signature = signer
            .sign(message.as_bytes())
            .map_err(|_| FetchError::Unreachable { url: path.clone(), reason: "the key did not sign".to_owned() })?;
        let header = format!("{} {}", signer.key().encode(), STANDARD.encode(signature));
        let request = self.http.request(Method::PUT, &path).header(SIGNATURE_HEADER, header).body(body);
        self.http.send(&path, request, 4096).await.map(drop)
    }

    /// Submits one entry and waits up to `wait` for its proof.
    ///
    /// # Errors
    /// See [`FetchError`]; status 403 and 422 are final, 429 and 503 say when to come again.
    pub async fn submit(&self, entry: Vec<u8>, wait: Duration) -> Result<Submitted, FetchError> {
        let path = format!("entries?wait={}", wait.as_secs());
        let answer = self.http.send(&path, self.http.request(Method::POST, &path).body(entry), tlog::Note::MAX_BYTES).await?;
        if answer.status == 202 {
            return Ok(Submitted::Pending);
        }
        let proof = TlogProof::parse(&answer.body).map_err(|_| self.malformed(&path, "not a tlog-proof"))?;
        Ok(Submitted::Proven(Box::new(proof)))
    }

    /// Submits several entries at once and waits up to `wait` for their proofs; one result for each, in order.
    ///
    /// # Errors
    /// See [`FetchError`], for the batch as a whole. A log need not take batches.
    pub async fn submit_batch(&self, entries: &[&[u8]], wait: Duration) -> Result<Vec<BatchLine>, FetchError> {
        let path = format!("entries/batch?wait={}", wait.as_secs());
        let mut body = entries.join(&b'\n');
        body.push(b'\n');
        let answer = self.http.send(&path, self.http.request(Method::POST, &path).body(body), MAX_BATCH).await?;
        parse_batch(&answer.body, entries.len()).ok_or_else(|| self.malformed(&path, "not a batch's answer"))
    }

    /// Asks for all leaves that match these queries (`specs/log.md`), with proofs to one checkpoint.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn lookup(&self, queries: &[String]) -> Result<Lookup, FetchError> {
        let mut body = queries.join("\n");
        body.push('\n');
        let answer = self.http.send("lookup", self.http.request(Method::POST, "lookup").body(body), MAX_LOOKUP).await?;
        parse_lookup(&answer.body).ok_or_else(|| self.malformed("lookup", "not a lookup's answer"))
    }

    fn tile_path(&self, tile: &Tile) -> String {
        match self.layout {
            Layout::Tiles => tile.path(),
            Layout::ChecksumDatabase => tile.path().replacen("tile/", "tile/8/", 1),
        }
    }

    async fn partial_or_full(&self, path: &str, full: &str, limit: usize) -> Result<Vec<u8>, FetchError> {
        match self.http.get(path, limit).await {
            Err(FetchError::Status { status: 404, .. }) if path != full => Ok(self.http.get(full, limit).await?.body),
            answer => Ok(answer?.body),
        }
    }

    fn malformed(&self, path: &str, reason: &'static str) -> FetchError {
        FetchError::Malformed { url: format!("{}/{path}", self.http.base()), reason }
    }
}

/// The request header that carries the signature over a manifest: a verifier key, a space and the base64 signature.
pub const SIGNATURE_HEADER: &str = "tally-signature";

/// The text that a manifest's submitter signs: log, root and the SHA-256 of the body, so that a signature serves one upload only.
#[must_use]
pub fn manifest_message(origin: &str, root: &Hash, body: &[u8]) -> String {
    format!("tallystick/manifest/v1\n{origin}\n{root}\n{}\n", Hash::digest(body))
}

fn parse_lookup(body: &[u8]) -> Option<Lookup> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Head {
        checkpoint: String,
    }
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Line {
        index: u64,
        leaf: String,
        proof: Vec<String>,
    }
    let mut lines = std::str::from_utf8(body).ok()?.lines();
    let head: Head = serde_json::from_str(lines.next()?).ok()?;
    let checkpoint = SignedCheckpoint::parse(head.checkpoint.as_bytes()).ok()?;
    let mut found: Vec<Found> = Vec::new();
    for line in lines {
        let line: Line = serde_json::from_str(line).ok()?;
        let rises = found.last().is_none_or(|last| last.index < line.index);
        if !rises {
            return None;
        }
        found.push(Found { index: line.index, leaf: STANDARD.decode(line.leaf).ok()?, proof: inclusion(&line.proof)? });
    }
    Some(Lookup { checkpoint, found })
}

/// Reads the answer to a batch of `count` entries: the checkpoint once, then a line for each. `None` unless it is one.
#[must_use]
pub fn parse_batch(body: &[u8], count: usize) -> Option<Vec<BatchLine>> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Head {
        checkpoint: Option<String>,
    }
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Line {
        index: Option<u64>,
        proof: Option<Vec<String>>,
        status: Option<u16>,
        error: Option<String>,
    }
    let mut lines = std::str::from_utf8(body).ok()?.lines();
    let head: Head = serde_json::from_str(lines.next()?).ok()?;
    let checkpoint = head.checkpoint.map(|text| SignedCheckpoint::parse(text.as_bytes())).transpose().ok()?;
    let read = |line: &str| {
        let line: Line = serde_json::from_str(line).ok()?;
        match (line.index, line.proof, line.status, line.error) {
            (Some(index), Some(proof), None, None) => {
                let proof = TlogProof { extra: None, index, proof: inclusion(&proof)?, checkpoint: checkpoint.clone()? };
                Some(BatchLine::Submitted(Submitted::Proven(Box::new(proof))))
            }
            (None, None, Some(202), None) => Some(BatchLine::Submitted(Submitted::Pending)),
            (None, None, Some(status @ 400..), Some(error)) => Some(BatchLine::Refused { status, reason: http::one_line(&error) }),
            _ => None,
        }
    };
    let results = lines.map(read).collect::<Option<Vec<_>>>()?;
    (results.len() == count).then_some(results)
}

/// An inclusion proof as JSON has it: base64 hashes, at most as many as a tree can need.
fn inclusion(hashes: &[String]) -> Option<InclusionProof> {
    let proof = hashes.iter().map(|hash| Hash::from_base64(hash)).collect::<Option<Vec<_>>>()?;
    (proof.len() <= 63).then_some(InclusionProof(proof))
}
