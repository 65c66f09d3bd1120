//! What runs or is loaded from the system's own directories and no package put there (`specs/verdict.md`, section 4).

use std::collections::{BTreeSet, HashMap};
use std::os::fd::AsFd as _;

use attest::manifest::{Class, Entry, Node};
use attest::predicate::{Change, Observed};
use tlog::Hash;

use super::{Claimed, Run, guard};
use crate::bytecode::{Cached, Compilers, Verdict};
use crate::compare::{Sight, describe_seen};
use crate::finding::{Finding, Kind, printable};
use crate::hash::{Job, Outcome, Silent, hash_all};
use crate::report::Search;
use crate::scene::{Scene, Spots};
use crate::survey::{Inode, Resolver, Seen, SeenNode, Surveyor, read_regular};
use crate::walk::Walk;

/// Everything that judging a path without an owner needs.
struct Desk<'r, 'a, 's> {
    run: &'r Run<'a>,
    spots: &'s Spots<'s>,
    scene: &'s Scene<'s>,
    surveyor: Surveyor<'r>,
    resolver: Resolver<'r>,
    /// What enough builders saw generated when they installed packages, by place.
    generated: HashMap<Vec<u8>, Vec<(&'r str, &'r Observed)>>,
    compilers: Compilers,
}

impl Run<'_> {
    /// Looks through the system's directories for programs, libraries and bytecode that no package put there.
    pub(super) fn search(&self, spots: &Spots<'_>, scene: &Scene<'_>) -> (Search, Vec<Finding>) {
        let mut resolver = Resolver::new(self.top.as_fd());
        let walk = Walk::through(self.top.as_fd(), &mut resolver);
        let unreadable = |(path, why): &(Vec<u8>, String)| {
            Finding::new(Kind::Unreadable, format!("it cannot be looked through: {why}")).at(&[b"/", path.as_slice()].concat())
        };
        let mut findings: Vec<Finding> = walk.unreadable.iter().map(unreadable).collect();
        let unknown: BTreeSet<&str> =
            self.subjects.iter().filter(|subject| subject.variants.is_empty()).map(|s| s.label.as_str()).collect();
        let is_owned = |place: &&Vec<u8>| {
            let claimed = spots.find(place).is_some_and(|number| self.claims(spots.spot(number)).any(|claim| self.is_shipped(claim)));
            // What a package without claims lists is as unknown as the package, which is a finding by itself.
            claimed || self.guards.contains_key(*place) || self.database.owners_of(place).any(|owner| unknown.contains(&*owner.to_string()))
        };
        let unowned: Vec<&Vec<u8>> = walk.found.iter().filter(|place| !is_owned(place)).collect();
        let search = Search { files: walk.found.len(), unowned: unowned.len() };
        let mut desk = Desk::new(self, spots, scene, resolver);
        findings.extend(unowned.iter().filter_map(|place| desk.judge(place)));
        (search, findings)
    }

    /// Whether a claim puts something there: what it calls a ghost is made by others.
    fn is_shipped(&self, claim: Claimed) -> bool {
        self.entry(claim).node != Node::Ghost
    }

    /// One place that no package owns; `None` for what runs nothing.
    pub(super) fn judge_stranger(&self, place: &[u8], spots: &Spots<'_>, scene: &Scene<'_>) -> Option<Finding> {
        Desk::new(self, spots, scene, Resolver::new(self.top.as_fd())).judge(place)
    }

    fn generated(&self, resolver: &mut Resolver<'_>) -> HashMap<Vec<u8>, Vec<(&str, &Observed)>> {
        let mut generated: HashMap<Vec<u8>, Vec<(&str, &Observed)>> = HashMap::new();
        for subject in self.subjects {
            for (path, observed) in subject.variants.iter().flat_map(|variant| &variant.observed) {
                for one in observed.iter().filter(|observed| observed.change == Change::Generated) {
                    generated.entry(resolver.canonical(path).into_owned()).or_default().push((subject.label.as_str(), one));
                }
            }
        }
        generated
    }
}

impl<'r, 'a, 's> Desk<'r, 'a, 's> {
    fn new(run: &'r Run<'a>, spots: &'s Spots<'s>, scene: &'s Scene<'s>, mut resolver: Resolver<'r>) -> Self {
        let (generated, surveyor) = (run.generated(&mut resolver), Surveyor::new(run.top.as_fd()));
        Self { run, spots, scene, surveyor, resolver, generated, compilers: Compilers::default() }
    }

    /// `None` for what runs nothing.
    fn judge(&mut self, place: &[u8]) -> Option<Finding> {
        let seen = self.surveyor.look(place);
        let path = [b"/", place].concat();
        let Seen::There(inode) = &seen else {
            let Seen::Unreadable(why) = &seen else { return None };
            return Some(Finding::new(Kind::Unreadable, format!("it cannot be looked at: {why}")).at(&path));
        };
        let outcome = self.read(place, inode);
        let sight = Sight { seen: &seen, read: outcome.as_ref() };
        if let Some(label) = self.observed(place, sight) {
            return Some(
                Finding::new(Kind::Explained, "made by scripts, as builders observed after installing the package").of(&label).at(&path),
            );
        }
        if let Some(finding) = self.beside(place, sight) {
            return Some(finding.at(&path));
        }
        let finding = match (&inode.node, Cached::of(place)) {
            (SeenNode::Link(target), _) => self.link(place, target)?,
            (SeenNode::File(_), Some(cached)) => self.bytecode(place, inode, &cached),
            (SeenNode::File(_), None) => self.nobodys(place),
            _ => return None,
        };
        let content = match &outcome {
            Some(Outcome::Read(content)) => Some(content),
            _ => None,
        };
        let digest =
            content.map_or_else(|| *Hash::digest(describe_seen(&inode.node, None).as_bytes()).as_bytes(), |content| content.digest);
        Some(Finding { digest: Some(digest), ..finding.at(&path) })
    }

    fn read(&self, place: &[u8], inode: &Inode) -> Option<Outcome> {
        let is_file = matches!(inode.node, SeenNode::File(size) if size <= LIMIT);
        is_file.then(|| hash_all(self.run.top.as_fd(), &[Job { path: place, inode }], 1, &Silent).pop()).flatten()
    }

    fn nobodys(&self, place: &[u8]) -> Finding {
        let listed: Vec<String> = self.run.database.owners_of(place).map(ToString::to_string).collect();
        let why = match listed.first() {
            Some(owner) => format!("it runs or is loaded, and {owner} ships nothing there, whatever the database says"),
            None => "it runs or is loaded, and no package owns it".to_owned(),
        };
        Finding::new(Kind::Unowned, why)
    }

    /// A package's own version of a configuration file, which package managers put beside an edited one.
    fn beside(&self, place: &[u8], sight: Sight<'_>) -> Option<Finding> {
        let Some(Outcome::Read(content)) = sight.read else { return None };
        let base = BESIDE.iter().find_map(|end| place.strip_suffix(*end))?;
        let is_own = |entry: &Entry| {
            entry.class == Class::Config && matches!(entry.node, Node::File { sha256, .. } if *sha256.as_bytes() == content.digest)
        };
        let mut claims = self.run.claims(self.spots.spot(self.spots.find(base)?));
        let claim = claims.find(|claim| is_own(self.run.entry(*claim)))?;
        let why = format!("the package's own version of /{}, put beside an edited one; as attested", printable(base));
        Some(Finding::new(Kind::Explained, why).of(&self.run.subject(claim).label))
    }

    /// The package of which enough builders saw exactly this generated.
    fn observed(&self, place: &[u8], sight: Sight<'_>) -> Option<String> {
        let mut candidates = self.generated.get(place)?.iter();
        candidates.find(|(_, observed)| guard::is_as_observed(observed, sight)).map(|(label, _)| (*label).to_owned())
    }

    /// A link is as good as what it leads to. `None` if that is nothing, or a directory: what is in one is looked at where it stands, if that is walked through.
    fn link(&mut self, place: &[u8], target: &[u8]) -> Option<Finding> {
        let end = self.resolver.real(place);
        let leads = format!("a link to {}", printable(target));
        match self.surveyor.look(&end) {
            Seen::There(Inode { node: SeenNode::File(_), .. }) if self.is_attested(&end) => {
                Some(Finding::new(Kind::Explained, format!("{leads}, which is attested where it stands")))
            }
            Seen::There(Inode { node: SeenNode::File(_), .. }) => {
                let why = format!(
                    "{leads}: what runs or is loaded then is /{}, which no package owns or which is not as attested",
                    printable(&end)
                );
                Some(Finding::new(Kind::Unowned, why))
            }
            Seen::Unreadable(why) => Some(Finding::new(Kind::Unreadable, format!("{leads}: what that is cannot be looked at: {why}"))),
            _ => None,
        }
    }

    /// Whether a place has exactly what a package put there.
    fn is_attested(&self, place: &[u8]) -> bool {
        let Some(number) = self.spots.find(place) else { return false };
        let exact = |claim| self.run.is_shipped(claim) && self.run.is_exact(self.run.entry(claim), self.scene.sight(number));
        self.run.claims(self.spots.spot(number)).any(exact)
    }

    /// Bytecode is as good as its source, if it can be shown to come from it.
    fn bytecode(&mut self, place: &[u8], inode: &Inode, cached: &Cached) -> Finding {
        let source = match self.surveyor.look(&cached.source) {
            Seen::There(source) if matches!(source.node, SeenNode::File(_)) => source,
            _ if cached.needs_source => return Finding::new(Kind::Explained, "bytecode without its source, which python never loads"),
            _ => return Finding::new(Kind::Unowned, "bytecode without a source, which python loads all the same"),
        };
        let origin = format!("/{}", printable(&cached.source));
        if !self.is_attested(&cached.source) {
            return Finding::new(Kind::Unowned, format!("bytecode of {origin}, which no package owns or which is not as attested"));
        }
        let read = |path: &[u8], inode: &Inode| read_regular(self.run.top.as_fd(), path, inode, LIMIT);
        let (code, text) = match (read(place, inode), read(&cached.source, &source)) {
            (Ok(code), Ok(text)) => (code, text),
            (Err(why), _) | (_, Err(why)) => return Finding::new(Kind::Unreadable, format!("it or its source cannot be read: {why}")),
        };
        if !cached.is_used(&code, source.stamp.modified(), text.len()) {
            return Finding::new(Kind::Explained, format!("bytecode of another state of {origin}, which python does not load"));
        }
        let program = cached.program();
        let trusted = self.run.is_elsewhere || self.is_attested(program.as_bytes());
        match self.compilers.compare(&program, trusted, cached, &code, &text) {
            Verdict::Same => Finding::new(Kind::Explained, format!("compiled again from {origin}, with the same result")),
            Verdict::Other => Finding::new(Kind::Modified, format!("it is not what {origin} compiles to, and python runs it in its place")),
            Verdict::Unknown(why) => {
                Finding::new(Kind::Unowned, format!("bytecode that claims to come from {origin}; whether it does was not proven: {why}"))
            }
        }
    }
}

/// The largest source or bytecode that is read.
pub(super) const LIMIT: u64 = 64 << 20;
/// What package managers append to the names of such files.
const BESIDE: [&[u8]; 6] = [b".dpkg-dist", b".dpkg-new", b".ucf-dist", b".rpmnew", b".pacnew", b".apk-new"];
