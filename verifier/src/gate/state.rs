//! What the gate remembers on this machine (`specs/gate.md`, section 6): whether it has begun to enforce, when it first saw a security
//! update, one-shot overrides, and a record of what it decided.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tlog::Hash;

use crate::cache::replace;

/// The directory of the gate's memory, which need not exist yet.
#[derive(Clone, Debug)]
pub struct State {
    dir: PathBuf,
}

/// The administrator's word that the next refusal is to be passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// When it was given.
    pub given: u64,
    /// The first second at which it no longer holds.
    pub expires: u64,
    /// Why.
    pub reason: String,
    /// The packages that it is for; empty: all, and whatever else stands in the way.
    pub packages: Vec<String>,
}

impl Override {
    /// Whether it covers a refusal; `general`: one that concerns no package alone.
    #[must_use]
    pub fn covers(&self, refused: &[&str], general: bool, now: u64) -> bool {
        let named = |name: &&str| self.packages.iter().any(|package| package == name);
        // One of the future was given under another clock.
        (self.given..self.expires).contains(&now) && (self.packages.is_empty() || !general && refused.iter().all(named))
    }
}

impl State {
    /// The memory in this directory.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf() }
    }

    /// The file whose presence says that the gate enforces; the hook looks at it where `tally` itself fails.
    #[must_use]
    pub fn marker(&self) -> PathBuf {
        self.dir.join(MARKER)
    }

    /// Whether the gate has begun to enforce.
    ///
    /// # Errors
    /// If that cannot be seen.
    pub fn enforces(&self) -> io::Result<bool> {
        self.marker().try_exists()
    }

    /// Begins or ends to enforce.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn set_enforces(&self, enforces: bool) -> io::Result<()> {
        if self.enforces()? == enforces {
            return Ok(());
        }
        if enforces {
            return self.keep(MARKER, b"the gate refuses packages; see specs/gate.md\n");
        }
        fs::remove_file(self.marker())
    }

    /// When each of these package files was first seen; those never seen before are seen now.
    ///
    /// # Errors
    /// If that cannot be read or written: nothing is given grace for ever.
    pub fn first_seen(&self, packages: &[Hash], now: u64) -> io::Result<BTreeMap<Hash, u64>> {
        let mut seen = self.seen()?;
        let before = seen.len();
        for package in packages {
            seen.entry(*package).or_insert(now);
        }
        if seen.len() > before {
            let mut newest: Vec<(&Hash, &u64)> = seen.iter().collect();
            newest.sort_by_key(|(_, time)| std::cmp::Reverse(**time));
            let text: String = newest.iter().take(MAX_SEEN).map(|(package, time)| format!("{package} {time}\n")).collect();
            self.keep(SEEN, text.as_bytes())?;
        }
        Ok(packages.iter().filter_map(|package| Some((*package, *seen.get(package)?))).collect())
    }

    fn seen(&self) -> io::Result<BTreeMap<Hash, u64>> {
        let Some(bytes) = self.read(SEEN)? else { return Ok(BTreeMap::new()) };
        let line = |line: &str| line.split_once(' ').and_then(|(package, time)| Some((Hash::from_hex(package)?, time.parse().ok()?)));
        let text = std::str::from_utf8(&bytes).ok();
        let seen = text.and_then(|text| text.lines().map(line).collect());
        seen.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged; remove it", self.dir.join(SEEN).display())))
    }

    /// Keeps an override until it is used or expires; it takes the place of one before it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn allow(&self, given: &Override) -> io::Result<()> {
        self.keep(ALLOW, &serde_json::to_vec(given).map_err(io::Error::other)?)
    }

    /// Takes the override if it covers a refusal. It is gone before it is used, so that it is used once at most.
    ///
    /// # Errors
    /// If it cannot be read or removed.
    pub fn take_override(&self, refused: &[&str], general: bool, now: u64) -> io::Result<Option<Override>> {
        let Some(bytes) = self.read(ALLOW)? else { return Ok(None) };
        let damaged = |error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", self.dir.join(ALLOW).display()));
        let given: Override = serde_json::from_slice(&bytes).map_err(damaged)?;
        if !given.covers(refused, general, now) {
            return Ok(None);
        }
        fs::remove_file(self.dir.join(ALLOW))?;
        fs::File::open(&self.dir)?.sync_all()?;
        Ok(Some(given))
    }

    /// Adds packages to those that may be installed as far as the gate is concerned: it let them through, or they were there before it.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn add_known(&self, packages: &[&str]) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let mut file = OpenOptions::new().create(true).append(true).open(self.dir.join(KNOWN))?;
        file.write_all(packages.iter().map(|package| format!("{package}\n")).collect::<String>().as_bytes())?;
        file.sync_all()
    }

    /// Whether what is known has grown long.
    ///
    /// # Errors
    /// If that cannot be seen.
    pub fn knows_much(&self) -> io::Result<bool> {
        Ok(fs::metadata(self.dir.join(KNOWN))?.len() > MAX_RECORD)
    }

    /// Takes these for all that are known.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn set_known(&self, packages: &BTreeSet<String>) -> io::Result<()> {
        self.keep(KNOWN, packages.iter().map(|package| format!("{package}\n")).collect::<String>().as_bytes())
    }

    /// The known packages; `None` if it was never said which were there.
    ///
    /// # Errors
    /// If that cannot be read.
    pub fn known(&self) -> io::Result<Option<BTreeSet<String>>> {
        let text = self.read(KNOWN)?;
        Ok(text.map(|text| String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()))
    }

    /// The record, oldest first; what is no JSON is left out.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn records(&self) -> io::Result<Vec<Value>> {
        let mut records = Vec::new();
        for name in [format!("{RECORD}.1"), RECORD.to_owned()] {
            let text = self.read(&name)?.unwrap_or_default();
            records.extend(text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()));
        }
        Ok(records)
    }

    /// Appends one line to the record, which is begun anew beside its predecessor when it has grown large.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn record(&self, entry: &Value) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let path = self.dir.join(RECORD);
        if fs::metadata(&path).is_ok_and(|meta| meta.len() > MAX_RECORD) {
            fs::rename(&path, self.dir.join(format!("{RECORD}.1")))?;
        }
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(format!("{entry}\n").as_bytes())?;
        file.sync_all()
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.dir.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            bytes => bytes.map(Some),
        }
    }

    fn keep(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        replace(&self.dir.join(name), bytes)
    }
}

const MARKER: &str = "enforce";
const SEEN: &str = "seen";
const ALLOW: &str = "allow";
const KNOWN: &str = "known";
const RECORD: &str = "gate.jsonl";
/// Security updates whose first sight is remembered; the oldest go first.
const MAX_SEEN: usize = 20_000;
const MAX_RECORD: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> (tempfile::TempDir, State) {
        let dir = tempfile::tempdir().unwrap();
        let state = State::new(&dir.path().join("state"));
        (dir, state)
    }

    #[test]
    fn the_marker_comes_and_goes() {
        let (_dir, state) = state();
        for enforces in [false, true, true, false, false] {
            state.set_enforces(enforces).unwrap();
            assert_eq!((state.enforces().unwrap(), state.marker().exists()), (enforces, enforces));
        }
    }

    #[test]
    fn first_sights_stay() {
        let (_dir, state) = state();
        let (one, other) = (Hash::digest(b"1"), Hash::digest(b"2"));
        assert_eq!(state.first_seen(&[one], 100).unwrap(), BTreeMap::from([(one, 100)]));
        assert_eq!(state.first_seen(&[one, other], 200).unwrap(), BTreeMap::from([(one, 100), (other, 200)]));
        fs::write(state.dir.join(SEEN), "nonsense").unwrap();
        assert!(state.first_seen(&[one], 300).is_err(), "a damaged memory gives no new grace");
    }

    #[test]
    fn an_override_is_used_once_and_for_what_it_names() {
        let (_dir, state) = state();
        assert_eq!(state.take_override(&["a"], false, 0).unwrap(), None);
        let named = Override { given: 0, expires: 100, reason: "tested".into(), packages: vec!["a".into(), "b".into()] };
        state.allow(&named).unwrap();
        assert_eq!(state.take_override(&["a", "c"], false, 10).unwrap(), None);
        assert_eq!(state.take_override(&["a"], true, 10).unwrap(), None, "a stale head is not in its words");
        assert_eq!(state.take_override(&["a"], false, 100).unwrap(), None, "it has expired");
        state.allow(&Override { given: 50, ..named.clone() }).unwrap();
        assert_eq!(state.take_override(&["a"], false, 10).unwrap(), None, "it was given under another clock");
        state.allow(&named).unwrap();
        assert_eq!(state.take_override(&["a"], false, 10).unwrap(), Some(named.clone()));
        assert_eq!(state.take_override(&["a"], false, 10).unwrap(), None);
        state.allow(&Override { packages: Vec::new(), ..named }).unwrap();
        assert!(state.take_override(&["c"], true, 10).unwrap().is_some());
        fs::write(state.dir.join(ALLOW), "{}").unwrap();
        assert!(state.take_override(&[], false, 10).is_err());
    }

    #[test]
    fn known_packages_are_added_up() {
        let (_dir, state) = state();
        assert_eq!(state.known().unwrap(), None);
        state.set_known(&BTreeSet::from(["a 1 all".to_owned()])).unwrap();
        state.add_known(&["b 1 all", "a 1 all"]).unwrap();
        assert_eq!(state.known().unwrap().unwrap(), BTreeSet::from(["a 1 all".to_owned(), "b 1 all".to_owned()]));
    }

    #[test]
    fn the_record_stays_small() {
        let (_dir, state) = state();
        let long = serde_json::json!("x".repeat(1 << 20));
        (0..12).for_each(|_| state.record(&long).unwrap());
        let sizes: u64 = fs::read_dir(&state.dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        assert!(sizes < 3 * MAX_RECORD, "{sizes}");
    }
}
