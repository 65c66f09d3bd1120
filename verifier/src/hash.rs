//! Hashing many files: each is read once, in constant memory, by several threads.

use std::os::fd::BorrowedFd;
use std::sync::{Mutex, OnceLock};

use aws_lc_rs::digest::{Context, SHA256};
use rustix::fs::{Stat, fgetxattr, flistxattr};
use rustix::io::Errno;

use crate::survey::{Directories, Inode, Stamp, open_regular};

/// One file to hash.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// A canonical path of it.
    pub path: &'a [u8],
    /// Device, inode number, size and times, as seen before.
    pub inode: &'a Inode,
}

/// What came of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Read to its end, and unchanged meanwhile.
    Read(Content),
    /// It changed, or was replaced, between the first look and the last byte.
    Changed,
    /// In words.
    Unreadable(String),
}

/// A file's content and what is attached to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// SHA-256 of all bytes.
    pub digest: [u8; 32],
    /// The raw `security.capability` attribute; empty if there is none.
    pub caps: Box<[u8]>,
    /// Whether it has an access list beyond its mode.
    pub acl: bool,
}

/// How far a run is.
pub trait Progress: Sync {
    /// So many files, of so many bytes together, will be read.
    fn expect(&self, _files: u64, _bytes: u64) {}
    /// One more file, of so many bytes, is done.
    fn done(&self, bytes: u64);
}

/// Shows nothing.
pub struct Silent;
impl Progress for Silent {
    fn done(&self, _bytes: u64) {}
}

/// Hashes all files with `threads` threads; the outcomes stand in the order of the jobs.
///
/// The largest files go first, so that no thread is left with one at the end; the others in the order of their inode numbers, which is
/// close to the order on the disk.
#[must_use]
pub fn hash_all(root: BorrowedFd<'_>, jobs: &[Job<'_>], threads: usize, progress: &dyn Progress) -> Vec<Outcome> {
    let (order, large) = plan(jobs);
    // Each outcome goes to its place at once: there are as many of them as files on the machine.
    let mut outcomes: Vec<OnceLock<Outcome>> = Vec::new();
    outcomes.resize_with(jobs.len(), OnceLock::new);
    let pool = Pool { root, jobs, outcomes: &outcomes, order: &order, large, next: Mutex::new(0), progress };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(|| pool.work())).collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
    });
    let unread = || Outcome::Unreadable("was not read".to_owned());
    outcomes.into_iter().map(|outcome| outcome.into_inner().unwrap_or_else(unread)).collect()
}

/// What the threads share.
struct Pool<'a> {
    root: BorrowedFd<'a>,
    jobs: &'a [Job<'a>],
    /// For each job, set once.
    outcomes: &'a [OnceLock<Outcome>],
    order: &'a [usize],
    /// How many of the first are large.
    large: usize,
    next: Mutex<usize>,
    progress: &'a dyn Progress,
}

impl Pool<'_> {
    fn work(&self) {
        let mut buffer = vec![0; BUFFER];
        let mut directories = Directories::new(self.root);
        while let Some(part) = self.take() {
            for index in part {
                let job = &self.jobs[*index];
                // Set by nobody else: every index stands in the order once.
                let _ = self.outcomes[*index].set(hash_one(&mut directories, job, &mut buffer));
                self.progress.done(job.inode.stamp.size());
            }
        }
    }

    /// The next jobs: one, as long as they are large.
    fn take(&self) -> Option<&[usize]> {
        let mut next = self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let start = *next;
        let end = (start + if start < self.large { 1 } else { CHUNK }).min(self.order.len());
        *next = end;
        self.order.get(start..end).filter(|part| !part.is_empty())
    }
}

/// The order of the jobs, and how many of the first are large.
fn plan(jobs: &[Job<'_>]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    let size = |index: &usize| jobs[*index].inode.stamp.size();
    order.sort_unstable_by_key(|index| (if size(index) >= LARGE { u64::MAX - size(index) } else { u64::MAX }, jobs[*index].inode.id));
    let large = order.partition_point(|index| size(index) >= LARGE);
    (order, large)
}

fn hash_one(directories: &mut Directories<'_>, job: &Job<'_>, buffer: &mut [u8]) -> Outcome {
    match read(directories, job, buffer) {
        Ok(Some(content)) => Outcome::Read(content),
        // Not a regular file any more, gone, or a link on the way: it was all of that at the first look.
        Ok(None) | Err(Errno::INVAL | Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => Outcome::Changed,
        Err(error) => Outcome::Unreadable(error.to_string()),
    }
}

fn read(directories: &mut Directories<'_>, job: &Job<'_>, buffer: &mut [u8]) -> Result<Option<Content>, Errno> {
    let (fd, before) = open_regular(directories, job.path)?;
    if !is_same(&before, job.inode) {
        return Ok(None);
    }
    let mut hash = Context::new(&SHA256);
    let mut left = job.inode.stamp.size();
    loop {
        // One byte more than there should be: a file that grows for ever must not be read for ever, and one that gives more than its
        // size says (of a file system that cannot tell) is not what was looked at.
        let most = usize::try_from(left).map_or(usize::MAX, |left| left.saturating_add(1)).min(buffer.len());
        let length = match rustix::io::read(&fd, &mut buffer[..most]) {
            Err(Errno::INTR) => continue,
            length => length?,
        };
        hash.update(&buffer[..length]);
        let Some(rest) = left.checked_sub(length as u64) else { return Ok(None) };
        left = rest;
        if length == 0 || (left == 0 && length < most) {
            break;
        }
    }
    if left != 0 {
        return Ok(None);
    }
    let (caps, acl) = attributes(&fd)?;
    if !is_same(&rustix::fs::fstat(&fd)?, job.inode) {
        return Ok(None);
    }
    let digest = hash.finish().as_ref().try_into().map_err(|_| Errno::IO)?;
    Ok(Some(Content { digest, caps, acl }))
}

fn is_same(stat: &Stat, inode: &Inode) -> bool {
    (stat.st_dev, stat.st_ino) == inode.id && Stamp::of(stat) == inode.stamp
}

/// Capabilities and the presence of an access list. One call for the many files that have neither.
fn attributes(fd: &std::os::fd::OwnedFd) -> Result<(Box<[u8]>, bool), Errno> {
    let mut names = [0_u8; 4096];
    let length = match flistxattr(fd, &mut names) {
        Err(Errno::NOTSUP) => return Ok((Box::default(), false)),
        length => length?,
    };
    let has = |wanted: &[u8]| names[..length].split(|byte| *byte == 0).any(|name| name == wanted);
    let caps = if has(b"security.capability") {
        let mut value = [0_u8; 256];
        let length = fgetxattr(fd, c"security.capability", &mut value)?;
        value[..length].into()
    } else {
        Box::default()
    };
    Ok((caps, has(b"system.posix_acl_access")))
}

/// Large enough that system calls cost nothing, small enough for the second-level cache.
const BUFFER: usize = 256 << 10;
/// Files from here on are planned one by one.
const LARGE: u64 = 8 << 20;
/// How many of the others a thread takes at a time.
const CHUNK: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survey::{Seen, Surveyor, open_root};
    use std::os::fd::AsFd as _;

    fn look(root: BorrowedFd<'_>, names: &[&str]) -> Vec<(Vec<u8>, Inode)> {
        let mut surveyor = Surveyor::new(root);
        let look = |name: &&str| match surveyor.look(name.as_bytes()) {
            Seen::There(inode) => (name.as_bytes().to_vec(), inode),
            other => panic!("{name}: {other:?}"),
        };
        names.iter().map(look).collect()
    }

    fn jobs(seen: &[(Vec<u8>, Inode)]) -> Vec<Job<'_>> {
        seen.iter().map(|(path, inode)| Job { path, inode }).collect()
    }

    #[test]
    fn digests_are_those_of_the_content_at_every_size() {
        let dir = tempfile::tempdir().unwrap();
        let sizes = [0, 1, BUFFER - 1, BUFFER, BUFFER + 1, LARGE as usize + 1];
        let names: Vec<String> = sizes.iter().map(|size| format!("f{size}")).collect();
        for (name, size) in names.iter().zip(sizes) {
            std::fs::write(dir.path().join(name), vec![7; size]).unwrap();
        }
        let root = open_root(dir.path()).unwrap();
        let seen = look(root.as_fd(), &names.iter().map(String::as_str).collect::<Vec<_>>());
        for (outcome, size) in hash_all(root.as_fd(), &jobs(&seen), 2, &Silent).into_iter().zip(sizes) {
            let digest = *tlog::Hash::digest(&vec![7; size]).as_bytes();
            assert_eq!(outcome, Outcome::Read(Content { digest, caps: Box::default(), acl: false }), "{size}");
        }
    }

    #[test]
    fn a_file_that_changed_since_the_first_look_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["grown", "replaced", "gone", "pipe"] {
            std::fs::write(dir.path().join(name), "one").unwrap();
        }
        let root = open_root(dir.path()).unwrap();
        let seen = look(root.as_fd(), &["grown", "replaced", "gone", "pipe"]);
        std::fs::write(dir.path().join("grown"), "one and two").unwrap();
        std::fs::write(dir.path().join("new"), "one").unwrap();
        std::fs::rename(dir.path().join("new"), dir.path().join("replaced")).unwrap();
        std::fs::remove_file(dir.path().join("gone")).unwrap();
        std::fs::remove_file(dir.path().join("pipe")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(dir.path().join("pipe")).status().unwrap().success());
        assert_eq!(hash_all(root.as_fd(), &jobs(&seen), 2, &Silent), vec![Outcome::Changed; 4]);
    }

    /// How far this process has read in a file, by the one of its descriptors that is furthest.
    fn position(path: &std::path::Path) -> usize {
        let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let fds = open.filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|link| link == path));
        let info = |fd: std::fs::DirEntry| std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.file_name().to_str()?)).ok();
        let read = fds.filter_map(info).filter_map(|info| info.lines().find_map(|line| line.strip_prefix("pos:")?.trim().parse().ok()));
        read.max().unwrap_or(0)
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().join("large");
        let (file, size) = (std::fs::File::create(&path).unwrap(), 256 << 20);
        file.set_len(size as u64).unwrap();
        let root = open_root(dir.path()).unwrap();
        for round in 1..=50_u64 {
            let seen = look(root.as_fd(), &["large"]);
            let (outcomes, is_midway) = std::thread::scope(|scope| {
                let reader = scope.spawn(|| hash_all(root.as_fd(), &jobs(&seen), 1, &Silent));
                let midway = || (1..size).contains(&position(&path));
                while !reader.is_finished() && !midway() {}
                std::os::unix::fs::FileExt::write_all_at(&file, &round.to_be_bytes(), 0).unwrap();
                // Only if the reader had begun before, and has not ended after, did it change in between.
                let is_midway = midway();
                (reader.join().unwrap(), is_midway)
            });
            if is_midway {
                return assert_eq!(outcomes, [Outcome::Changed]);
            }
        }
        panic!("the file was never changed in time");
    }
}
