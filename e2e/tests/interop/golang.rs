//! Go programs: Tessera's own, and small ones of ours over the peers' libraries. Built in the root, once.

use crate::root::Root;

/// Where the root has them, and what they are called here.
const TESSERA: &[(&str, &str)] = &[
    ("github.com/transparency-dev/tessera/cmd/examples/posix-oneshot", "tessera-posix-oneshot"),
    ("github.com/transparency-dev/tessera/cmd/experimental/mirror/posix", "tessera-mirror"),
];
/// In `e2e/interop/`.
const OURS: &[&str] = &["tessera", "modlog", "tlogproof", "cosignatures", "sumdb"];

/// Builds all of them into `/mnt/bin`; what is unchanged is taken from the cache.
pub fn build(root: &Root) -> anyhow::Result<()> {
    root.copy(concat!(env!("CARGO_MANIFEST_DIR"), "/interop"), "src")?;
    for (package, name) in TESSERA {
        root.tell(&["go", "build", "-o", &format!("/mnt/bin/{name}"), package])?;
    }
    for name in OURS {
        root.tell(&["go", "build", "-o", &format!("/mnt/bin/{name}"), &format!("./src/{name}")])?;
    }
    Ok(())
}
