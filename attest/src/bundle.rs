//! The offline proof bundle: one file with everything that a verdict needs (`specs/bundle.md`).

use std::fmt;

use tlog::{ConsistencyProof, Hash, InclusionProof, SignedCheckpoint, Tree, hash_leaf};

use crate::envelope;
use crate::manifest;

/// Why a bundle was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BundleError {
    /// Not a bundle, truncated, or followed by something.
    Malformed,
    /// A part over its limit.
    TooLarge,
    /// Earlier trees, leaves or manifests out of order or repeated.
    OutOfOrder,
    /// The proof of the earlier tree of this size does not lead to the checkpoint.
    BadHistory(u64),
    /// The proof of this leaf does not lead to the checkpoint.
    BadProof(u64),
    /// A manifest does not have the root that names it.
    BadManifest(Hash),
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("not a bundle, or a truncated one"),
            Self::TooLarge => f.write_str("a part of the bundle is over its limit"),
            Self::OutOfOrder => f.write_str("earlier trees, leaves or manifests of the bundle are out of order"),
            Self::BadHistory(size) => write!(f, "the proof of the earlier tree of {size} entries does not lead to the bundle's checkpoint"),
            Self::BadProof(index) => write!(f, "the proof of entry {index} does not lead to the bundle's checkpoint"),
            Self::BadManifest(root) => write!(f, "the manifest {root} has another root"),
        }
    }
}

impl std::error::Error for BundleError {}

/// An earlier tree of the log, with the proof that the bundle's tree extends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierTree {
    /// Its size, at least 1, and root.
    pub tree: Tree,
    /// From there to the bundle's checkpoint.
    pub proof: ConsistencyProof,
}

/// A leaf with its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundledLeaf {
    /// Its index.
    pub index: u64,
    /// The envelope's bytes.
    pub leaf: Vec<u8>,
    /// From the leaf to the bundle's checkpoint.
    pub proof: InclusionProof,
}

/// A manifest with its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundledManifest {
    /// Its name.
    pub root: Hash,
    /// Its text.
    pub text: Vec<u8>,
}

/// Everything that a verdict needs. Roles, advisories and control heads are leaves like all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The cosigned checkpoint that all proofs lead to, verbatim.
    pub checkpoint: SignedCheckpoint,
    /// In order of sizes, each once: whoever knows one of these trees sees that the bundle's extends it.
    pub history: Vec<EarlierTree>,
    /// In order of indices, each once.
    pub leaves: Vec<BundledLeaf>,
    /// In order of roots, each once.
    pub manifests: Vec<BundledManifest>,
}

/// One part of a bundle, borrowed from its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// The checkpoint: first, once.
    Checkpoint(&'a [u8]),
    /// An earlier tree: after the checkpoint, sizes growing.
    Earlier(EarlierTree),
    /// A leaf: after the earlier trees, indices growing.
    Leaf {
        /// Its index.
        index: u64,
        /// The envelope's bytes.
        leaf: &'a [u8],
        /// From the leaf to the checkpoint.
        proof: InclusionProof,
    },
    /// A manifest: after the leaves, roots growing.
    Manifest {
        /// Its name.
        root: Hash,
        /// Its text.
        text: &'a [u8],
    },
}

/// Reads a bundle part by part without copying; ends after the first error. Order and limits are checked, nothing else.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    rest: &'a [u8],
    last: Place,
    failed: bool,
}

/// How far reading has come: what may follow is larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Start,
    Title,
    Checkpoint,
    Earlier(u64),
    Leaf(u64),
    Manifest(Hash),
    End,
}

impl<'a> Parts<'a> {
    /// The parts of a bundle's bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, last: Place::Start, failed: false }
    }

    fn read(&mut self) -> Result<Option<Part<'a>>, BundleError> {
        if self.last == Place::Start {
            self.rest = self.rest.strip_prefix(TITLE.as_bytes()).ok_or(BundleError::Malformed)?;
            self.last = Place::Title;
        }
        let line = self.line()?;
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["checkpoint", length] => {
                self.go_to(Place::Checkpoint)?;
                Ok(Some(Part::Checkpoint(self.blob(length, tlog::Note::MAX_BYTES)?)))
            }
            ["tree", size, root, hashes] => {
                let size = number(size)?;
                let root = Hash::from_hex(root).filter(|_| size > 0).ok_or(BundleError::Malformed)?;
                self.go_to(Place::Earlier(size))?;
                Ok(Some(Part::Earlier(EarlierTree { tree: Tree { size, root }, proof: ConsistencyProof(self.hashes(hashes)?) })))
            }
            ["leaf", index, length, hashes] => {
                let index = number(index)?;
                self.go_to(Place::Leaf(index))?;
                let proof = InclusionProof(self.hashes(hashes)?);
                Ok(Some(Part::Leaf { index, leaf: self.blob(length, envelope::MAX_BYTES)?, proof }))
            }
            ["manifest", root, length] => {
                let root = Hash::from_hex(root).ok_or(BundleError::Malformed)?;
                self.go_to(Place::Manifest(root))?;
                Ok(Some(Part::Manifest { root, text: self.blob(length, manifest::MAX_BYTES)? }))
            }
            ["end"] if self.rest.is_empty() => self.go_to(Place::End).map(|()| None),
            _ => Err(BundleError::Malformed),
        }
    }

    /// Parts come in one order, and the checkpoint always comes.
    fn go_to(&mut self, place: Place) -> Result<(), BundleError> {
        let begins = place == Place::Checkpoint;
        if (self.last == Place::Title) != begins || place <= self.last {
            return Err(BundleError::OutOfOrder);
        }
        self.last = place;
        Ok(())
    }

    fn line(&mut self) -> Result<&'a str, BundleError> {
        let end = self.rest.iter().take(MAX_LINE).position(|byte| *byte == b'\n').ok_or(BundleError::Malformed)?;
        let (line, rest) = self.rest.split_at_checked(end).ok_or(BundleError::Malformed)?;
        self.rest = rest.get(1..).unwrap_or_default();
        std::str::from_utf8(line).map_err(|_| BundleError::Malformed)
    }

    /// The bytes of a part and the line feed after them.
    fn blob(&mut self, length: &str, limit: usize) -> Result<&'a [u8], BundleError> {
        let length = usize::try_from(number(length)?).ok().filter(|length| *length <= limit).ok_or(BundleError::TooLarge)?;
        let (blob, rest) = self.rest.split_at_checked(length).ok_or(BundleError::Malformed)?;
        self.rest = rest.strip_prefix(b"\n").ok_or(BundleError::Malformed)?;
        Ok(blob)
    }

    fn hashes(&mut self, hashes: &str) -> Result<Vec<Hash>, BundleError> {
        let count = number(hashes)?;
        if count > MAX_HASHES {
            return Err(BundleError::TooLarge);
        }
        let mut proof = Vec::new();
        for _ in 0..count {
            proof.push(Hash::from_base64(self.line()?).ok_or(BundleError::Malformed)?);
        }
        Ok(proof)
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Result<Part<'a>, BundleError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.last == Place::End {
            return None;
        }
        let part = self.read().transpose();
        self.failed = matches!(part, Some(Err(_)));
        part
    }
}

impl Bundle {
    /// Reads a bundle; proofs are not checked.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        let mut parts = Parts::new(bytes);
        let Some(Part::Checkpoint(note)) = parts.next().transpose()? else { return Err(BundleError::Malformed) };
        let checkpoint = SignedCheckpoint::parse(note).map_err(|_| BundleError::Malformed)?;
        let mut bundle = Self { checkpoint, history: Vec::new(), leaves: Vec::new(), manifests: Vec::new() };
        for part in parts {
            match part? {
                Part::Checkpoint(_) => return Err(BundleError::OutOfOrder),
                Part::Earlier(earlier) => bundle.history.push(earlier),
                Part::Leaf { index, leaf, proof } => bundle.leaves.push(BundledLeaf { index, leaf: leaf.to_vec(), proof }),
                Part::Manifest { root, text } => bundle.manifests.push(BundledManifest { root, text: text.to_vec() }),
            }
        }
        Ok(bundle)
    }

    /// The file's bytes. Earlier trees, leaves and manifests are sorted and repeated ones left out.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut history: Vec<&EarlierTree> = self.history.iter().collect();
        history.sort_by_key(|earlier| earlier.tree.size);
        history.dedup_by_key(|earlier| earlier.tree.size);
        let mut leaves: Vec<&BundledLeaf> = self.leaves.iter().collect();
        leaves.sort_by_key(|leaf| leaf.index);
        leaves.dedup_by_key(|leaf| leaf.index);
        let mut manifests: Vec<&BundledManifest> = self.manifests.iter().collect();
        manifests.sort_by_key(|manifest| manifest.root);
        manifests.dedup_by_key(|manifest| manifest.root);
        let note = self.checkpoint.encode();
        let mut bytes = format!("{TITLE}checkpoint {}\n{note}\n", note.len()).into_bytes();
        for EarlierTree { tree, proof } in history {
            bytes.extend_from_slice(format!("tree {} {} {}\n", tree.size, tree.root, proof.0.len()).as_bytes());
            push_hashes(&proof.0, &mut bytes);
        }
        for leaf in leaves {
            leaf.encode_to(&mut bytes);
        }
        for BundledManifest { root, text } in manifests {
            bytes.extend_from_slice(format!("manifest {root} {}\n", text.len()).as_bytes());
            bytes.extend_from_slice(text);
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(b"end\n");
        bytes
    }

    /// Checks every earlier tree and every inclusion proof against the checkpoint, and every manifest against its root. Whether the checkpoint is
    /// to be believed is for the policy ([`tlog::Policy::verify`]), what the leaves are worth for [`crate::judge`].
    pub fn verify(&self) -> Result<(), BundleError> {
        let tree = &self.checkpoint.checkpoint.tree;
        for EarlierTree { tree: earlier, proof } in &self.history {
            proof.verify(earlier, tree).map_err(|_| BundleError::BadHistory(earlier.size))?;
        }
        for BundledLeaf { index, leaf, proof } in &self.leaves {
            proof.verify(tree, *index, &hash_leaf(leaf)).map_err(|_| BundleError::BadProof(*index))?;
        }
        match self.manifests.iter().find(|manifest| manifest::tree_of(&manifest.text).root != manifest.root) {
            Some(manifest) => Err(BundleError::BadManifest(manifest.root)),
            None => Ok(()),
        }
    }
}

impl BundledLeaf {
    fn encode_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(format!("leaf {} {} {}\n", self.index, self.leaf.len(), self.proof.0.len()).as_bytes());
        push_hashes(&self.proof.0, bytes);
        bytes.extend_from_slice(&self.leaf);
        bytes.push(b'\n');
    }
}

fn push_hashes(hashes: &[Hash], bytes: &mut Vec<u8>) {
    for hash in hashes {
        bytes.extend_from_slice(hash.to_base64().as_bytes());
        bytes.push(b'\n');
    }
}

fn number(text: &str) -> Result<u64, BundleError> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text).ok_or(BundleError::Malformed)
}

const TITLE: &str = "tallystick bundle v1\n";
/// Longest line outside of parts: a manifest's.
const MAX_LINE: usize = 128;
/// Most hashes of a proof.
const MAX_HASHES: u64 = 63;
