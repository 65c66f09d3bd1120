//! The claim about one downloaded package of another manager than apt.

use std::collections::BTreeMap;
use std::path::Path;

use tlog::Hash;

use super::{Index, IndexError, Manager, PackageFile};
use crate::claim::{Claim, ClaimError};
use crate::request::Request;

/// Finds the file that was asked for among those of a plan, all of which a verified index must name, and makes its claim.
///
/// # Errors
/// What went wrong, and what to do about it.
pub(crate) fn claim_one(
    manager: Manager,
    request: &Request,
    files: &[&Path],
    digests: &BTreeMap<&Path, Hash>,
    index: &Index,
    vendors: &BTreeMap<String, String>,
) -> Result<Option<Claim>, (String, &'static str)> {
    let refused = |error: IndexError| (error.to_string(), error.hint());
    let unclaimed = |error: ClaimError| (error.to_string(), error.hint());
    for file in files {
        if !digests.get(file).is_some_and(|sha256| index.names(sha256)) {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Err(refused(IndexError::Unauthenticated(name)));
        }
    }
    let prefix = format!("{}-", request.name);
    for file in files.iter().filter(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix))) {
        let package = PackageFile::read(manager, file).map_err(unclaimed)?;
        if is_met(request, &package) {
            let listed = index.origin(&package).map_err(refused)?;
            return Claim::new(package, &listed.origin, vendors).map(Some).map_err(unclaimed);
        }
    }
    Ok(None)
}

/// A version may stand with or without its epoch.
fn is_met(request: &Request, package: &PackageFile) -> bool {
    let with_epoch = format!("{}:{}", package.epoch, package.version);
    request.name == package.name
        && request.version.as_ref().is_none_or(|version| *version == package.version || *version == with_epoch)
        && request
            .architecture
            .as_ref()
            .is_none_or(|arch| *arch == package.architecture || matches!(&*package.architecture, "noarch" | "any"))
}
