//! What decides about an entry when its turn has come, in the order of the log. The sequencer knows no more of packages and
//! roles than this.

use tlog::Tree;

use crate::pool::{Entry, Refusal};

/// The decision about one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It becomes the next leaf.
    Take,
    /// It becomes the next leaf, and the batch ends with it: what follows is judged after it stands.
    TakeLast,
    /// It is a leaf already.
    Known(u64),
    /// It is refused.
    Refuse(Refusal),
}

/// The derived index cannot be relied on; in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken(pub String);

/// Judges entries in the order of the log and learns what was published.
pub trait Gate: Send {
    /// What admission learnt about an entry before it was queued.
    type Meta: Send + 'static;

    /// Judges the entry that would become leaf `index`, as the state is after the leaves and the taken entries before it.
    fn judge(&mut self, entry: &Entry<Self::Meta>, index: u64) -> Result<Verdict, Broken>;

    /// The entries taken since the last [`Gate::record`] were not committed.
    fn abandon(&mut self);

    /// These entries, from leaf `first`, are published; the tree ends with them.
    fn record(&mut self, first: u64, entries: &[Entry<Self::Meta>], tree: &Tree) -> Result<(), Broken>;

    /// Called between rounds, with the time in POSIX seconds.
    fn tidy(&mut self, now: u64);
}

/// Lets everything in, for logs made with `--open`.
#[derive(Debug, Default)]
pub struct OpenGate;

impl Gate for OpenGate {
    type Meta = ();

    fn judge(&mut self, _: &Entry<()>, _: u64) -> Result<Verdict, Broken> {
        Ok(Verdict::Take)
    }
    fn abandon(&mut self) {}
    fn record(&mut self, _: u64, _: &[Entry<()>], _: &Tree) -> Result<(), Broken> {
        Ok(())
    }
    fn tidy(&mut self, _: u64) {}
}
