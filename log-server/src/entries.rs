//! Reading leaves back from their bundles.

use store::Store;
use tlog::bundle;
use tlog::tile::BundleId;

use crate::layout;
use crate::verify::{VerifyError, fetch_bundle};

/// Reads leaves of one tree; the bundle read last is kept, since those who ask usually ask in order.
pub struct Entries<'a> {
    store: &'a dyn Store,
    size: u64,
    held: Option<(BundleId, Vec<u8>)>,
}

impl<'a> Entries<'a> {
    /// Leaves of the tree of `size` leaves.
    #[must_use]
    pub fn new(store: &'a dyn Store, size: u64) -> Self {
        Self { store, size, held: None }
    }

    /// Leaf `index`.
    pub fn leaf(&mut self, index: u64) -> Result<Vec<u8>, VerifyError> {
        let id = BundleId::holding(index, self.size).ok_or_else(|| VerifyError::Missing(format!("leaf {index}")))?;
        if self.held.as_ref().is_none_or(|(held, _)| *held != id) {
            self.held = Some((id, fetch_bundle(self.store, &id)?));
        }
        let damaged = || VerifyError::Damaged(layout::bundle(&id));
        let (_, bytes) = self.held.as_ref().ok_or_else(damaged)?;
        let leaves = bundle::parse(bytes, id.width()).map_err(|_| damaged())?;
        let place = usize::try_from(index % 256).unwrap_or(usize::MAX);
        leaves.get(place).map(|leaf| leaf.to_vec()).ok_or_else(damaged)
    }
}
