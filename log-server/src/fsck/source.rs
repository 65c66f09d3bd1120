//! Where `fsck` reads from: a directory, or any server of a log.

use client::{FetchError, LogClient};
use tlog::tile::BundleId;
use tlog::{Hash, Tile, bundle};
use tokio::runtime::Handle;

/// Read access to a log's public objects. Errors are what is wrong with the object, in words.
pub trait Source: Sync {
    /// The published checkpoint.
    fn checkpoint(&self) -> Result<Vec<u8>, String>;
    /// A tile of exactly this width.
    fn tile(&self, tile: Tile) -> Result<Vec<u8>, String>;
    /// A bundle of exactly this width.
    fn bundle(&self, id: BundleId) -> Result<Vec<u8>, String>;
    /// A manifest.
    fn manifest(&self, root: &Hash) -> Result<Vec<u8>, String>;
    /// Any public object by its path.
    fn object(&self, path: &str) -> Result<Vec<u8>, String>;
    /// Paths of all tiles and bundles; none where objects cannot be listed.
    fn listed(&self) -> Vec<String>;
    /// Roots of all stored manifests; none where objects cannot be listed.
    fn manifests(&self) -> Vec<Hash>;
    /// Whether objects of this many items (leaves for `None`, otherwise hashes of the tile's level) may lie there before
    /// publication.
    fn may_exceed(&self, items: u64, level: Option<Tile>) -> bool;
    /// How many threads may read at a time.
    fn workers(&self) -> usize;
}

/// A log over HTTP.
pub struct HttpSource {
    client: LogClient,
    runtime: Handle,
}

impl HttpSource {
    /// The log below `url`; requests run on `runtime`.
    pub fn new(url: &str, runtime: Handle) -> Result<Self, FetchError> {
        Ok(Self { client: LogClient::new(url)?, runtime })
    }
}

impl Source for HttpSource {
    fn checkpoint(&self) -> Result<Vec<u8>, String> {
        self.runtime.block_on(self.client.checkpoint()).map(|signed| signed.encode().into_bytes()).map_err(words)
    }
    fn tile(&self, tile: Tile) -> Result<Vec<u8>, String> {
        self.runtime.block_on(self.client.tile(tile)).map_err(words)
    }
    fn bundle(&self, id: BundleId) -> Result<Vec<u8>, String> {
        let bytes = self.runtime.block_on(self.client.bundle(id)).map_err(words)?;
        Ok(cut(&bytes, id.width()).unwrap_or(bytes))
    }
    fn manifest(&self, root: &Hash) -> Result<Vec<u8>, String> {
        self.runtime.block_on(self.client.manifest(root)).map_err(words)
    }
    fn object(&self, path: &str) -> Result<Vec<u8>, String> {
        Err(format!("{path} cannot be asked for by itself"))
    }
    fn listed(&self) -> Vec<String> {
        Vec::new()
    }
    fn manifests(&self) -> Vec<Hash> {
        Vec::new()
    }
    fn may_exceed(&self, _: u64, _: Option<Tile>) -> bool {
        true
    }
    fn workers(&self) -> usize {
        8
    }
}

/// The first entries of a full bundle, where a server has collected the partial one.
fn cut(bytes: &[u8], width: u16) -> Option<Vec<u8>> {
    let entries = bundle::parse(bytes, 256).ok()?;
    let length: usize = entries.iter().take(usize::from(width)).map(|entry| entry.len() + 2).sum();
    bytes.get(..length).map(<[u8]>::to_vec)
}

fn words(error: FetchError) -> String {
    match error.status() {
        Some(404) => "is missing".to_owned(),
        _ => error.to_string(),
    }
}
