//! What is sent to a mirror that has not all entries yet: C2SP tlog-mirror `add-entries` (`specs/mirror.md`).

use store::Store;
use tlog::mirror::{Package, Span, Upload};
use tlog::plan::SubtreePlan;
use tlog::{BundleId, SubtreeProof, Tree, bundle};

use crate::layout;
use crate::verify::{VerifyError, fetch, fetch_bundle};

/// Most packages of 256 entries in one request, as the specification asks.
const MAX_PACKAGES: usize = 32;
/// A body that has this many bytes is long enough: each request must end before its time does.
const ENOUGH: usize = 4 << 20;

/// The body that takes a mirror from entry `next` towards the tree's size, or as far as one request goes.
pub fn body(store: &dyn Store, origin: &str, tree: &Tree, next: u64, ticket: Vec<u8>) -> Result<Vec<u8>, VerifyError> {
    let upload = Upload { origin: origin.to_owned(), start: next.min(tree.size), end: tree.size, ticket };
    let mut body = upload.encode().ok_or_else(|| VerifyError::Damaged("the mirror's ticket".to_owned()))?;
    for span in upload.spans().take(MAX_PACKAGES) {
        package(store, tree, &span, &mut body)?;
        if body.len() >= ENOUGH {
            break;
        }
    }
    Ok(body)
}

fn package(store: &dyn Store, tree: &Tree, span: &Span, body: &mut Vec<u8>) -> Result<(), VerifyError> {
    let id = BundleId::holding(span.aligned, tree.size).ok_or_else(|| VerifyError::Damaged("an entry beyond the tree".to_owned()))?;
    let damaged = || VerifyError::Damaged(layout::bundle(&id));
    let bytes = fetch_bundle(store, &id)?;
    let skipped = usize::try_from(span.start - span.aligned).map_err(|_| damaged())?;
    let entries = bundle::parse(&bytes, id.width()).map_err(|_| damaged())?.split_off(skipped);
    let package = Package { entries, proof: proof(store, tree, span)? };
    package.push(body).map_err(|_| damaged())
}

fn proof(store: &dyn Store, tree: &Tree, span: &Span) -> Result<SubtreeProof, VerifyError> {
    let wrong = || VerifyError::Damaged(format!("the tiles of entries {} to {}", span.aligned, span.end));
    let plan = SubtreePlan::new(span.aligned, span.end, tree).map_err(|_| wrong())?;
    Ok(plan.finish(&fetch(store, plan.tiles())?).map_err(|_| wrong())?.1)
}
