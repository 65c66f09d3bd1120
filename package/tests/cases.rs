//! Small packages built by `testdata/packages/build.py`: each gets the verdict that stands beside it.

mod support;

use package::deb::{Error, Limits, Refusal, Visitor, read, read_with};
use package::tar::Entry;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use support::{have, oracle, repository, run};

struct Cases {
    directory: tempfile::TempDir,
    /// Name and what the error must hold, `None` for a good package.
    verdicts: Vec<(String, Option<String>)>,
}

impl Cases {
    fn build() -> Option<Self> {
        if !["python3", "tar", "dpkg-deb", "zstd"].into_iter().all(have) {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        run(Command::new("python3").arg(repository("testdata/packages/build.py")).arg(directory.path()));
        let mut verdicts = Vec::new();
        for entry in fs::read_dir(directory.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "verdict") {
                let verdict = fs::read_to_string(&path).unwrap();
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                let refusal = verdict.trim_end().strip_prefix("refuse: ").map(str::to_owned);
                assert!(refusal.is_some() || verdict == "ok\n", "{name}: {verdict}");
                verdicts.push((name, refusal));
            }
        }
        verdicts.sort();
        Some(Self { directory, verdicts })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("{name}.deb"))
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }
}

/// All in one test, so that the packages are built once.
#[test]
fn every_package_gets_its_verdict() {
    let Some(cases) = Cases::build() else { return };
    let (good, bad): (Vec<_>, Vec<_>) = cases.verdicts.iter().partition(|(_, refusal)| refusal.is_none());
    assert!(good.len() >= 25 && bad.len() >= 70, "{} good, {} bad", good.len(), bad.len());
    for (name, refusal) in bad {
        let error = read(&cases.bytes(name)[..], &Limits::default()).expect_err(name).to_string();
        assert!(error.contains(refusal.as_deref().unwrap()), "{name}: {error}");
    }
    let packages: Vec<PathBuf> = good.iter().map(|(name, _)| cases.path(name)).collect();
    oracle(cases.directory.path(), &packages);
    for (name, _) in &good {
        let deb = read(&cases.bytes(name)[..], &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected = fs::read_to_string(cases.path(name).with_extension("deb.mtree")).unwrap();
        assert_eq!(String::from_utf8(deb.manifest.encode()).unwrap(), expected, "{name}");
    }
    println!(
        "{} good packages agree with the second implementation, {} bad ones are refused as foretold",
        good.len(),
        cases.verdicts.len() - good.len()
    );
    same_content_whatever_the_compression(&cases);
    every_cut_is_refused(&cases);
    flipped_bytes_never_go_unnoticed(&cases);
    mutated_archives_never_panic(&cases, &good.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>());
    limits_name_package_and_member(&cases);
    visitors_see_what_they_ask_for(&cases);
}

fn same_content_whatever_the_compression(cases: &Cases) {
    let lines = |name: &str| {
        let text = String::from_utf8(read(&cases.bytes(name)[..], &Limits::default()).unwrap().manifest.encode()).unwrap();
        text.split_once('\n').unwrap().1.to_owned()
    };
    for name in ["gz", "xz", "zst", "slash-names", "signed"] {
        assert_eq!(lines(name), lines("none"), "{name}");
    }
    for name in ["sparse-0.0", "sparse-0.1", "sparse-1.0"] {
        assert_eq!(lines(name), lines("sparse-gnu"), "{name}");
    }
    assert!(lines("sparse-gnu").contains("size=8388608 "));
}

fn every_cut_is_refused(cases: &Cases) {
    for name in ["none", "gz", "xz", "zst", "long-pax"] {
        let bytes = cases.bytes(name);
        for cut in (0..bytes.len()).step_by(if bytes.len() > 5000 { 7 } else { 1 }) {
            assert!(read(&bytes[..cut], &Limits::default()).is_err(), "{name} cut at {cut}");
        }
    }
}

/// A changed byte is refused or at least changes the manifest, as the package's digest stands in it.
fn flipped_bytes_never_go_unnoticed(cases: &Cases) {
    let bytes = cases.bytes("xz");
    let whole = read(&bytes[..], &Limits::default()).unwrap();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x20;
        if let Ok(deb) = read(&flipped[..], &Limits::default()) {
            assert_ne!(deb.manifest.root(), whole.manifest.root(), "byte {at}");
        }
    }
}

/// Random bytes in random places, header checksums made right again, so that mutations get past the first check.
fn mutated_archives_never_panic(cases: &Cases, names: &[&str]) {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % below as u64).unwrap()
    };
    let interesting = b"\0\xff\x800 7/.SLKxg15=\n9";
    let limits = Limits { payload: 1 << 20, ..Limits::default() };
    let (mut accepted, mut refused) = (0, 0);
    for name in names {
        let bytes = cases.bytes(name);
        let Some(start) = find(&bytes, b"data.tar  ").filter(|_| bytes.len() < 60_000).map(|at| at + 60) else { continue };
        for _ in 0..400 {
            let mut mutated = bytes.clone();
            for _ in 0..=next(3) {
                let block = start + next((bytes.len() - start) / 512) * 512;
                let place =
                    block + if next(2) == 0 { [0, 100, 124, 156, 157, 257, 345, 386, 482, 483][next(10)] + next(8) } else { next(512) };
                mutated[place] = interesting[next(interesting.len())];
                mutated[block + 148..block + 156].fill(b' ');
                let sum: u32 = mutated[block..block + 512].iter().map(|byte| u32::from(*byte)).sum();
                mutated[block + 148..block + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
            match read(&mutated[..], &limits) {
                Ok(deb) => {
                    assert_eq!(attest::Manifest::parse(&deb.manifest.encode()), Ok(deb.manifest), "{name}");
                    accepted += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    println!("{accepted} mutated packages accepted, {refused} refused, none panicked");
    assert!(accepted > 500 && refused > 500);
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

fn limits_name_package_and_member(cases: &Cases) {
    let bytes = cases.bytes("xz");
    let with = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        read(&bytes[..], &limits).map(|deb| deb.size)
    };
    let error = |package: Option<&str>, member: &str, reason| {
        Err(Error { package: package.map(str::to_owned), member: Some(member.to_owned()), reason })
    };
    let sample = Some("sample 1:1.0-1 all");
    let large = |what, limit| Refusal::TooLarge { what, limit };
    assert_eq!(with(|_| ()), Ok(bytes.len() as u64));
    assert_eq!(with(|limits| limits.entries = 3), error(sample, "data.tar.xz", Refusal::TooMany { what: "entries", limit: 3 }));
    assert_eq!(with(|limits| limits.payload = 2000), error(sample, "data.tar.xz", large("content", 2000)));
    assert_eq!(with(|limits| limits.path = 3), error(None, "control.tar", large("path", 3)));
    assert_eq!(with(|limits| limits.control = 1000), error(None, "control.tar", large("content", 1000)));
    assert_eq!(with(|limits| limits.package = 100), error(None, "debian-binary", large("content", 100)));
    let shown = error(sample, "data.tar.xz", Refusal::Truncated).unwrap_err().to_string();
    assert_eq!(shown, "sample 1:1.0-1 all: data.tar.xz: ends too early: it was cut");
}

#[derive(Default)]
struct Recorder {
    seen: Vec<String>,
    content: Vec<u8>,
}

impl Visitor for Recorder {
    fn control_file(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.seen.push(format!("{name} {}", content.len()));
        Ok(())
    }

    fn entry(&mut self, path: &[u8], entry: &Entry) -> io::Result<bool> {
        self.seen.push(format!("{} {}", String::from_utf8_lossy(path), entry.size));
        Ok(path == b"usr/a")
    }

    fn content(&mut self, piece: &[u8]) -> io::Result<()> {
        self.content.extend_from_slice(piece);
        Ok(())
    }
}

fn visitors_see_what_they_ask_for(cases: &Cases) {
    let mut recorder = Recorder::default();
    let deb = read_with(&cases.bytes("xz")[..], &Limits::default(), &mut recorder).unwrap();
    assert_eq!(deb.control_files, ["control"]);
    assert_eq!(recorder.seen[1..], [" 0", "usr 0", "usr/a 6", "usr/l 0"]);
    assert_eq!(recorder.content, b"hello\n");
}
