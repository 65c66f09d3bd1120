//! What the witness has signed last for one log, and its bytes in the store: `specs/witness.md` section 4.

use tlog::{Hash, SignedCheckpoint, Tree};

/// The newest checkpoint of a log that this witness has decided to cosign. Once this is durable, and not before, a cosignature of
/// exactly this checkpoint at exactly this time may exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The checkpoint with the log's verified lines, and no other line.
    pub signed: SignedCheckpoint,
    /// The cosignatures' time, POSIX seconds.
    pub time: u64,
}

/// The bytes are no such record, or not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

impl Known {
    /// Size and root.
    #[must_use]
    pub fn tree(&self) -> Tree {
        self.signed.checkpoint.tree
    }

    /// Reads a record. The digest in its first line covers everything after that line, so that a flipped bit is never taken for a
    /// tree or a time.
    ///
    /// # Errors
    /// [`Damaged`] for anything that [`Known::encode`] did not write.
    pub fn parse(bytes: &[u8]) -> Result<Self, Damaged> {
        Self::read(bytes).filter(|known| known.encode() == bytes).ok_or(Damaged)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.strip_prefix(HEADER)?;
        let (digest, body) = text.split_once('\n')?;
        if Hash::from_hex(digest)? != Hash::digest(body.as_bytes()) {
            return None;
        }
        let (time, note) = body.strip_prefix("time ")?.split_once("\n\n")?;
        let signed = SignedCheckpoint::parse(note.as_bytes()).ok()?;
        Some(Self { signed, time: time.parse().ok()? })
    }

    /// The record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let body = format!("time {}\n\n{}", self.time, self.signed.encode());
        format!("{HEADER}{}\n{body}", Hash::digest(body.as_bytes()).to_hex()).into_bytes()
    }
}

const HEADER: &str = "tallystick/witness-state/v1 ";
