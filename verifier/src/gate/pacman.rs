//! pacman's gate. A hook is told names and nothing else (`specs/gate.md`, section 2.4): which files they stand for follows from how pacman
//! was called, from its databases and its cache; afterwards it is compared with what was installed.

mod command;
pub mod syncdb;

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::archive::{Archive, Format};
use crate::check::{self, Checked};
use crate::cli::PacmanArgs;
use crate::exit;
use crate::failure::Failure;
use crate::finding::printable;
use crate::gate::coming::{is_security, is_word};
use crate::gate::desk::{Offer, Place};
use crate::gate::manager::Manager;
use crate::gate::state::State;
use crate::gate::{GateError, desk, session, status};
use crate::setup::Setup;
use command::Invocation;
use syncdb::Listed;

/// `tally gate pacman`.
///
/// # Errors
/// If nothing can be judged where the policy enforces, or the configuration cannot be read.
pub fn run(config: &Path, args: &PacmanArgs) -> Result<u8, Failure> {
    let targets = hear();
    if targets.as_ref().is_ok_and(Vec::is_empty) {
        return Ok(exit::CLEAN);
    }
    if args.after {
        return after(&Setup::load(config)?, &targets?);
    }
    session(config, |setup, now| {
        let mut notes = Vec::new();
        let invocation = args.pid.map_or_else(|| Ok(None), Invocation::of).map_err(GateError::Input)?;
        if invocation.is_none() {
            notes.push("it is not pacman that asks: files that it installs from elsewhere than its repositories cannot be told".to_owned());
        }
        let offers = Shelf::open(invocation.unwrap_or_default())?.offers(&targets?);
        desk::assess(setup, Manager::Pacman, &offers, notes, now)
    })
}

/// Names, one a line.
fn hear() -> Result<Vec<String>, GateError> {
    let mut text = String::new();
    io::stdin().take(MAX_TARGETS + 1).read_to_string(&mut text).map_err(GateError::Input)?;
    let names: Vec<String> = text.lines().map(str::to_owned).collect();
    let is_all = text.len() as u64 <= MAX_TARGETS && names.iter().all(|name| is_word(name));
    is_all.then_some(names).ok_or(GateError::Listing("pacman"))
}

/// What pacman can have taken packages from.
struct Shelf {
    invocation: Invocation,
    /// By the order in which pacman looks.
    repositories: Vec<(String, Vec<Listed>)>,
    caches: Vec<PathBuf>,
    installed: BTreeSet<String>,
}

impl Shelf {
    fn open(invocation: Invocation) -> Result<Self, GateError> {
        let ask = |words: &[&str]| settings(&invocation, words);
        let database = match &invocation.database {
            Some(path) => path.clone(),
            None => ask(&["DBPath"])?.into_iter().next().map(PathBuf::from).ok_or(GateError::Listing("pacman-conf"))?,
        };
        let mut caches = invocation.caches.clone();
        if caches.is_empty() {
            caches = ask(&["CacheDir"])?.into_iter().map(PathBuf::from).collect();
        }
        let mut repositories = Vec::new();
        for name in ask(&["--repo-list"])? {
            let path = database.join("sync").join(format!("{name}.db"));
            let listed = syncdb::read(&path).map_err(|error| GateError::Index(path, error))?;
            repositories.push((name, listed));
        }
        let local = std::fs::read_dir(database.join("local")).into_iter().flatten().flatten();
        let installed = local.filter_map(|entry| entry.file_name().to_str()?.rsplitn(3, '-').nth(2).map(str::to_owned)).collect();
        Ok(Self { invocation, repositories, caches, installed })
    }

    fn offers(&self, targets: &[String]) -> Vec<Offer> {
        let given = check::open_all(&self.given());
        targets.iter().map(|target| self.offer(target, &given)).collect()
    }

    /// The files that were given to pacman; those given as URLs were loaded into its cache.
    fn given(&self) -> Vec<PathBuf> {
        let operands = self.invocation.operands.iter().filter(|_| self.invocation.upgrades);
        let place = |operand: &PathBuf| -> Vec<PathBuf> {
            if operand.as_os_str().as_bytes().windows(3).any(|bytes| bytes == b"://") {
                let cached = operand.file_name().map(|name| self.cached(Path::new(name))).unwrap_or_default();
                return if cached.is_empty() { vec![operand.clone()] } else { cached };
            }
            vec![self.invocation.directory.join(operand)]
        };
        operands.flat_map(place).collect()
    }

    fn cached(&self, file: &Path) -> Vec<PathBuf> {
        self.caches.iter().map(|cache| cache.join(file)).filter(|path| path.exists()).collect()
    }

    fn offer(&self, target: &str, given: &[Checked]) -> Offer {
        let installed = self.installed.contains(target);
        let is_it = |file: &&Checked| file.package.as_ref().is_ok_and(|package| package.name == target);
        if let Some(file) = given.iter().find(is_it) {
            let says = file.package.as_ref().map_or_else(|_| target.to_owned(), |package| package.identity());
            let contents = vec![file.clone()];
            return Offer { name: target.to_owned(), says, installed, contents, places: Some(BTreeSet::new()) };
        }
        // A file that cannot be read, or a list of files on pacman's standard input, could be this package.
        let untold = given.iter().any(|file| file.package.is_err());
        let Some((repository, listed)) = self.listed(target).filter(|_| !untold) else {
            return Offer { name: target.to_owned(), says: target.to_owned(), installed, contents: Vec::new(), places: None };
        };
        let mut contents = check::open_all(&self.cached(Path::new(&listed.file)));
        if contents.is_empty() {
            // pacman compares a file with this digest before it installs it.
            contents.push(listed.checked());
        }
        let place = Place { origin: Some(repository.to_owned()), security: is_security(repository) };
        Offer { name: target.to_owned(), says: listed.identity.to_string(), installed, contents, places: Some(BTreeSet::from([place])) }
    }

    /// The package of the first repository that has it, or of the one that was named with it.
    fn listed(&self, target: &str) -> Option<(&str, &Listed)> {
        let of = |listed: &'_ [Listed]| listed.iter().position(|listed| listed.identity.name == target);
        let all = || self.repositories.iter().filter_map(|(name, listed)| Some((name.as_str(), &listed[of(listed)?])));
        let is_named = |(name, _): &(&str, &Listed)| self.invocation.operands.contains(&Path::new(name).join(target));
        all().find(is_named).or_else(|| all().next())
    }
}

impl Listed {
    /// What can be judged where only this is known.
    fn checked(&self) -> Checked {
        let archive = Archive::listed(Format::Alpm, self.identity.clone(), self.sha256);
        Checked { file: self.file.clone(), package: Ok(Box::new(archive)) }
    }
}

/// What pacman's own program says of its settings, one a line.
fn settings(invocation: &Invocation, words: &[&str]) -> Result<Vec<String>, GateError> {
    let mut command = Command::new("pacman-conf");
    if let Some(config) = &invocation.config {
        command.arg("--config").arg(config);
    }
    let output = command.args(words).stdin(Stdio::null()).env("LC_ALL", "C").output().map_err(GateError::Input)?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success());
    Ok(text.ok_or(GateError::Listing("pacman-conf"))?.lines().map(str::to_owned).collect())
}

/// `tally gate pacman --after`: whether what was installed is what was judged.
fn after(setup: &Setup, targets: &[String]) -> Result<u8, Failure> {
    if !setup.cache.is_there() {
        return Ok(exit::CLEAN);
    }
    let is_of = |identity: &String| identity.split_once(' ').is_some_and(|(name, _)| targets.iter().any(|target| target == name));
    let escaped: Vec<String> = status::unjudged(setup, Path::new("/"))?.into_iter().filter(is_of).collect();
    for identity in &escaped {
        eprintln!("tally: {} was installed, and something else of its name was judged; run: tally verify", printable(identity.as_bytes()));
    }
    if escaped.is_empty() {
        return Ok(exit::CLEAN);
    }
    let record = State::new(&setup.config.state).record(&crate::gate::escaped(Manager::Pacman, &escaped));
    record.map_err(|error| GateError::State(setup.config.state.clone(), error))?;
    Ok(exit::UNKNOWN)
}

const MAX_TARGETS: u64 = 4 << 20;
