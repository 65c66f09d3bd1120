//! The note of how far a copy reaches: `mirror/<id>/next`, `specs/mirror.md` section 4.

use tlog::{Hash, Tree};

/// The note; none for a copy without entries.
#[must_use]
pub fn encode(tree: &Tree) -> Option<Vec<u8>> {
    (tree.size > 0).then(|| format!("{HEADER}{} {}\n", tree.size, tree.root).into_bytes())
}

/// Reads it; `None` unless it is exactly what [`encode`] gives.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Tree> {
    let text = std::str::from_utf8(bytes).ok()?.strip_prefix(HEADER)?.strip_suffix('\n')?;
    let (size, root) = text.split_once(' ')?;
    let tree = Tree { size: size.parse().ok()?, root: Hash::from_hex(root)? };
    (encode(&tree)? == bytes && tree.size <= Tree::MAX_SIZE).then_some(tree)
}

const HEADER: &str = "tallystick/mirror-next/v1 ";
