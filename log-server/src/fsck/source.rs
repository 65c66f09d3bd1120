//! Where `fsck` reads from: a directory, or any server of a log.

use std::time::Duration;

use client::{FetchError, LogClient};
use tlog::tile::BundleId;
use tlog::{Hash, Tile, bundle};
use tokio::runtime::Handle;

/// Why something could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The object is missing or unreadable; in words. Others may be whole.
    Object(String),
    /// The source gives nothing at present, whatever is asked for; in words.
    Source(String),
}

impl Trouble {
    /// Of an object that is not there.
    #[must_use]
    pub fn missing() -> Self {
        Self::Object(MISSING.to_owned())
    }

    /// Whether the object is not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Object(what) if what == MISSING)
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Object(what) | Self::Source(what)) = self;
        f.write_str(what)
    }
}

/// Read access to a log's public objects. What is read replaces what the buffer held; buffers are used again and again.
pub trait Source: Sync {
    /// The published checkpoint.
    fn checkpoint(&self) -> Result<Vec<u8>, Trouble>;
    /// A tile of exactly this width; where a partial one is gone, the beginning of the full one.
    fn tile(&self, tile: Tile, into: &mut Vec<u8>) -> Result<(), Trouble>;
    /// A bundle of exactly this width; where a partial one is gone, the beginning of the full one.
    fn bundle(&self, id: BundleId, into: &mut Vec<u8>) -> Result<(), Trouble>;
    /// A manifest.
    fn manifest(&self, root: &Hash, into: &mut Vec<u8>) -> Result<(), Trouble>;
    /// What only a source that can be listed can do.
    fn listing(&self) -> Option<&dyn Listing>;
    /// How many threads may read at a time.
    fn workers(&self) -> usize;
}

/// A source whose objects can be listed.
pub trait Listing: Sync {
    /// Shows the paths of all tiles and bundles, then those of all manifests, until `visit` returns `false`.
    fn walk(&self, visit: &mut dyn FnMut(&str) -> bool) -> Result<(), String>;
    /// Any public object by its path.
    fn object(&self, path: &str, into: &mut Vec<u8>) -> Result<(), Trouble>;
    /// Whether a manifest is there, unread.
    fn has_manifest(&self, root: &Hash) -> Result<bool, Trouble>;
    /// Whether objects of this many items (leaves for `None`, otherwise hashes of the tile's level) may lie there before
    /// publication.
    fn may_exceed(&self, items: u64, level: Option<Tile>) -> bool;
}

/// A log over HTTP. What fails in passing is asked for again a few times.
pub struct HttpSource {
    client: LogClient,
    runtime: Handle,
}

impl HttpSource {
    /// The log below `url`; requests run on `runtime`.
    pub fn new(url: &str, runtime: Handle) -> Result<Self, FetchError> {
        Ok(Self { client: LogClient::new(url)?, runtime })
    }

    fn fetch<T, F: Future<Output = Result<T, FetchError>>>(&self, ask: impl Fn() -> F) -> Result<T, Trouble> {
        self.runtime.block_on(async {
            let mut pause = FIRST_PAUSE;
            loop {
                match ask().await {
                    Err(error) if error.is_temporary() && pause <= LAST_PAUSE => tokio::time::sleep(pause).await,
                    answer => return answer.map_err(|error| trouble(&error)),
                }
                pause *= 2;
            }
        })
    }
}

impl Source for HttpSource {
    fn checkpoint(&self) -> Result<Vec<u8>, Trouble> {
        self.fetch(|| self.client.checkpoint()).map(|signed| signed.encode().into_bytes())
    }
    fn tile(&self, tile: Tile, into: &mut Vec<u8>) -> Result<(), Trouble> {
        *into = self.fetch(|| self.client.tile(tile))?;
        Ok(())
    }
    fn bundle(&self, id: BundleId, into: &mut Vec<u8>) -> Result<(), Trouble> {
        *into = self.fetch(|| self.client.bundle(id))?;
        cut(id, into);
        Ok(())
    }
    fn manifest(&self, root: &Hash, into: &mut Vec<u8>) -> Result<(), Trouble> {
        *into = self.fetch(|| self.client.manifest(root))?;
        Ok(())
    }
    fn listing(&self) -> Option<&dyn Listing> {
        None
    }
    fn workers(&self) -> usize {
        IN_FLIGHT
    }
}

/// Leaves the first entries of a full bundle, where the partial one has been collected.
pub(super) fn cut(id: BundleId, bytes: &mut Vec<u8>) {
    if bundle::parse(bytes, Tile::FULL).is_ok()
        && let Ok(length) = bundle::cut(bytes, id.width()).map(<[u8]>::len)
    {
        bytes.truncate(length);
    }
}

/// How many hashes a tree of `size` has in a tile's level.
pub(super) fn level_size(size: u64, tile: &Tile) -> u64 {
    size.checked_shr(u32::from(tile.level()) * 8).unwrap_or(0)
}

fn trouble(error: &FetchError) -> Trouble {
    match error.status() {
        Some(404) => Trouble::missing(),
        _ if error.is_temporary() => Trouble::Source(error.to_string()),
        _ => Trouble::Object(error.to_string()),
    }
}

const MISSING: &str = "is missing";
/// Requests at a time: enough to hide a network's latency, few enough for any server.
const IN_FLIGHT: usize = 16;
/// Before the second try; doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Before the last try.
const LAST_PAUSE: Duration = Duration::from_millis(3200);
