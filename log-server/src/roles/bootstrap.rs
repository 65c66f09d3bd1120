//! The first roles of a new log: read from files, checked, and logged as its first leaf.

use std::path::Path;

use anyhow::Context as _;
use attest::roles::SignedRoles;
use attest::{Envelope, Judge, Statement};
use client::cli::{Advice, read_limited};
use tlog::{Hash, Signer};

/// Version 1 of the roles, with its signatures.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// The statement of the first leaf.
    pub statement: Statement,
    /// SHA-256 of the text: what clients pin.
    pub digest: Hash,
    /// The log that the document is for.
    pub origin: String,
    /// SHA-256 of the witness policy that it names.
    pub policy: Hash,
}

impl Bootstrap {
    /// The first leaf, in the log's own envelope; the minisign signatures inside are what counts.
    pub fn envelope(&self, signer: &dyn Signer) -> anyhow::Result<Vec<u8>> {
        Ok(Envelope::sign(self.statement.encode(), signer).context("enveloping the roles")?.encode())
    }

    /// A judge that expects exactly this document first.
    #[must_use]
    pub fn judge(&self) -> Judge {
        Judge::new(self.digest)
    }
}

/// Reads `FILE` and every `FILE.*.minisig` beside it.
pub fn bootstrap_files(path: &Path) -> anyhow::Result<Bootstrap> {
    let text = String::from_utf8(read_limited(path, 1 << 20)?).with_context(|| format!("{} is not text", path.display()))?;
    let minisigs = minisigs(path)?;
    let assembled =
        SignedRoles::assemble(&text, &minisigs, None).and_then(|signed| signed.verify(&signed.roles().foundation).map(|()| signed));
    let signed = assembled.map_err(|error| {
        let hint = "sign the text with `minisign -S -m FILE -x FILE.NAME.minisig`, once for each member of the foundation";
        Advice::new(format!("{}: {error}", path.display()), hint)
    })?;
    let roles = signed.roles();
    let (digest, origin, policy) = (roles.digest(), roles.origin.clone(), roles.policy);
    let statement = signed.to_statement().map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
    Ok(Bootstrap { statement, digest, origin, policy })
}

fn minisigs(path: &Path) -> anyhow::Result<Vec<String>> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().and_then(|name| name.to_str()).context("the roles file has no name")?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        let file = entry.file_name();
        let is_signature =
            file.to_str().and_then(|file| file.strip_prefix(name)).is_some_and(|rest| rest.starts_with('.') && rest.ends_with(".minisig"));
        if is_signature {
            found.push(String::from_utf8(read_limited(&entry.path(), 4_096)?).context("a minisign file is not text")?);
        }
    }
    Ok(found)
}
