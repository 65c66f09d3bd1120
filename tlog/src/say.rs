//! What the errors of the text formats say to people: what is wrong, and, where somebody can do something, what to do next.

use core::error::Error;
use core::fmt;

use crate::checkpoint::CheckpointError;
use crate::cosignature::CosignatureError;
use crate::evidence::EvidenceError;
use crate::key::{KeyError, SignError};
use crate::note::NoteError;
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
