//! Claims against each other: who disagrees with whom, who contradicts itself, and who never says anything first.

use std::collections::{HashMap, HashSet};

use attest::judge::Leaf;
use attest::predicate::PackageFiles;
use tlog::{Hash, VerifierKey};

use super::alert::{Alert, Kind};

/// All claims so far, as far as later ones are compared with them.
#[derive(Default)]
pub struct Claims {
    builders: Vec<Builder>,
    /// By package file.
    packages: HashMap<Short, Vec<Said>>,
    /// Name, version and architecture, with the package file that was claimed first, and the entry.
    names: HashMap<Short, (Short, u64)>,
    /// Names with another package file than the first, each told once.
    told: HashSet<(Short, Short)>,
}

/// The first half of a SHA-256: enough to tell things apart that nobody can make alike, at half the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Short([u8; 16]);

impl Short {
    pub(super) fn of(hash: &Hash) -> Self {
        let mut half = [0; 16];
        half.copy_from_slice(&hash.as_bytes()[..16]);
        Self(half)
    }
}

struct Builder {
    key: VerifierKey,
    claims: u64,
    /// How many of its claims each other builder had made before.
    after: HashMap<usize, u64>,
}

struct Said {
    builder: usize,
    index: u64,
    files: Short,
}

impl Claims {
    /// The keys that have claimed anything.
    pub fn keys(&self) -> impl Iterator<Item = &VerifierKey> {
        self.builders.iter().map(|builder| &builder.key)
    }

    /// Takes in a claim that counts, and says what is odd about it.
    pub fn add(&mut self, leaf: &Leaf, files: &PackageFiles) -> Vec<Alert> {
        let builder = self.builder(&leaf.key);
        let files = Short::of(&Hash::digest(format!("{} {} {}", files.manifest, files.lines, files.bytes).as_bytes()));
        let said = Said { builder, index: leaf.index, files };
        let package = Short::of(&leaf.statement.subject.digest.sha256);
        let mut alerts: Vec<Alert> = self.other_package(leaf, package).into_iter().collect();
        let earlier = self.packages.entry(package).or_default();
        alerts.extend(disagreement(&self.builders, earlier, &said, leaf));
        let before: Vec<usize> =
            earlier.iter().filter(|other| other.files == files && other.builder != builder).map(|other| other.builder).collect();
        // One builder cannot make every later claim dear to judge.
        if earlier.len() < MOST && !earlier.iter().any(|other| other.builder == builder && other.files == files) {
            earlier.push(said);
        }
        alerts.extend(self.count(builder, before, leaf));
        alerts
    }

    fn builder(&mut self, key: &VerifierKey) -> usize {
        let known = self.builders.iter().position(|builder| builder.key.public() == key.public());
        known.unwrap_or_else(|| {
            self.builders.push(Builder { key: key.clone(), claims: 0, after: HashMap::new() });
            self.builders.len() - 1
        })
    }

    /// Two package files of one name: a repository that swaps files under a version, or a builder that does.
    fn other_package(&mut self, leaf: &Leaf, package: Short) -> Option<Alert> {
        let subject = &leaf.statement.subject.name;
        let name = Short::of(&Hash::digest(subject.as_bytes()));
        let (first, index) = *self.names.entry(name).or_insert((package, leaf.index));
        (first != package && self.told.insert((name, package))).then(|| {
            let text = "two package files have this name, version and architecture";
            Alert::new(Kind::TwoPackages, &[index, leaf.index], Some(subject), text)
        })
    }

    /// Counts who was first. A builder with 20 claims (200, 2,000 and so on) of which one other builder had made every one before it
    /// adds nothing: it may not build at all.
    fn count(&mut self, builder: usize, before: Vec<usize>, leaf: &Leaf) -> Option<Alert> {
        let counted = self.builders.get_mut(builder)?;
        counted.claims += 1;
        before.into_iter().for_each(|other| *counted.after.entry(other).or_default() += 1);
        let claims = counted.claims;
        let is_due = claims.is_multiple_of(LEAST) && is_power_of_ten(claims / LEAST);
        let mut models: Vec<usize> = counted.after.iter().filter(|(_, count)| **count == claims).map(|(other, _)| *other).collect();
        models.sort_unstable();
        let model = is_due.then(|| models.first().copied()).flatten()?;
        let (own, model) = (self.builders.get(builder)?.key.name(), self.builders.get(model)?.key.name());
        let text =
            format!("all {claims} claims of {} repeat what {} had claimed before; does it build by itself?", own.as_str(), model.as_str());
        Some(Alert::new(Kind::Repeats, &[leaf.index], None, text))
    }
}

/// A claim that differs from an earlier one about the same package file: the builder's own, or another's.
fn disagreement(builders: &[Builder], earlier: &[Said], said: &Said, leaf: &Leaf) -> Option<Alert> {
    // Whoever seconds a claim that is disputed already says nothing new.
    if earlier.iter().any(|other| other.files == said.files && other.builder != said.builder) {
        return None;
    }
    let own = earlier.iter().find(|other| other.builder == said.builder && other.files != said.files);
    let other = own.or_else(|| earlier.iter().find(|other| other.files != said.files))?;
    let name = |builder: usize| builders.get(builder).map_or("", |builder| builder.key.name().as_str());
    let subject = Some(leaf.statement.subject.name.as_str());
    let entries = [other.index, said.index];
    Some(match own {
        Some(_) => {
            Alert::new(Kind::Contradiction, &entries, subject, format!("{} claims two contents of one package file", name(said.builder)))
        }
        None => {
            let text = format!("{} and {} claim different contents of one package file", name(other.builder), name(said.builder));
            Alert::new(Kind::BuilderConflict, &entries, subject, text)
        }
    })
}

fn is_power_of_ten(mut number: u64) -> bool {
    while number > 1 && number.is_multiple_of(10) {
        number /= 10;
    }
    number == 1
}

/// Fewer claims say nothing about a builder.
const LEAST: u64 = 20;
/// Different things said about one package file that later ones are compared with.
const MOST: usize = 64;
