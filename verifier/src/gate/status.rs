//! What came past the gate: packages that are installed and that it never let through. A hook that does not run, and whatever installs
//! without asking, shows in no other way (`specs/gate.md`, section 7).

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use package::installed::{Database, DatabaseError, Installed};
use package::root::Root;
use serde_json::{Value, json};

use crate::cli::StatusArgs;
use crate::exit;
use crate::failure::Failure;
use crate::finding::printable;
use crate::gate::state::State;
use crate::gate::{Decision, GateError};
use crate::install::managers;
use crate::setup::Setup;
use crate::verify::VerifyError;

/// `tally gate status`.
///
/// # Errors
/// If the databases of what is installed, or the gate's memory, cannot be read.
pub fn run(config: &Path, args: &StatusArgs) -> Result<u8, Failure> {
    let setup = Setup::load(config)?;
    let state = State::new(&setup.config.state);
    let failed = |error| GateError::State(setup.config.state.clone(), error);
    if args.seen {
        state.set_known(&installed(&args.root)?).map_err(failed)?;
        println!("everything that is installed is known from now on");
        return Ok(exit::CLEAN);
    }
    let watch = Watch::look(&state, &args.root, &installed(&args.root)?).map_err(failed)?;
    if args.json {
        println!("{}", watch.json());
    } else {
        println!("{}", if watch.enforces { "packages are refused where the policy says so" } else { "packages are only warned of" });
        for (manager, asked) in &watch.hooks {
            let asked = asked.as_deref().map_or_else(|| "was never asked".to_owned(), |time| format!("was last asked at {time}"));
            println!("{manager:<8} has a hook, which {asked}");
        }
        print!("{}", told(&watch.unjudged, watch.has_begun));
    }
    Ok(if watch.unjudged.is_empty() { exit::CLEAN } else { exit::UNKNOWN })
}

/// What the gate has seen, and what it has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Whether packages are refused, or only warned of.
    pub enforces: bool,
    /// The package managers that have a hook, and when each last asked.
    pub hooks: Vec<(&'static str, Option<String>)>,
    /// Whether it is known what was there before the gate.
    pub has_begun: bool,
    /// What is installed and was never let through.
    pub unjudged: Vec<String>,
}

impl Watch {
    fn look(state: &State, root: &Path, installed: &BTreeSet<String>) -> io::Result<Self> {
        let (known, records) = (state.known()?, state.records()?);
        let hooks = managers::hooked(root).into_iter().map(|manager| (manager, last(&records, manager))).collect();
        let unjudged = known.as_ref().map(|known| installed.difference(known).cloned().collect()).unwrap_or_default();
        Ok(Self { enforces: state.enforces()?, hooks, has_begun: known.is_some(), unjudged })
    }

    /// For the report about this machine; `None` where there is no gate.
    ///
    /// # Errors
    /// If the gate's memory cannot be read.
    pub fn of_this_machine(state: &Path, database: &Database) -> io::Result<Option<Self>> {
        let watch = Self::look(&State::new(state), Path::new("/"), &packages(database))?;
        Ok(Some(watch).filter(|watch| watch.has_begun || !watch.hooks.is_empty()))
    }

    /// One object.
    #[must_use]
    pub fn json(&self) -> Value {
        let hooks: Vec<Value> = self.hooks.iter().map(|(manager, asked)| json!({ "manager": manager, "asked": asked })).collect();
        json!({ "schema": 1, "enforces": self.enforces, "hooks": hooks, "began": self.has_begun, "unjudged": self.unjudged })
    }
}

fn told(unjudged: &[String], has_begun: bool) -> String {
    if !has_begun {
        return "which packages were there before the gate is not known; run: tally gate status --seen\n".to_owned();
    }
    if unjudged.is_empty() {
        return "nothing came without being judged\n".to_owned();
    }
    let lines: String = unjudged.iter().take(SHOWN).map(|package| format!("  {}\n", printable(package.as_bytes()))).collect();
    let more = unjudged.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("  and {more} more: tally gate status --json\n") } else { String::new() };
    format!(
        "{} packages came without being judged:\n{lines}{more}  next: tally verify; does the hook run? when all is well: tally gate status --seen\n",
        unjudged.len()
    )
}

/// When a package manager last asked.
fn last(records: &[Value], manager: &str) -> Option<String> {
    let is_of = |record: &&Value| record["manager"] == manager && record["decision"] != "escaped";
    records.iter().rev().find(is_of).and_then(|record| Some(record["time"].as_str()?.to_owned()))
}

/// What is installed and was never let through; nothing before it was said what was there to begin with.
///
/// # Errors
/// See [`run`].
pub fn unjudged(setup: &Setup, root: &Path) -> Result<Vec<String>, Failure> {
    let known = State::new(&setup.config.state).known().map_err(|error| GateError::State(setup.config.state.clone(), error))?;
    let Some(known) = known else { return Ok(Vec::new()) };
    Ok(installed(root)?.difference(&known).cloned().collect())
}

/// Remembers what the gate let through. Where that cannot be written, it will be told as unjudged.
pub fn let_through(setup: &Setup, decision: &Decision) {
    let packages: Vec<&str> = decision.assessed.candidates.iter().map(|candidate| candidate.says.as_str()).collect();
    let state = State::new(&setup.config.state);
    if let Err(error) = state.add_known(&packages).and_then(|()| forget_old(&state, &packages)) {
        eprintln!("tally: note: what was let through could not be written down: {error}");
    }
}

/// Of a long memory, only what is installed and what is coming is kept.
fn forget_old(state: &State, coming: &[&str]) -> io::Result<()> {
    let (true, Ok(installed)) = (state.knows_much()?, installed(Path::new("/"))) else { return Ok(()) };
    let known = state.known()?.unwrap_or_default();
    state.set_known(&known.into_iter().filter(|package| installed.contains(package) || coming.contains(&package.as_str())).collect())
}

/// Remembers what is there when a hook is put there; says so, or why that failed. Nothing if it was remembered before.
#[must_use]
pub fn begin(root: &Path, state: &Path) -> Option<String> {
    let state = State::new(&root.join(state.strip_prefix("/").unwrap_or(state)));
    match state.known() {
        Ok(Some(_)) => None,
        Ok(None) => Some(match installed(root) {
            Ok(packages) => state.set_known(&packages).map_or_else(
                |error| format!("what is installed could not be written down, so that tally gate status cannot tell what comes past the gate: {error}"),
                |()| format!("{} packages were there before", packages.len()),
            ),
            Err(failure) => format!("what is installed could not be read: {failure}"),
        }),
        Err(error) => Some(format!("the gate's memory cannot be read: {error}")),
    }
}

fn installed(root: &Path) -> Result<BTreeSet<String>, Failure> {
    let opened = Root::open(root).map_err(VerifyError::Root)?;
    match Database::open(&opened) {
        Ok(database) => Ok(packages(&database)),
        Err(DatabaseError::None) => Ok(BTreeSet::new()),
        Err(error) => Err(VerifyError::Database(error).into()),
    }
}

fn packages(database: &Database) -> BTreeSet<String> {
    database.packages.iter().map(identity).collect()
}

fn identity(package: &Installed) -> String {
    crate::archive::identity(&package.name, package.epoch, &package.version, &package.architecture)
}

const SHOWN: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_at_the_beginning_is_known() {
        let root = tempfile::tempdir().unwrap();
        let local = root.path().join("var/lib/pacman/local");
        let put = |name: &str| {
            std::fs::create_dir_all(local.join(format!("{name}-1-1"))).unwrap();
            let desc = format!("%NAME%\n{name}\n\n%VERSION%\n1-1\n\n%ARCH%\nany\n\n");
            std::fs::write(local.join(format!("{name}-1-1/desc")), desc).unwrap();
            std::fs::write(local.join(format!("{name}-1-1/files")), "%FILES%\n\n").unwrap();
        };
        put("old");
        assert!(begin(root.path(), Path::new("/state")).unwrap().starts_with("1 packages"));
        assert_eq!(begin(root.path(), Path::new("/state")), None, "it begins once");
        let state = State::new(&root.path().join("state"));
        assert_eq!(state.known().unwrap(), Some(installed(root.path()).unwrap()));
        put("new");
        let new: Vec<String> = installed(root.path()).unwrap().difference(&state.known().unwrap().unwrap()).cloned().collect();
        assert_eq!(new, ["new 1-1 any"]);
        assert!(told(&new, true).contains("1 packages came without being judged:\n  new 1-1 any\n"));
    }
}
