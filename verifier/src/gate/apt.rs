//! apt's hook: from its protocol to findings about each package file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use tlog::Hash;

use crate::check::{self, Checked};
use crate::exit;
use crate::failure::Failure;
use crate::gate::desk::{self, Offer, Place};
use crate::gate::manager::Manager;
use crate::gate::protocol::{Action, MAX_BYTES, Request, Step};
use crate::gate::repository::{Repository, listing};
use crate::gate::{Assessed, GateError, session};
use crate::setup::Setup;

/// `tally gate apt`: 0 lets apt go on.
///
/// # Errors
/// If nothing can be judged where the policy enforces, or the configuration cannot be read; the hook's command knows whether the latter
/// is to stop apt.
pub fn run(config: &Path) -> Result<u8, Failure> {
    let request: Result<Request, GateError> = hear().and_then(|bytes| Ok(Request::parse(&bytes)?));
    if let Ok(request) = &request
        && unpacked(request).next().is_none()
    {
        // Removals always pass.
        return Ok(exit::CLEAN);
    }
    session(config, |setup, now| assess(setup, &request?, now))
}

/// Reads from the descriptor that apt names.
fn hear() -> Result<Vec<u8>, GateError> {
    let mut bytes = Vec::new();
    let number = std::env::var("APT_HOOK_INFO_FD").unwrap_or_else(|_| "0".to_owned());
    let input: Box<dyn Read> = match number.parse::<u32>() {
        Ok(0) => Box::new(io::stdin()),
        Ok(number) => Box::new(File::open(format!("/proc/self/fd/{number}")).map_err(GateError::Input)?),
        Err(_) => return Err(GateError::Input(io::Error::other("APT_HOOK_INFO_FD is not a number"))),
    };
    input.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(GateError::Input)?;
    Ok(bytes)
}

/// The steps that put files on the machine.
fn unpacked(request: &Request) -> impl Iterator<Item = &Step> {
    request.steps.iter().filter(|step| matches!(step.action, Action::Unpack(_) | Action::Error))
}

fn assess(setup: &Setup, request: &Request, now: u64) -> Result<Assessed, Failure> {
    let paths: Vec<PathBuf> = unpacked(request).filter_map(path).collect();
    let checked = check::open_all(&paths);
    let mut notes = Vec::new();
    let lists = request.directory(&["Dir", "Dir::State", "Dir::State::lists"]);
    let digests: BTreeSet<Hash> = checked.iter().filter_map(|file| Some(file.package.as_ref().ok()?.sha256)).collect();
    let repositories = listing(&lists, &digests).map_err(|error| notes.push(format!("apt's indexes cannot be searched: {error}"))).ok();
    let native = request.value("APT::Architecture").unwrap_or_default();
    let mut files = checked.into_iter();
    let offered = |step: &Step| offer(step, &native, path(step).and_then(|_| files.next()), repositories.as_ref());
    let offers: Vec<Offer> = unpacked(request).map(offered).collect();
    desk::assess(setup, Manager::Apt, &offers, notes, now)
}

fn path(step: &Step) -> Option<PathBuf> {
    match &step.action {
        Action::Unpack(path) => Some(std::ffi::OsString::from_vec(path.clone()).into()),
        _ => None,
    }
}

/// A step with its file. Where no index lists the file, it comes from no place.
fn offer(step: &Step, native: &str, file: Option<Checked>, repositories: Option<&BTreeMap<Hash, BTreeSet<Repository>>>) -> Offer {
    let architecture = step.new.as_ref().map_or("", |new| new.architecture.as_str());
    let foreign = ![native, "all", ""].contains(&architecture);
    let name = if foreign { format!("{}:{architecture}", step.name) } else { step.name.clone() };
    let new = step.new.as_ref();
    let says = format!("{} {} {}", step.name, new.map_or("-", |new| &new.version), new.map_or("-", |new| &new.architecture));
    let digest = file.as_ref().and_then(|file| Some(file.package.as_ref().ok()?.sha256));
    let listed = |repositories: &BTreeMap<Hash, BTreeSet<Repository>>| -> BTreeSet<Place> {
        digest.and_then(|digest| repositories.get(&digest)).into_iter().flatten().map(Repository::place).collect()
    };
    Offer { name, says, installed: step.old.is_some(), contents: file.into_iter().collect(), places: repositories.map(listed) }
}
