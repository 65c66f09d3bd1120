//! Outside of containers: the chain of every downloaded file, then the claim of every package. Pure reading, on all cores.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use attest::Statement;
use attest::version::compare_debian;
use package::deb::DebPackage;
use tlog::Hash;

use super::{Failure, Ready, RunError};
use crate::chain::{Chain, ChainError, Keyring, Lists};
use crate::claim::{self, Claim, ClaimError};
use crate::distro::{self, Index, Manager};
use crate::download::{Downloaded, Plan};
use crate::observe::Installation;
use crate::request::Request;
use crate::sources::Source;

/// What became of one request.
pub(super) type Verified = (Request, Result<Ready, Failure>);

/// The chain of every file, then the claim of every package, and what was seen of the repositories: pure reading.
pub(super) fn verify(
    downloaded: &Downloaded,
    sources: &[Source],
    keyring: &Keyring,
    vendors: &BTreeMap<String, String>,
    now: u64,
) -> Result<(Vec<Verified>, Vec<Statement>), RunError> {
    let digests = digests(downloaded)?;
    let wanted: BTreeSet<Hash> = digests.values().copied().collect();
    let foreign = downloaded.plans.iter().filter_map(|plan| plan.request.architecture.clone());
    let architectures: BTreeSet<String> = foreign.chain([downloaded.native.clone()]).collect();
    let lists = Lists { dir: &downloaded.lists, sources, architectures: &architectures };
    let chain = Chain::verify(&lists, &wanted, keyring, now)?;
    let faketime = downloaded.faketime.clone().filter(|file| digests.get(file.as_path()).is_some_and(|sha256| chain.names(sha256)));
    if downloaded.faketime.is_some() && faketime.is_none() {
        return Err(ChainError::Unauthenticated { package: "libfaketime".to_owned(), sha256: Hash::EMPTY }.into());
    }
    let one = |plan: &Plan| (plan.request.clone(), claim_one(plan, &downloaded.native, &digests, &chain, vendors, faketime.clone()));
    Ok((in_parallel(&downloaded.plans, &one), chain.states(vendors)))
}

/// The same for other managers than apt.
pub(super) fn verify_foreign(
    manager: Manager,
    downloaded: &Downloaded,
    index: &Index,
    vendors: &BTreeMap<String, String>,
) -> Result<(Vec<Verified>, Vec<Statement>), RunError> {
    let digests = digests(downloaded)?;
    let one = |plan: &Plan| {
        let files = plan.files.clone().map_err(not_to_be_had)?;
        let paths: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        let claim = distro::claim_one(manager, &plan.request, &paths, &digests, index, vendors);
        let claim = claim
            .map_err(|(what, hint)| Failure { what, hint })?
            .ok_or_else(|| not_to_be_had(format!("{} was not downloaded", plan.request)))?;
        Ok(Ready { claim, installation: Installation { architectures: Vec::new(), files, faketime: None } })
    };
    Ok((in_parallel(&downloaded.plans, &|plan: &Plan| (plan.request.clone(), one(plan))), Vec::new()))
}

fn not_to_be_had(what: String) -> Failure {
    Failure { what, hint: "check the package's name, version and architecture" }
}

/// SHA-256 of every file that came out of the container.
fn digests(downloaded: &Downloaded) -> Result<BTreeMap<&Path, Hash>, ChainError> {
    let planned = downloaded.plans.iter().filter_map(|plan| plan.files.as_ref().ok()).flatten();
    let files: BTreeSet<&PathBuf> = planned.chain(&downloaded.faketime).collect();
    files.into_iter().map(|file| Ok((file.as_path(), digest(file)?))).collect()
}

fn claim_one(
    plan: &Plan,
    native: &str,
    digests: &BTreeMap<&Path, Hash>,
    chain: &Chain,
    vendors: &BTreeMap<String, String>,
    faketime: Option<PathBuf>,
) -> Result<Ready, Failure> {
    let refused = |error: &ChainError| Failure { what: error.to_string(), hint: error.hint() };
    let unclaimed = |error: ClaimError| Failure { what: error.to_string(), hint: error.hint() };
    let files = plan.files.clone().map_err(not_to_be_had)?;
    for file in &files {
        let sha256 = digests.get(file.as_path()).copied().unwrap_or(Hash::EMPTY);
        if !chain.names(&sha256) {
            let package = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Err(refused(&ChainError::Unauthenticated { package, sha256 }));
        }
    }
    let deb = newest(&plan.request, &files, native).map_err(unclaimed)?;
    let deb = deb.ok_or_else(|| not_to_be_had(format!("apt did not download {}", plan.request)))?;
    let listed = chain.origin(&deb).map_err(|error| refused(&error))?;
    let claim = Claim::new(deb.into(), &listed.origin, vendors).map_err(unclaimed)?;
    let foreign = plan.request.architecture.iter().filter(|arch| *arch != native && *arch != "all");
    let installation = Installation { architectures: foreign.cloned().collect(), files, faketime };
    Ok(Ready { claim, installation })
}

/// The newest package that a request means: where other requests name versions, theirs are among the files.
fn newest(request: &Request, files: &[PathBuf], native: &str) -> Result<Option<DebPackage>, ClaimError> {
    let prefix = format!("{}_", request.name);
    let named = |file: &&PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix));
    let mut newest: Option<DebPackage> = None;
    for file in files.iter().filter(named) {
        let deb = claim::read(file)?;
        let is_newer = |known: &DebPackage| compare_debian(&deb.control.version, &known.control.version).is_gt();
        if request.is_met_by(&deb.control, native) && newest.as_ref().is_none_or(is_newer) {
            newest = Some(deb);
        }
    }
    Ok(newest)
}

pub(crate) fn digest(path: &Path) -> Result<Hash, ChainError> {
    use sha2::Digest as _;
    let unreadable = |error: std::io::Error| ChainError::Unreadable { place: path.display().to_string(), reason: error.to_string() };
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match std::io::Read::read(&mut file, &mut buffer).map_err(unreadable)? {
            0 => return Ok(Hash::new(hasher.finalize().into())),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// Applies a function to every item, on all cores; results in the items' order.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: &(dyn Fn(&T) -> R + Sync)) -> Vec<R> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(item) = items.get(index) else { return done };
            done.push((index, work(item)));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(items.len().max(1));
    let mut results: Vec<(usize, R)> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        // A panic of a worker is a defect of this program and goes on as one.
        handles.into_iter().flat_map(|handle| handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deb(dir: &Path, version: &str) -> PathBuf {
        let (source, path) = (dir.join("source"), dir.join(format!("one_{version}_all.deb")));
        std::fs::create_dir_all(source.join("DEBIAN")).unwrap();
        let control = format!("Package: one\nVersion: {version}\nArchitecture: all\nMaintainer: T <t@example.org>\nDescription: test\n");
        std::fs::write(source.join("DEBIAN/control"), control).unwrap();
        let status = std::process::Command::new("dpkg-deb").args(["--build", "--root-owner-group"]).arg(source).arg(&path).output();
        assert!(status.unwrap().status.success());
        path
    }

    #[test]
    fn a_name_means_the_newest_whatever_else_was_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let files = ["1.10", "1.9", "1.2~rc1"].map(|version| deb(dir.path(), version));
        let version = |request: &str| newest(&request.parse().unwrap(), &files, "amd64").unwrap().map(|deb| deb.control.version);
        assert_eq!((version("one").as_deref(), version("one=1.9").as_deref()), (Some("1.10"), Some("1.9")));
        assert_eq!((version("one=2"), version("on")), (None, None));
    }
}
