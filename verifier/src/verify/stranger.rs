//! One path that no package owns: what it is, and what may explain it.

use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, BorrowedFd};

use tlog::Policy;

use super::unowned::LIMIT;
use super::{Ground, Judged, Request, Run, Verified, VerifyError, assess, report, sole_manager};
use crate::accept::Accept;
use crate::bytecode::Cached;
use crate::finding::{Finding, Kind, printable};
use crate::hash::{Content, Job, Outcome, Silent, hash_all};
use crate::scene::Scene;
use crate::subject::Sources;
use crate::survey::{Inode, Resolver, Seen, SeenNode, Surveyor};
use crate::walk::Walk;

/// What stands at a path that no package owns.
pub struct Stranger {
    /// Its inode.
    pub inode: Inode,
    /// A regular file's content, unless it is very large or cannot be read.
    pub content: Option<Content>,
    /// Names of its owner and group.
    pub owners: (String, String),
    /// What a link leads to in the end, below the root.
    pub leads_to: Option<Vec<u8>>,
    /// The nearest directory above it that packages own, and they.
    pub below: Option<(Vec<u8>, Vec<String>)>,
}

/// Judges it by what it depends on: all packages are asked what they generate, and of their files only those that it leads to or was made
/// from are read.
pub(super) fn explain(
    ground: &Ground,
    request: &Request<'_>,
    sources: &Sources<'_>,
    policy: &Policy,
    accept: &Accept,
    place: Vec<u8>,
) -> Result<Verified, VerifyError> {
    let top = ground.top.as_fd();
    let path = [b"/", place.as_slice()].concat();
    let inode = match Surveyor::new(top).look(&place) {
        Seen::There(inode) => inode,
        Seen::Absent => return Err(VerifyError::Nothing(printable(&path))),
        Seen::Unreadable(why) => return Err(VerifyError::Open(printable(&path), std::io::Error::other(why))),
    };
    let all: Vec<_> = ground.database.packages.iter().collect();
    let (subjects, _) = assess(&all, &ground.database, sources, request.threads);
    let mut run = Run::new(ground, sources, request, &subjects, Some(related(top, &place)));
    let spots = run.places();
    let scene = Scene::look(top, &spots, request.threads, &Silent);
    run.choose(&scene);
    let finding = match run.judge_stranger(&place, &spots, &scene) {
        Some(finding) if finding.kind != Kind::Unowned || Walk::counts(&mut Resolver::new(top), &place, &inode.node, inode.mode) => finding,
        _ => Finding::new(Kind::Explained, "no package owns it; it neither runs nor is loaded from the system's directories").at(&path),
    };
    let (counts, unread) = (run.counts(&spots, &scene), run.unread(request));
    let report = report(
        request,
        sources,
        policy,
        accept,
        Judged { manager: sole_manager(&ground.database), counts, findings: vec![finding], unread },
    );
    let stranger = describe(ground, place, inode);
    Ok(Verified { report, subjects: Vec::new(), stranger: Some(stranger) })
}

/// What else has to be looked at.
fn related(top: BorrowedFd<'_>, place: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut resolver = Resolver::new(top);
    let mut places = BTreeSet::from([place.to_vec(), resolver.real(place)]);
    if let Some(cached) = Cached::of(place) {
        let program = cached.program().into_bytes();
        places.extend([resolver.canonical(&program).into_owned(), resolver.real(&program), cached.source]);
    }
    places
}

fn describe(ground: &Ground, place: Vec<u8>, inode: Inode) -> Stranger {
    let owners = (ground.accounts.user(inode.uid), ground.accounts.group(inode.gid));
    let leads_to = matches!(inode.node, SeenNode::Link(_)).then(|| Resolver::new(ground.top.as_fd()).real(&place));
    let above = (0..place.len()).rev().filter(|at| place[*at] == b'/').map(|at| place[..at].to_vec());
    let owned = |directory: Vec<u8>| {
        let owners: Vec<String> = ground.database.owners_of(&directory).map(ToString::to_string).collect();
        (!owners.is_empty()).then_some((directory, owners))
    };
    let is_read = matches!(inode.node, SeenNode::File(size) if size <= LIMIT);
    let jobs: Vec<Job<'_>> = is_read.then_some(Job { path: &place, inode: &inode }).into_iter().collect();
    let content = match hash_all(ground.top.as_fd(), &jobs, 1, &Silent).pop() {
        Some(Outcome::Read(content)) => Some(content),
        _ => None,
    };
    Stranger { inode, content, owners, leads_to, below: above.into_iter().find_map(owned) }
}
