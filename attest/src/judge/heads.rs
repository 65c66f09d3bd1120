//! Control heads never go back, and which of them the next one must not go back behind (`specs/control-head.md`).

use tlog::VerifierKey;

use crate::predicate::ControlHead;
use crate::roles::RolesChain;

/// The last head of each control key.
#[derive(Clone, Debug, Default)]
pub(super) struct Heads(Vec<Last>);

#[derive(Clone, Debug)]
struct Last {
    key: VerifierKey,
    /// The head's entry.
    index: u64,
    head: ControlHead,
}

impl Heads {
    /// Whether a head goes back behind none that binds. That of a key which the roles call compromised from this entry on, or from
    /// an earlier one, binds nobody: otherwise a stolen key, or a clock that ran ahead, could end all control heads for good.
    pub(super) fn allow(&self, roles: &RolesChain, head: &ControlHead) -> bool {
        let binds = |last: &&Last| roles.compromised_from(&last.key).is_none_or(|from| last.index < from);
        !self.0.iter().filter(binds).any(|last| goes_back(head, &last.head))
    }

    /// Remembers a head that counts.
    pub(super) fn learn(&mut self, index: u64, key: &VerifierKey, head: &ControlHead) {
        self.0.retain(|last| last.key.public() != key.public());
        self.0.push(Last { key: key.clone(), index, head: head.clone() });
    }
}

fn goes_back(head: &ControlHead, last: &ControlHead) -> bool {
    let numbers = |head: &ControlHead| [head.size, head.roles, head.advisory, head.lifecycle.unwrap_or(0), head.time];
    numbers(head).iter().zip(numbers(last)).any(|(new, old)| *new < old)
}
