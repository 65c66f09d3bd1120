//! What is submitted: raw entries made on the fly, and signed ones made before the clock starts.

use std::sync::Arc;
use std::thread;

use attest::predicate::{PackageOrigin, Predicate};
use attest::purl::Purl;
use attest::{Envelope, Statement};
use tlog::{Hash, Signer};

use crate::load::Requests;
use crate::wire::post;

/// `POST /add`: entries of one size, each different.
pub struct Raw {
    template: Vec<u8>,
    body: usize,
}

impl Raw {
    /// Entries of `size` bytes, at least 16; those of another `seed` are others.
    #[must_use]
    pub fn new(size: usize, seed: u64) -> Self {
        // Noise, so that nothing on the way can compress it.
        let noise = (0..).flat_map(|n: u64| *Hash::digest(&[seed.to_be_bytes(), n.to_be_bytes()].concat()).as_bytes());
        let body: Vec<u8> = noise.take(size.max(16)).collect();
        let template = post("/add", &body);
        Self { body: template.len() - body.len(), template }
    }

    /// The bytes of entry `number`.
    #[must_use]
    pub fn entry(&self, number: u64) -> Vec<u8> {
        let mut request = Vec::new();
        self.write(number, &mut request);
        request.split_off(self.body)
    }
}

impl Requests for Raw {
    fn write(&self, number: u64, out: &mut Vec<u8>) -> bool {
        out.clear();
        out.extend_from_slice(&self.template);
        if let Some(place) = out.get_mut(self.body..self.body + 8) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        true
    }
    fn per_request(&self) -> u64 {
        1
    }
}

/// Signed entries, one or many to a request.
pub struct Signed {
    path: &'static str,
    entries: Vec<Vec<u8>>,
    per_request: usize,
}

impl Signed {
    /// `POST /entries`.
    #[must_use]
    pub fn single(entries: Vec<Vec<u8>>) -> Self {
        Self { path: "/entries", entries, per_request: 1 }
    }

    /// `POST /entries/batch`, so many lines in a request.
    #[must_use]
    pub fn batches(entries: Vec<Vec<u8>>, lines: usize) -> Self {
        Self { path: "/entries/batch", entries, per_request: lines }
    }

    /// The entries of request `number`.
    #[must_use]
    pub fn of(&self, number: u64) -> &[Vec<u8>] {
        let from = usize::try_from(number).unwrap_or(usize::MAX).saturating_mul(self.per_request);
        self.entries.get(from..).map_or(&[], |rest| rest.get(..self.per_request).unwrap_or(&[]))
    }

    /// Mean size of an entry in bytes.
    #[must_use]
    pub fn mean_size(&self) -> usize {
        self.entries.iter().map(Vec::len).sum::<usize>() / self.entries.len().max(1)
    }
}

impl Requests for Signed {
    fn write(&self, number: u64, out: &mut Vec<u8>) -> bool {
        let entries = self.of(number);
        if entries.is_empty() {
            return false;
        }
        *out = match entries {
            [entry] => post(self.path, entry),
            lines => post(self.path, &[lines.join(&b'\n'), b"\n".to_vec()].concat()),
        };
        true
    }
    fn per_request(&self) -> u64 {
        self.per_request as u64
    }
}

/// Signs `count` statements on all processors: each says where a package of its own came from, so that all are in the scope of
/// a builder and none needs a manifest. Those of another `seed` are others.
///
/// # Panics
/// If the key cannot sign.
#[must_use]
pub fn sign(signer: &Arc<dyn Signer>, count: usize, seed: u64) -> Vec<Vec<u8>> {
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = count.div_ceil(threads);
    let spawn = |thread: usize| {
        let signer = signer.clone();
        let range = thread * share..count.min((thread + 1) * share);
        thread::spawn(move || range.map(|n| envelope(&*signer, n, seed)).collect::<Vec<_>>())
    };
    let signing: Vec<_> = (0..threads).map(spawn).collect();
    signing.into_iter().flat_map(|thread| thread.join().expect("the key signs")).collect()
}

fn envelope(signer: &dyn Signer, number: usize, seed: u64) -> Vec<u8> {
    let name = format!("bench-{seed}-{number}");
    let digest = |what: &str| Hash::digest(format!("{what} {name}").as_bytes());
    let purl = Purl::parse(&format!("pkg:deb/debian/{name}@1.0-1?arch=amd64")).expect("a package URL");
    let origin = PackageOrigin {
        filename: format!("pool/main/b/bench/{name}_1.0-1_amd64.deb"),
        in_release: digest("InRelease"),
        origin: "Debian".to_owned(),
        packages_path: "main/binary-amd64/Packages.xz".to_owned(),
        packages: digest("Packages"),
        signers: vec!["0123456789ABCDEF0123456789ABCDEF01234567".to_owned()],
        suite: "bookworm".to_owned(),
    };
    let statement = Statement::about_package(&purl, digest("package"), Predicate::PackageOrigin(origin));
    Envelope::sign(statement.encode(), signer).expect("it signs").encode()
}
