//! What the errors of this crate say to people: what is wrong, and, where somebody can do something, what to do next.

use core::error::Error;
use core::fmt;

use crate::bundle::BundleError;
use crate::checkpoint::CheckpointError;
use crate::cosignature::CosignatureError;
use crate::edge::BatchError;
use crate::evidence::EvidenceError;
use crate::growth::GrowthError;
use crate::key::{KeyError, SignError};
use crate::merkle::ProofError;
use crate::note::NoteError;
use crate::plan::PlanError;
use crate::policy::{PolicyError, Unsatisfied};
use crate::tlog_proof::Unproven;
use crate::{tlog_proof, witness};

/// One sentence for each error, without a full stop.
macro_rules! say {
    ($type:ty, $($pattern:pat => $text:expr),+ $(,)?) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $($pattern => f.write_str($text),)+
                }
            }
        }

        impl Error for $type {}
    };
}

say!(KeyError,
    Self::Malformed => "the key is not of the form NAME+ID+BASE64; copy the whole line that its owner published",
    Self::UnknownKind => "the key is of a type that is not verified here; ask its owner for one of type 01, 04 or 06",
    Self::WrongId => "the key's ID does not fit its name and bytes; copy it again from its owner",
    Self::BadPoint => "the bytes are no usable public key of the type; ask its owner for another",
);

say!(SignError, Self => "the key did not sign");

say!(NoteError,
    Self::TooLarge => "the note is larger than 1,000,000 bytes or has more than 100 signatures",
    Self::Malformed => "the text is not a signed note",
    Self::BadSignature => "a signature by a known key is wrong",
    Self::NoKnownSignature => "no known key signed",
    Self::AmbiguousKey => "two configured keys have the same name and ID; remove one",
);

say!(CosignatureError,
    Self::WrongKey => "the cosignature is by another key",
    Self::Malformed => "the cosignature has a wrong length or time",
    Self::BadSignature => "the cosignature is wrong",
    Self::Unsupported => "keys of this type do not cosign this",
);

say!(Unsatisfied,
    Self::Log => "no log of the policy signed the checkpoint, or a signature of one is wrong",
    Self::Quorum => "too few witnesses of the policy cosigned the checkpoint, or a cosignature of one is wrong",
);

say!(EvidenceError,
    Self::Malformed => "the file is no evidence file",
    Self::NotSigned => "the log's keys did not sign both checkpoints under one origin",
    Self::Unproven => "unproven: one history can explain both checkpoints",
);

say!(tlog_proof::Malformed, Self => "the text is not a tlog-proof");

say!(witness::Malformed, Self => "the body is not such a request");

say!(ProofError,
    Self::OutOfRange => "the proof is for an index or size that the tree has not",
    Self::WrongLength => "the proof has another number of hashes than its index and size demand",
    Self::WrongRoot => "the proof leads to another root",
);

say!(BundleError,
    Self::Malformed => "the entry bundle is cut off or has bytes left over",
    Self::WrongCount => "the entry bundle has another number of entries",
    Self::TooLong => "an entry has more than 65,535 bytes",
    Self::TreeFull => "the tree would have more than 2^63-1 leaves",
);

say!(GrowthError,
    Self::TreeFull => "the tree would have more than 2^63-1 leaves",
    Self::NotAligned => "a whole tile can follow only a full one",
);

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange => f.write_str("the tree has no such leaf, size, subtree or tile"),
            Self::Missing(tile) => write!(f, "{} is missing", tile.path()),
            Self::Malformed(tile) => write!(f, "{} has not {} bytes", tile.path(), tile.byte_len()),
            Self::Contradiction(tile) => write!(f, "{} contradicts the tile above it", tile.path()),
            Self::WrongBundle(id) => write!(f, "{} contradicts its tile", id.path()),
            Self::WrongRoot => f.write_str("the partial tiles at the right edge do not lead to the tree's root"),
        }
    }
}

impl Error for PlanError {}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLarger => f.write_str("the new tree is not larger than the old one"),
            Self::Tile(tile) => write!(f, "{} is missing, or not what the entries make it", tile.path()),
            Self::Bundle(id) => write!(f, "{} is missing, malformed, or does not continue the old one", id.path()),
            Self::Surplus => f.write_str("there are more tiles or bundles than the new entries give"),
            Self::WrongRoot => f.write_str("the entries lead to another root"),
        }
    }
}

impl Error for BatchError {}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Note(error) => error.fmt(f),
            Self::Malformed => f.write_str("the note's text is not a checkpoint"),
            Self::WrongOrigin => f.write_str("the checkpoint is another log's"),
        }
    }
}

impl Error for CheckpointError {}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(self.reason),
            line => write!(f, "line {line}: {}", self.reason),
        }
    }
}

impl Error for PolicyError {}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(error) => error.fmt(f),
            Self::Inclusion(_) => f.write_str("the inclusion proof does not lead from the entry to the checkpoint"),
        }
    }
}

impl Error for Unproven {}
